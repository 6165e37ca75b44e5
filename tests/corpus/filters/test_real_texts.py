"""Real Korean sources: good text stays, and vocabulary lists hardly ever fire on it."""

import gzip
import json
import os
from pathlib import Path

import pytest

from redwhale.corpus.clean.normalize import normalize
from tests.corpus.filters.judged import measured, reasons

DATA = Path(os.environ.get("REDWHALE_TEST_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
# Highest share of rejects: wiki holds 7 % of empty category pages, reviews 3 % of texts under 20 characters.
HIGHEST = {"webnews": 0.0, "law": 0.0, "wiki": 0.15, "cppdocs": 0.05, "reviews": 0.03}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "ko").is_dir(), reason=f"no real data in {DATA} (REDWHALE_TEST_DATA)"),
]


@pytest.mark.parametrize("name", HIGHEST)
def test_good_text_stays(name: str) -> None:
    with gzip.open(DATA / "ko" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [normalize(json.loads(line)["text"]) for line in file]
    found = reasons(texts)
    assert sum(reason is not None for reason in found) <= HIGHEST[name] * len(texts)
    offers = [reason for reason in found if reason in ("max_adult", "max_gambling", "max_adverts")]
    assert len(offers) <= 0.001 * len(texts)
    assert (measured(texts).offers > 0).any(1).sum() <= 0.002 * len(texts)
