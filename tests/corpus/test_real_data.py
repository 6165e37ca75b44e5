"""Real Korean sources: nearly all of it is good text and must come through."""

import gzip
import os
from pathlib import Path

import pytest

from tests.corpus.makers import make_recipe, rows, run

DATA = Path(os.environ.get("REDWHALE_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
# Highest share of rejects; wiki holds 6 % of empty category pages, reviews 3 % of texts under 20 characters.
HIGHEST = {"webnews": 0.001, "law": 0.0, "wiki": 0.10, "cppdocs": 0.03, "reviews": 0.03}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "ko").is_dir(), reason=f"no real data in {DATA} (REDWHALE_TEST_DATA)"),
]


@pytest.mark.parametrize("name", HIGHEST)
def test_good_text_comes_through(tmp_path: Path, name: str) -> None:
    path = str(DATA / "ko" / f"{name}.jsonl.gz")
    recipe = make_recipe(tmp_path, [{"name": name, "path": path}])
    manifest = run(recipe)
    numbers = manifest.metrics["sources"][name]
    assert sum(numbers["rejected"].values()) <= HIGHEST[name] * numbers["in"]["records"], numbers["rejected"]
    assert manifest.counts["bad_records"] == 0
    assert set(numbers["masked"]) <= {"phone", "email", "account", "ip"}
    texts = [row["text"] for kind in ("train", "held_out") for row in rows(recipe, kind)]
    if name == "law":
        with gzip.open(path, "rt", encoding="utf-8") as file:
            assert sum(text.count("<개정 ") for text in texts) == sum(line.count("<개정 ") for line in file) > 20_000
        assert not any("\u318d" in text or "\\." in text or text.startswith("---") for text in texts)
    if name == "reviews":
        assert sum("ㅋㅋ" in text for text in texts) > 5_000
