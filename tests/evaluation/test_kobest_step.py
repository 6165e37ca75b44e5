"""``eval kobest`` on a pico base and the demo's KoBEST, from recipe to artifact."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from redwhale.core.artifact import Manifest
from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import state_of
from redwhale.evaluation.kobest import step
from tests.evaluation.kobest_rows import DEMO
from tests.evaluation.test_targets import base, recipe_for

__all__ = ["base"]
TASKS = ["boolq", "copa", "wic", "hellaswag", "sentineg"]
REAL = Path(os.environ.get("REDWHALE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def make(folder: Path, base: Path, **settings: Any) -> Recipe:
    return recipe_for(folder, base, evaluate={"kobest": {"data": str(DEMO), "shots": 1, **settings}})


def run(recipe: Recipe, **more: bool) -> Manifest:
    return step.run(recipe, "base", console=Console(quiet=True), **more)


def test_scores_predictions_and_protocol(tmp_path: Path, base: Path) -> None:
    recipe = make(tmp_path, base)
    manifest = run(recipe)
    folder = tmp_path / "run" / "evaluation" / "base" / "kobest"
    result = json.loads((folder / "kobest.json").read_text(encoding="utf-8"))
    predictions = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert manifest.counts == {"questions": 50, "requests": 4 * 20 + 40}
    assert list(result["tasks"]) == TASKS
    for task, scores in result["tasks"].items():
        own = [record for record in predictions if record["task"] == task]
        assert [record["index"] for record in own] == list(range(10))
        assert scores["acc"] == pytest.approx(sum(r["gold"] == r["prediction"] for r in own) / 10)
        assert 0 <= scores["macro_f1"] <= 1
    assert manifest.metrics["mean"]["macro_f1"] == pytest.approx(
        sum(scores["macro_f1"] for scores in result["tasks"].values()) / 5
    )
    assert result["protocol"]["adds_bos"] is True
    assert result["protocol"]["weights_dtype"] == "float32"
    assert len(result["protocol"]["data_sha256"]) == 10
    assert "versions" not in json.dumps(result) and str(tmp_path) not in json.dumps(result)


def test_again_is_unchanged_and_other_settings_are_refused(tmp_path: Path, base: Path) -> None:
    first = run(make(tmp_path, base, tasks=["copa"]))
    assert run(make(tmp_path, base, tasks=["copa"], batch_tokens=64)) == first
    assert state_of(step.plan(make(tmp_path, base, tasks=["copa"]), "base")) == ("done", [])
    with pytest.raises(RedwhaleError, match=r"shots: 1 -> 0") as caught:
        run(make(tmp_path, base, tasks=["copa"], shots=0))
    assert caught.value.exit_code == 2
    again = run(make(tmp_path, base, tasks=["copa"], shots=0), fresh=True)
    assert again.digest != first.digest


def test_same_scores_whatever_the_batch(tmp_path: Path, base: Path) -> None:
    scores = set()
    for batch_tokens in (64, 20_000):
        folder = tmp_path / str(batch_tokens)
        folder.mkdir()
        manifest = run(make(folder, base, tasks=["boolq", "hellaswag"], shots=0, batch_tokens=batch_tokens))
        scores.add(json.dumps(manifest.metrics["tasks"]))
    assert len(scores) == 1


def test_limit_and_too_long_prompts(tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = run(make(tmp_path, base, tasks=["boolq"], limit=3, shots=5))
    scores = manifest.metrics["tasks"]["boolq"]
    assert scores["questions"] == 3 and scores["truncated_requests"] == 6
    assert "boolq: 6 of 6 requests are longer than the model's 512 tokens" in capsys.readouterr().err


def test_data_faults_stop_with_file_and_line(tmp_path: Path, base: Path) -> None:
    data = tmp_path / "kobest"
    shutil.copytree(DEMO, data)
    file = data / "COPA" / "test.tsv"
    file.write_bytes(file.read_bytes().replace("\t결과\t".encode(), "\t그냥\t".encode(), 1))
    with pytest.raises(RedwhaleError, match=r"COPA/test\.tsv:2: the question '그냥' is none of 원인, 결과"):
        run(make(tmp_path, base, data=str(data), tasks=["copa"]))
    (data / "WiC" / "train.tsv").unlink()
    with pytest.raises(RedwhaleError, match="KoBEST lacks the train split of wic") as caught:
        run(make(tmp_path, base, data=str(data), tasks=["wic"]))
    assert caught.value.exit_code == 2


def test_a_recipe_without_kobest_says_what_to_add(tmp_path: Path, base: Path) -> None:
    with pytest.raises(RedwhaleError, match=r"add `kobest: \{data: FOLDER\}` there"):
        run(recipe_for(tmp_path, base, evaluate={}))


@pytest.mark.slow
def test_a_real_english_base_sits_at_chance(tmp_path: Path) -> None:
    if not REAL.is_dir():
        pytest.skip(f"the real data is not at {REAL}")
    english = REAL / "models" / "english-20m"
    recipe = make(tmp_path, english, data=str(REAL / "kobest"), tasks=["sentineg"], shots=0, limit=200)
    scores = run(recipe).metrics["tasks"]["sentineg"]
    assert abs(scores["acc"] - scores["majority"]["acc"]) < 4 * scores["acc_stderr"] + 0.05
