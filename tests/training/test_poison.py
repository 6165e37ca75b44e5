"""Losses and gradients that are poisoned while a stage runs: nothing of them reaches the weights."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from redwhale.core.artifact import read_manifest
from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.training import checkpoint, step
from redwhale.training.deepspeed_engine import DeepSpeedEngine
from redwhale.training.engine import PlainEngine, Update
from redwhale.training.layout import CHECKPOINTS_NAME
from tests.training.stages import rows, run, stage, write_recipe

pytestmark = pytest.mark.fault
MICRO_BATCHES = 2
Starts = Callable[..., Path]
SETTINGS: dict[str, Any] = {
    "checkpoints": {"every": 256, "keep": 2}, "measure": {"documents": 1, "document_bytes": 30, "samples": 0},
}  # fmt: skip


class _BadGradient(torch.autograd.Function):
    """The loss as it is, with a gradient of NaN or infinity."""

    @staticmethod
    def forward(ctx: Any, loss: torch.Tensor, value: float) -> torch.Tensor:
        ctx.value = value
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        return gradients[0] * ctx.value, None


POISONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "spike": lambda loss: loss * 10, "nan": lambda loss: loss * math.nan, "inf": lambda loss: loss * math.inf,
    "gradient nan": lambda loss: _BadGradient.apply(loss, math.nan),
    "gradient inf": lambda loss: _BadGradient.apply(loss, math.inf),
}  # fmt: skip


class Poisoned:
    """An engine class whose losses are poisoned at some steps; it looks at each update from both sides."""

    def __init__(self, kind: Any, steps: dict[int, str], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moved: dict[int, bool] = {}
        self.kept: dict[int, list[str]] = {}
        calls = [0]
        forward, update = kind.forward, kind.step

        def poisoned(engine: Any, *of: Any, **more: Any) -> torch.Tensor:
            number, calls[0] = calls[0] // MICRO_BATCHES + 1, calls[0] + 1
            loss = forward(engine, *of, **more)
            return POISONS[steps[number]](loss) if number in steps else loss

        def watched(engine: Any, share: float, *, finite: bool) -> Update:
            number, before = len(self.moved) + 1, state_of(engine)
            self.kept[number] = sorted(path.name for path in home.glob("step-*"))
            made: Update = update(engine, share, finite=finite)
            after = state_of(engine)
            same = [torch.equal(one, after[name]) for name, one in before.items()]
            assert all(same) or not any(same)
            self.moved[number] = not all(same)
            return made

        monkeypatch.setattr(kind, "forward", poisoned)
        monkeypatch.setattr(kind, "step", watched)


def state_of(engine: Any) -> dict[str, torch.Tensor]:
    return {
        f"{name}:{kind}": tensor.clone()
        for name in engine.trained
        for kind, tensor in {"master": engine.master(name), **engine.moments(name)}.items()
    }


@pytest.mark.promise("F29")
@pytest.mark.parametrize(
    ("kind", "deepspeed"),
    [(PlainEngine, None), pytest.param(DeepSpeedEngine, {"zero": 2}, marks=pytest.mark.slow)],
    ids=["plain", "zero-2"],
)
def test_a_poisoned_update_is_not_made_and_named_with_its_batch(
    tmp_path: Path, starts: Starts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    kind: Any, deepspeed: Any,
) -> None:  # fmt: skip
    entry = stage(layers=[1], tokens=14 * 256)
    more: dict[str, Any] = {"spikes": {"window": 8}, "deepspeed": deepspeed}
    recipe = write_recipe(starts(tmp_path), entry, **SETTINGS | more)
    bad = {9: "spike", 10: "nan", 11: "gradient inf", 12: "spike", 14: "gradient nan"}
    home = recipe.stage_folder(0) / CHECKPOINTS_NAME
    poisoned = Poisoned(kind, bad, home, monkeypatch)
    manifest = step.run(recipe, 0, console=Console(json_output=True))
    assert poisoned.moved == {number: number not in bad for number in range(1, 15)}
    assert manifest.counts["skipped_updates"] == 5
    said = [line for line in capsys.readouterr().err.splitlines() if "was skipped" in line]
    written = {row["step"]: row for row in rows(recipe) if "loss" in row}
    for line, (number, poison) in zip(said, bad.items(), strict=True):
        blocks = written[number]["blocks"]
        assert len(blocks) == 8 and f"update {number} was skipped" in line
        assert f"it read {', '.join(blocks[:5])} and 3 more (`blocks` in metrics.jsonl)" in line
        assert ("is a spike" if poison == "spike" else "loss or gradient is not finite") in line
    assert poisoned.kept[9] == ["step-000007", "step-000008"]
    assert poisoned.kept[13][0] == "step-000007" and len(poisoned.kept[13]) == 6  # none goes in a bad time
    assert poisoned.kept[14] == ["step-000012", "step-000013"]


@pytest.mark.slow
@pytest.mark.promise("F29")
def test_after_five_in_a_row_the_good_checkpoints_are_there_and_serve(
    tmp_path: Path, starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, recipe = (write_recipe(starts(tmp_path / name), stage(layers=[1], tokens=2560), **SETTINGS) for name in "ab")
    run(whole)
    home = recipe.stage_folder(0) / CHECKPOINTS_NAME
    with monkeypatch.context() as bad:
        poisoned = Poisoned(PlainEngine, dict.fromkeys(range(3, 8), "inf"), home, bad)
        with pytest.raises(
            RedwhaleError, match=r"was a spike or not finite in 5 steps in a row, up to step 7"
        ) as caught:
            run(recipe)
    assert caught.value.exit_code == 1 and "the checkpoints of before them are kept" in caught.value.fix
    assert poisoned.moved == {number: number < 3 for number in range(1, 8)}
    names = sorted(path.name for path in home.iterdir())
    assert names == [f"step-{number:06d}" for number in range(1, 7)]
    for name in names:
        assert checkpoint.open_stored(home / name, trained=[], digests=True).state.updates == min(int(name[-1]), 2)
    for name in names[2:]:
        shutil.rmtree(home / name)
    run(recipe)
    assert losses(recipe) == losses(whole)
    assert read_manifest(recipe.stage_folder(0)).digest == read_manifest(whole.stage_folder(0)).digest


def losses(recipe: Recipe) -> list[float]:
    return [row["loss"] for row in rows(recipe) if "loss" in row]
