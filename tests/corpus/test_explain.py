"""Explaining single records, showing some, and trying the first ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.corpus import step
from redwhale.corpus.explain import explain, sampled
from redwhale.corpus.read.cut import cut_chunks
from tests.corpus.makers import QUIET, korean, make_recipe, run, write_jsonl

LINES = [
    {"id": "good", "text": f"<p>{korean(1)} 010-1234-5678로 연락</p>"},
    {"id": "short", "text": "짧다"},
    "kaputt",
    {"id": "copy", "text": f"{korean(1)} 010-1234-5678로 연락"},
]


def recipe_in(folder: Path):
    """Return a recipe over one source of the lines above."""
    write_jsonl(folder / "a.jsonl", LINES)
    return make_recipe(folder, [{"name": "s", "path": "a.jsonl"}], held_out={"fraction": 0})


def test_a_record_is_explained_before_the_corpus_is_made(tmp_path: Path) -> None:
    found = explain(recipe_in(tmp_path), "s/good")
    assert found.before.startswith("<p>") and found.after.endswith("[전화번호]로 연락")
    assert found.verdict == "kept by every step that looks at one document"
    steps = {name: (value, verdict) for name, value, _, verdict in found.steps}
    assert steps["personal data"] == ("phone 1", "") and steps["min_chars"][1] == "kept"
    rejected = explain(recipe_in(tmp_path), "short")
    assert rejected.verdict == "rejected: min_chars (2, lowest 20)"
    assert ("min_chars", "2", "20", "rejected") in rejected.steps
    unread = explain(recipe_in(tmp_path), "s-a-2")
    assert unread.verdict == "rejected: bad_json" and unread.before == "kaputt"


def test_what_the_whole_corpus_decides_is_explained_afterwards(tmp_path: Path) -> None:
    recipe = recipe_in(tmp_path)
    run(recipe)
    assert explain(recipe, "copy").verdict == "rejected: exact_duplicate (of s/good)"
    good = explain(recipe, "good")
    assert good.verdict == "kept: training"
    assert good.steps[-2:] == [
        ("duplicates", "1 copy removed in its favour", "", "kept"),
        ("perplexity", "not scored", "", "does not apply"),
    ]


def test_the_perplexity_of_what_stays_is_told(tmp_path: Path) -> None:
    texts = [" ".join(korean(4 * number + part) for part in range(4)) for number in range(600)]
    write_jsonl(tmp_path / "a.jsonl", [{"id": str(number), "text": text} for number, text in enumerate(texts)])
    recipe = make_recipe(
        tmp_path, [{"name": "s", "path": "a.jsonl"}], held_out={"fraction": 0}, perplexity={"drop_highest": "10%"}
    )
    run(recipe)
    kept = 0
    for number in range(20):
        name, value, limit, verdict = explain(recipe, str(number)).steps[-1]
        if verdict != "kept":
            assert (name, verdict[:10]) == ("whole corpus", "perplexity")
            continue
        lowest, highest = (float(part.split()[1]) for part in limit.split(", "))
        assert name == "perplexity" and lowest <= float(value.removesuffix(" bits per byte")) <= highest
        kept += 1
    assert kept


def test_an_unknown_id_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(RedwhaleError, match="no record has the id 'nobody'") as caught:
        explain(recipe_in(tmp_path), "nobody")
    assert caught.value.exit_code == 2


def test_some_records_are_shown_the_same_each_time(tmp_path: Path) -> None:
    recipe = recipe_in(tmp_path)
    first = [record.as_dict() for record in sampled(recipe, 2)]
    assert [record["id"] for record in first] == [record.id for record in sampled(recipe, 2)]
    assert len(first) == 2 and json.dumps(first)


def test_a_trial_counts_and_leaves_nothing(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": korean(index)} for index in range(300)])
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl"}])
    statistics = step.try_out(recipe, 100, console=QUIET)
    assert statistics["total"]["records"] == 100
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_file()]


def test_a_trial_reads_no_further_than_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[int] = []

    def counted(*arguments, **options):
        for chunk in cut_chunks(*arguments, **options):
            cut.append(chunk.source)
            yield chunk

    monkeypatch.setattr("redwhale.corpus.parts.cut_chunks", counted)
    text = " ".join(korean(index) for index in range(400))
    write_jsonl(tmp_path / "a.jsonl", [{"text": f"{index} {text}"} for index in range(400)])  # several chunks
    write_jsonl(tmp_path / "b.jsonl", LINES)
    recipe = make_recipe(tmp_path, [{"name": name, "path": f"{name}.jsonl"} for name in ("a", "b")])
    assert step.try_out(recipe, 10, console=QUIET)["total"]["records"] == 10 + len(LINES)
    assert cut == [0, 1]
