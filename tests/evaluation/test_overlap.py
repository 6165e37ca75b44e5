"""Scores without the questions that the corpus holds: searched once, made again with the corpus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from redwhale import chain
from redwhale.core.artifact import is_finished
from redwhale.core.console import Console
from redwhale.core.recipe.recipe import Recipe
from redwhale.corpus import step as corpus
from redwhale.evaluation import overlap
from redwhale.evaluation.kobest import data
from redwhale.evaluation.kobest import step as kobest
from tests.evaluation.kobest_rows import DEMO
from tests.evaluation.test_targets import base, recipe_for

__all__ = ["base"]
QUIET = Console(quiet=True)


def make(folder: Path, base: Path, texts: list[str], **settings: Any) -> Recipe:
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return recipe_for(
        folder, base, evaluate={"kobest": {"data": str(DEMO), "shots": 0, "tasks": ["copa", "boolq"], **settings}},
        preprocess={
            "sources": [{"name": "web", "language": "ko", "path": str(folder / "text.jsonl")}], "filters": "off",
            "deduplicate": {"exact": False, "near": None},
        },
    )  # fmt: skip


def evaluate(recipe: Recipe) -> dict[str, Any]:
    chain.evaluate(recipe, "kobest", ["base"], console=QUIET, fresh=False, verify=False)
    found = chain.scores_without_overlap(recipe, ["base"])["base"]
    assert found is not None
    return found


def test_questions_of_the_corpus_are_left_out_of_the_second_score(tmp_path: Path, base: Path) -> None:
    rows = data.read_split(data.split_file(DEMO, "boolq", "test"), "boolq")
    recipe = make(tmp_path, base, [f"다른 글이 앞에 있다. {rows[i]['question']} 그리고 더 있다." for i in (2, 5)])
    assert not overlap.is_wanted(recipe)  # the corpus is not made
    corpus.run(recipe, console=QUIET)
    found = evaluate(recipe)
    assert found["left_out"] == {"boolq": 2} and found["tasks"]["boolq"]["questions"] == 8
    kept = [r for r in kobest.read_records(kobest.result_folder(recipe, "base")) if r["task"] == "boolq"]
    right = [r["gold"] == r["prediction"] for r in kept if r["index"] not in (2, 5)]
    assert found["tasks"]["boolq"]["acc"] == pytest.approx(sum(right) / 8)
    assert found["tasks"]["copa"]["questions"] == 10
    assert found["mean"]["acc"] == pytest.approx((sum(right) / 8 + found["tasks"]["copa"]["acc"]) / 2)


def test_another_corpus_is_searched_anew_and_no_model_scored_again(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = data.read_split(data.split_file(DEMO, "boolq", "test"), "boolq")
    recipe = make(tmp_path, base, ["아무 글이나 하나."])
    corpus.run(recipe, console=QUIET)
    assert evaluate(recipe)["left_out"] == {}
    monkeypatch.setattr(kobest.Scorer, "score", None)
    recipe = make(tmp_path, base, [rows[0]["question"]])
    corpus.run(recipe, console=QUIET, fresh=True)
    assert evaluate(recipe)["left_out"] == {"boolq": 1}


def test_the_search_can_be_switched_off(tmp_path: Path, base: Path) -> None:
    recipe = make(tmp_path, base, ["아무 글이나 하나."], find_overlap=False)
    corpus.run(recipe, console=QUIET)
    chain.evaluate(recipe, "kobest", ["base"], console=QUIET, fresh=False, verify=False)
    assert not is_finished(overlap.result_folder(recipe))
    overlap.run(recipe, console=QUIET)  # as an earlier recipe may have left it
    assert chain.scores_without_overlap(recipe, ["base"]) == {"base": None}
