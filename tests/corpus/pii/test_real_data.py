"""Counts on real sources whose every match was judged by reading: statutes hold no personal data."""

import gzip
import json
import os
from pathlib import Path

import pytest

from redwhale.corpus.pii.kinds import KINDS
from redwhale.corpus.pii.mask import mask_texts
from redwhale.corpus.texts import Texts

DATA = Path(os.environ.get("REDWHALE_TEST_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
COUNTS = {
    "law": {},
    "webnews": {"phone": 31, "email": 2},
    "wiki": {"phone": 4, "email": 110, "account": 10, "ip": 26},
    "cppdocs": {"ip": 1},
    "reviews": {"phone": 3, "email": 33},
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "ko").is_dir(), reason=f"no real data in {DATA} (REDWHALE_TEST_DATA)"),
]


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_those_that_were_read(name: str) -> None:
    with gzip.open(DATA / "ko" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        masked = mask_texts(Texts.of([json.loads(line)["text"] for line in file]))
    sums = zip(KINDS, masked.counts.sum(axis=0).tolist(), strict=True)
    assert {kind: count for kind, count in sums if count} == COUNTS[name]
