"""Two models side by side: the store's own numbers, pairs counted by hand, and no order where protocols differ."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.evaluation import compare
from redwhale.evaluation.kobest import step
from redwhale.measure import models
from redwhale.tables_evaluation import comparison_page
from tests.evaluation.kobest_rows import DEMO
from tests.evaluation.test_targets import base, recipe_for

__all__ = ["base"]
TASKS = ["copa", "hellaswag"]


def make(folder: Path, base: Path, **settings: Any) -> Recipe:
    return recipe_for(folder, base, evaluate={"kobest": {"data": str(DEMO), "shots": 0, "tasks": TASKS, **settings}})


@pytest.fixture
def other(tmp_path: Path, base: Path) -> Path:
    """A second model: the base with its layers shaken."""
    folder = tmp_path / "other"
    shutil.copytree(base, folder)
    model = models.load_model(folder, torch.device("cpu"))
    torch.manual_seed(7)
    for parameter in model.model.layers.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return folder


def records(recipe: Recipe, model: str) -> list[dict[str, Any]]:
    path = step.result_folder(recipe, model) / "predictions.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_scores_intervals_and_pairs(tmp_path: Path, base: Path, other: Path) -> None:
    recipe = make(tmp_path, base)
    manifests = {name: step.run(recipe, name, console=Console(quiet=True)) for name in ("base", str(other))}
    result = compare.run(recipe, ["base", str(other)])
    body = result["measures"]["kobest-0-shot-copa+hellaswag"]
    assert result["missing"] == {} and body["protocol_differences"] == []
    for name, manifest in manifests.items():
        for task in TASKS:
            scores = body["scores"][name][task]
            assert scores["acc"] == manifest.metrics["tasks"][task]["acc"]
            for metric in ("acc", "macro_f1"):
                low, high = scores[f"{metric}_interval"]
                assert low <= scores[metric] <= high and high - low > 0.1  # ten questions
        assert body["scores"][name]["mean"]["macro_f1"] == pytest.approx(manifest.metrics["mean"]["macro_f1"])
    right = {
        name: [r["gold"] == r["prediction"] for r in records(recipe, name) if r["task"] == "copa"]
        for name in ("base", str(other))
    }
    pair = next(pair for pair in body["pairs"] if pair["task"] == "copa")
    both = list(zip(right["base"], right[str(other)], strict=True))
    assert pair["only_first_right"] == both.count((True, False))
    assert pair["only_second_right"] == both.count((False, True)) and 0 < pair["mcnemar_p"] <= 1
    assert pair["acc_difference"] == pytest.approx((sum(right[str(other)]) - sum(right["base"])) / 10)
    order = [one["model"] for one in body["ranking"]]
    means = [body["scores"][name]["mean"]["macro_f1"] for name in order]
    assert means == sorted(means, reverse=True) and "surely_above_next" in body["ranking"][0]
    page = comparison_page(result)
    assert f"| copa | {other} - base | {pair['acc_difference']:+.4f} |" in page and "McNemar" in page


def test_the_mean_of_tasks_has_the_error_of_independent_ones(tmp_path: Path) -> None:
    """Of four equal tasks of 100 questions, half of them right, the mean's interval is half as wide as a task's."""
    results = {}
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        rows = [
            {"task": task, "index": i, "gold": i % 2, "prediction": i // 2 % 2}
            for task in ("boolq", "copa", "wic", "sentineg")
            for i in range(100)
        ]
        (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        tasks = {task: {"macro_f1": 0.5} for task in ("boolq", "copa", "wic", "sentineg")}
        manifest = SimpleNamespace(metrics={"tasks": tasks, "protocol": {}}, environment={})
        results[name] = compare.Result(folder, manifest)  # type: ignore[arg-type]
    scores = compare.compare_kobest(results)["scores"]["a"]
    widths = {task: own["macro_f1_interval"][1] - own["macro_f1_interval"][0] for task, own in scores.items()}
    assert widths["mean"] == pytest.approx(widths["copa"] / 2, rel=0.1)


def test_a_model_against_its_copy_is_a_tie(tmp_path: Path, base: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(base, copied)
    recipe = make(tmp_path, base)
    for name in ("base", str(copied)):
        step.run(recipe, name, console=Console(quiet=True))
    body = next(iter(compare.run(recipe, ["base", str(copied)])["measures"].values()))
    assert all(pair["macro_f1_difference_interval"] == (0, 0) for pair in body["pairs"])
    assert body["ranking"][0]["surely_above_next"] is False


def test_other_protocols_are_shown_and_not_ranked(tmp_path: Path, base: Path, other: Path) -> None:
    recipe = make(tmp_path, base)
    bare = tmp_path / "bare"
    shutil.copytree(other, bare)
    model = models.load_model(bare, torch.device("cpu"), dtype="bfloat16")
    model.save_pretrained(bare)
    for name in ("base", str(bare)):
        step.run(recipe, name, console=Console(quiet=True))
    result = compare.run(recipe, ["base", str(bare)])
    body = next(iter(result["measures"].values()))
    assert body["ranking"] is None
    assert body["protocol_differences"] == [f"{bare} against base: weights_dtype: 'float32' -> 'bfloat16'"]
    assert "Not ranked, taken differently: " in comparison_page(result)


def test_what_cannot_be_compared_says_how_to_measure_it(tmp_path: Path, base: Path, other: Path) -> None:
    recipe = make(tmp_path, base)
    with pytest.raises(RedwhaleError, match="two models at least"):
        compare.run(recipe, ["base", "base"])
    step.run(recipe, "base", console=Console(quiet=True))
    with pytest.raises(RedwhaleError, match=f"eval kobest --model {other}") as caught:
        compare.run(recipe, ["base", str(other)])
    assert caught.value.exit_code == 2
    step.run(make(tmp_path, base, limit=3), str(other), console=Console(quiet=True))
    with pytest.raises(RedwhaleError, match="eval kobest --model base"):
        compare.run(recipe, ["base", str(other)])  # each has a result, none the other's
    step.run(make(tmp_path, base, limit=3), "base", console=Console(quiet=True))
    assert compare.run(recipe, ["base", str(other)])["missing"] == {str(other): ["kobest-0-shot-copa+hellaswag"]}


def test_tasks_of_the_harness_are_paired_by_prompt(tmp_path: Path, base: Path) -> None:
    """Values 1, 0, 1 against 1, 1 of the two prompts that both were asked."""
    results = {}
    for name, values in (("a", {"p": 1, "q": 0, "r": 1}), ("b", {"p": 1, "q": 1})):
        folder = tmp_path / name
        folder.mkdir()
        rows = [
            {
                "task": "kmmlu",
                "doc_id": number,
                "prompt_sha256": prompt,
                "target": 0,
                "metrics": {"text": "x", "acc": acc},
            }
            for number, (prompt, acc) in enumerate(values.items())
        ]
        (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        results[name] = compare.Result(folder, None)  # type: ignore[arg-type]
    own = compare.compare_harness(results)["harness"]["kmmlu"]
    assert (own["a"]["mean"], own["b"]["mean"], own["a"]["questions"]) == (0.5, 1.0, 2)
    assert own["a"]["metric"] == "acc" and own["b"]["interval"] == (1.0, 1.0)
    assert own["b"]["difference_interval"] == (0.0, 1.0) and own["a"]["difference_interval"] == (0.0, 0.0)
