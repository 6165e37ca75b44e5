"""``eval kobest`` on a pico base and the demo's KoBEST, from recipe to artifact."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from redwhale.core.artifact import Manifest
from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import state_of
from redwhale.evaluation.kobest import step
from redwhale.evaluation.kobest.processes import Processes
from redwhale.evaluation.kobest.score import score_questions
from redwhale.evaluation.targets import load_default_tokenizer
from redwhale.measure import models
from tests.evaluation.kobest_rows import DEMO
from tests.evaluation.test_targets import base, recipe_for

__all__ = ["base"]
TASKS = ["boolq", "copa", "wic", "hellaswag", "sentineg"]
REAL = Path(os.environ.get("REDWHALE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def make(folder: Path, base: Path, **settings: Any) -> Recipe:
    return recipe_for(folder, base, evaluate={"kobest": {"data": str(DEMO), "shots": 1, **settings}})


def read_records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]


def run(recipe: Recipe, **more: bool) -> Manifest:
    return step.run(recipe, "base", console=Console(quiet=True), **more)


def test_scores_predictions_and_protocol(tmp_path: Path, base: Path) -> None:
    recipe = make(tmp_path, base)
    manifest = run(recipe)
    folder = tmp_path / "run" / "evaluation" / "base" / "kobest-1-shot"
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


def test_again_is_unchanged_and_other_ways_stand_beside(tmp_path: Path, base: Path) -> None:
    first = run(make(tmp_path, base, tasks=["copa"]))
    assert run(make(tmp_path, base, tasks=["copa"], batch_tokens=64)) == first
    assert state_of(step.plan(make(tmp_path, base, tasks=["copa"]), "base")) == ("done", [])
    ways = [{"shots": 0}, {"fast": True}, {"limit": 3}, {"dtype": "bfloat16"}, {"tasks": ["copa", "wic"]}]
    digests = {run(make(tmp_path, base, **{"tasks": ["copa"], **way})).digest for way in ways}
    assert len(digests) == len(ways) and first.digest not in digests
    assert {path.name for path in (tmp_path / "run" / "evaluation" / "base").iterdir()} == {
        "kobest-1-shot-copa", "kobest-0-shot-copa", "kobest-1-shot-fast-copa", "kobest-1-shot-copa-first-3",
        "kobest-1-shot-copa-bfloat16", "kobest-1-shot-copa+wic",
    }  # fmt: skip


def test_other_data_is_refused(tmp_path: Path, base: Path) -> None:
    data = tmp_path / "kobest"
    shutil.copytree(DEMO, data)
    run(make(tmp_path, base, data=str(data), tasks=["copa"]))
    file = data / "COPA" / "test.tsv"
    file.write_bytes(b"\n".join(file.read_bytes().split(b"\n")[:5]) + b"\n")
    with pytest.raises(RedwhaleError, match="input kobest copa test changed") as caught:
        run(make(tmp_path, base, data=str(data), tasks=["copa"]))
    assert caught.value.exit_code == 2


def test_a_killed_run_goes_on_after_the_last_finished_task(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"tasks": ["copa", "wic"], "shots": 0}
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = run(make(tmp_path / "whole", base, **settings))
    scored = []
    score = step.Scorer.score

    def failing(self: step.Scorer, task: str, questions: Any, **options: Any) -> Any:
        if task == "wic" and len(scored) == 1:
            raise KeyboardInterrupt
        scored.append(task)
        return score(self, task, questions, **options)

    monkeypatch.setattr(step.Scorer, "score", failing)
    with pytest.raises(KeyboardInterrupt):
        run(make(tmp_path / "killed", base, **settings))
    scored.append("again")
    again = run(make(tmp_path / "killed", base, **settings))
    assert scored == ["copa", "again", "wic"]
    assert [record.sha256 for record in again.outputs] == [record.sha256 for record in whole.outputs]
    assert not list((tmp_path / "killed").rglob("part-*"))


def test_the_fast_way_reads_the_examples_once_and_scores_alike(tmp_path: Path, base: Path) -> None:
    recipe = make(tmp_path, base, tasks=["copa", "hellaswag"], shots=1, fast=True)
    manifest = run(recipe)
    assert "same examples before every question" in manifest.metrics["protocol"]["prompts"]
    questions = step.build_questions(recipe, recipe.need("evaluate").kobest)
    assert all(q.context.startswith(asked[0].context[:20]) for asked in questions.values() for q in asked)
    model = models.load_model(base, torch.device("cpu"))
    tokenizer = load_default_tokenizer(base)
    records = read_records(tmp_path / "run" / "evaluation" / "base" / step.name_of(recipe.need("evaluate").kobest))
    for task, asked in questions.items():
        apart = score_questions(model, tokenizer, asked, context_tokens=512, batch_tokens=512, device="cpu")
        own = [record["log_likelihoods"] for record in records if record["task"] == task]
        for found, expected in zip(own, apart.log_likelihoods, strict=True):
            assert found == pytest.approx(expected, abs=2e-4)


def test_processes_share_the_questions_out(tmp_path: Path, base: Path) -> None:
    settings: dict[str, Any] = {"tasks": ["copa", "boolq"], "limit": 5}
    for name, devices in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        recipe = make(tmp_path / name, base, **settings)
        run(recipe.changed(machine={"device": "cpu", "devices": devices}, workdir=str(tmp_path / name / "run")))
    one, two = (read_records(next((tmp_path / name).rglob("kobest-*"))) for name in ("one", "two"))
    for first, second in zip(one, two, strict=True):
        assert first.pop("log_likelihoods") == pytest.approx(second.pop("log_likelihoods"), abs=1e-4)
        assert first == second


def test_a_fault_in_a_further_process_is_the_commands_own(tmp_path: Path, base: Path) -> None:
    others = Processes(tmp_path / "nothing", devices=["cpu"], dtype="stored")
    try:
        others.begin([[]], context_tokens=64, batch_tokens=64, fixed=False)
        with pytest.raises(RedwhaleError, match="the model lacks this file of weights"):
            others.finish(on_batch=lambda done: None)
    finally:
        others.close()


def test_weights_that_are_not_numbers_are_named(tmp_path: Path, base: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(base, folder)
    model = models.load_model(folder, torch.device("cpu"))
    model.model.norm.weight.data[0] = float("nan")
    model.save_pretrained(folder)
    with pytest.raises(RedwhaleError, match=r"copa 0: the model's log-likelihoods are \[nan, nan\], not numbers"):
        run(make(tmp_path, folder, tasks=["copa"]))


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
