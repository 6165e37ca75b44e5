"""The bundled demo text with its planted faults: every one is handled as the truth list says."""

import json
from collections import Counter
from pathlib import Path

import pytest

from redwhale.core.recipe.recipe import Recipe
from tests.corpus.makers import make_recipe, rows, run

DEMO = Path(__file__).parents[2] / "redwhale" / "demo_data"
TRUTH = DEMO / "truth-news.jsonl"
CLEAN = ("news", "official", "encyclopedia", "howto", "essays", "dialogue", "reviews")
REASONS = {
    "exact-duplicate": {"exact_duplicate"},
    "near-duplicate": {"near_duplicate"},
    "respaced-duplicate": {"exact_duplicate", "near_duplicate"},
    "navigation": {"max_boilerplate", "min_chars"},
    "advert": {"max_duplicate_lines", "max_top_3_gram"},
    "english-only": {"language", "min_hangul"},
    "mojibake": {"max_replacement"},
    "broken-json": {"bad_json", "not_an_object", "text_not_a_string"},
    "too-short": {"min_chars"},
}
pytestmark = pytest.mark.skipif(not TRUTH.is_file(), reason="the demo text is not there")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = tmp_path_factory.mktemp("demo")
    names = [*CLEAN, "news-faults"]
    sources = [{"name": name, "path": str(DEMO / "ko" / f"{name}.jsonl")} for name in names]
    recipe = make_recipe(folder, sources, gates={"bad_records": {"above": "2%"}})
    assert not run(recipe).stopped_by_gate
    return recipe


def test_every_planted_fault_is_handled(corpus: Recipe) -> None:
    kept = {(r["file"], r["row"] + 1): r["text"] for kind in ("train", "held_out") for r in rows(corpus, kind)}
    rejected = {(r["file"], r["row"] + 1): r for r in rows(corpus, "rejects")}
    wrong, seen = [], Counter()
    for line in TRUTH.read_text(encoding="utf-8").splitlines():
        truth = json.loads(line)
        place = (truth["file"], truth["line"])
        seen[truth["fault"]] += 1
        if truth["expect"] == "reject":
            found = rejected.get(place)
            right = found is not None and found["reason"] in REASONS[truth["fault"]]
            right = right and (not truth["of"] or found["detail"].endswith(f"/{truth['of']}"))
        else:
            text = kept.get(place, "")
            right = truth["contains"] not in text and truth["keep"] in text
        if not right:
            wrong.append((truth["line"], truth["fault"], rejected.get(place, {}).get("reason")))
    assert not wrong
    assert sum(seen.values()) == 42 and set(seen) >= REASONS.keys() | {"html", "byline", "pii"}


def test_no_good_document_is_rejected_or_masked(corpus: Recipe) -> None:
    assert {row["source"] for row in rows(corpus, "rejects")} == {"news-faults"}
    masks = [row["id"] for row in rows(corpus, "train") if "번호]" in row["text"] or "[이메일]" in row["text"]]
    assert all(name.startswith("fault-") for name in masks)
