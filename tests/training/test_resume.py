"""Stages that stop, are killed or find damage, and go on: the same model, bit by bit."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
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
from redwhale.training.layout import CHECKPOINTS_NAME
from tests import forked
from tests.training.stages import rows, run, stage, state_of, write_recipe

SLEPT = 1.0
"""Seconds that a measurement takes before the signal; those of the process that goes on come on top."""


class Stop:
    """Send SIGTERM to this process at a measurement, as a cluster that wants its machine back does."""

    def __init__(self, at: int) -> None:
        self.at, self.calls = at, 0

    def __call__(self, model: Any, tokenizer: Any) -> dict[str, int]:
        self.calls += 1
        if self.calls == self.at:
            time.sleep(SLEPT)
            os.kill(os.getpid(), signal.SIGTERM)
        return {"calls": self.calls}


def same_model(one: Recipe, other: Recipe, index: int = 0) -> None:
    left, right = state_of(one.model_folder(index)), state_of(other.model_folder(index))
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name
    assert read_manifest(one.stage_folder(index)).digest == read_manifest(other.stage_folder(index)).digest


@pytest.mark.promise("F6")
@pytest.mark.parametrize("deepspeed", [None, {"zero": 2}], ids=["plain", "zero-2"])
def test_a_stage_that_is_told_to_stop_goes_on_bit_by_bit(
    tmp_path: Path, starts: Callable[..., Path], deepspeed: Any
) -> None:
    train = {"embedding": "new", "head": "new", "layers": "odd"}
    settings = {"deepspeed": deepspeed, "measure": {"every": 256, "documents": 1, "document_bytes": 30, "samples": 0}}
    whole = write_recipe(starts(tmp_path / "a"), stage(**train), **settings)
    run(whole)
    halves = write_recipe(starts(tmp_path / "b"), stage(**train), **settings)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RedwhaleError, match=r"interrupted after step 3 of 5.*`redwhale pretrain --stage 1") as caught:
        run(halves, after=Stop(3))  # measured before step 1, and after steps 1 and 2
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) == handler
    assert checkpoints(halves) == ["step-000003"]
    manifest = run(halves)
    same_model(whole, halves)
    assert [row["step"] for row in course(halves)] == [1, 2, 3, 4, 5]
    assert course(whole) == course(halves)
    assert list(manifest.metrics["measured"]) == ["0", "1", "2", "3", "4", "5"]
    assert manifest.metrics["loss"] == read_manifest(whole.stage_folder(0)).metrics["loss"]
    taken = manifest.metrics["seconds"]  # of both processes
    assert manifest.timings["wall_seconds"] >= taken["stage"] >= taken["measuring"] >= SLEPT


def kill_at(root: Path, point: str, index: int = 0) -> None:
    """Run `redwhale pretrain` as a process of its own that kills itself at a named point."""
    ended = forked.redwhale("pretrain", "--stage", str(index + 1), cwd=root, fault=point)
    assert ended.code == -signal.SIGKILL, ended.err[-2000:]


def checkpoints(recipe: Recipe, index: int = 0) -> list[str]:
    return sorted(path.name for path in (recipe.stage_folder(index) / CHECKPOINTS_NAME).iterdir())


def course(recipe: Recipe, index: int = 0) -> list[dict[str, Any]]:
    """Return what each step's row of metrics says of the training, without times."""
    stable = ("step", "tokens", "loss", "learning_rate", "gradient_norm", "language_shares")
    return [{key: row[key] for key in stable} for row in rows(recipe, index) if "loss" in row]


@pytest.mark.promise("F3")
@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.parametrize("deepspeed", [None, {"zero": 2}], ids=["plain", "zero-2"])
@pytest.mark.parametrize(
    "points",
    [
        ("pretrain.after_step:kill@4",),
        ("pretrain.after_step:kill@1", "publish.before_rename:kill@2", "pretrain.before_manifest:kill@1"),
    ],
    ids=["step", "everywhere"],
)
def test_killed_and_run_again_the_model_is_the_same(
    tmp_path: Path, starts: Callable[..., Path], deepspeed: Any, points: tuple[str, ...]
) -> None:
    train = {"embedding": "all", "head": "all", "layers": "odd", "norms": "final"}
    settings = {"deepspeed": deepspeed, "checkpoints": {"every": 512, "keep": 2}}
    whole = write_recipe(starts(tmp_path / "a"), stage(**train), **settings)
    run(whole)
    killed = write_recipe(starts(tmp_path / "b"), stage(**train), **settings)
    for point in points:
        kill_at(killed.file.parent, point)
    run(killed)
    same_model(whole, killed)
    assert [row["step"] for row in course(killed)] == [1, 2, 3, 4, 5]


@pytest.mark.promise("F3", "F4")
@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_a_hundred_steps_are_fifty_a_kill_and_fifty(tmp_path: Path, starts: Callable[..., Path], zero: int) -> None:
    """In a stage that goes through a source more than once, and in the one that goes on where it ended."""
    first = stage(embedding="new", head="all", layers="odd", tokens=100 * 256) | {"mixture": {"news": 0.6, "docs": 0.4}}
    second = stage("two", lora={"rank": 2}, norms="all", tokens=100 * 256) | {"mixture": {"news": 0.4, "docs": 0.6}}
    measure = {"documents": 2, "document_bytes": 60, "samples": 0}
    settings = {"deepspeed": {"zero": zero}, "checkpoints": {"every": 20 * 256}, "measure": measure}
    whole, killed = (write_recipe(starts(tmp_path / name), first, second, **settings) for name in "ab")
    for index in range(2):
        run(whole, index)
        kill_at(killed.file.parent, "pretrain.after_step:kill@50", index)
        assert checkpoints(killed, index) == ["step-000020", "step-000040"]
        run(killed, index)
        same_model(whole, killed, index)
        assert course(whole, index) == course(killed, index)
        assert [row["step"] for row in course(killed, index)] == list(range(1, 101))
    counts = [read_manifest(killed.stage_folder(index)).counts for index in range(2)]
    docs = [each["realised_mixture"]["docs"] for each in counts]
    assert docs[0]["epochs"] > 1 and docs[0]["epochs"] + 1 < docs[1]["epochs"], docs  # an epoch ends in both
    assert counts[1]["cursor"]["docs"] == docs[0]["sequences"] + docs[1]["sequences"]
    assert counts == [read_manifest(whole.stage_folder(index)).counts for index in range(2)]


@pytest.mark.promise("F3")
@pytest.mark.fault
def test_a_kill_after_a_checkpoint_loses_the_steps_since(tmp_path: Path, starts: Callable[..., Path]) -> None:
    whole = write_recipe(starts(tmp_path / "a"), stage(layers="odd"))
    run(whole)
    killed = write_recipe(starts(tmp_path / "b"), stage(layers="odd"), checkpoints={"every": 512, "keep": 2})
    kill_at(killed.file.parent, "pretrain.after_step:kill@3")
    assert checkpoints(killed) == ["step-000002"]
    run(killed)
    same_model(whole, killed)


@pytest.mark.promise("F3")
@pytest.mark.fault
def test_a_kill_before_any_checkpoint_starts_over(tmp_path: Path, starts: Callable[..., Path]) -> None:
    whole = write_recipe(starts(tmp_path / "a"), stage(layers="odd"))
    run(whole)
    killed = write_recipe(starts(tmp_path / "b"), stage(layers="odd"))
    kill_at(killed.file.parent, "pretrain.after_step:kill@2")
    assert not (killed.stage_folder(0) / "checkpoints").exists()
    run(killed)
    same_model(whole, killed)
    assert [row["step"] for row in course(killed)] == [1, 2, 3, 4, 5]


def flip(path: Path, place: int) -> None:
    """Turn one bit of a file."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.promise("F10", "F11")
@pytest.mark.parametrize("damage", ["newest", "all"])
def test_a_damaged_checkpoint_is_passed_over_and_said(
    tmp_path: Path, starts: Callable[..., Path], capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    settings = {"checkpoints": {"every": 256, "keep": 2}, "measure": {"every": 256, "documents": 1, "samples": 0}}
    whole = write_recipe(starts(tmp_path / "a"), stage(layers="odd"), **settings)
    run(whole)
    recipe = write_recipe(starts(tmp_path / "b"), stage(layers="odd"), **settings)
    with pytest.raises(RedwhaleError, match="interrupted"):
        run(recipe, after=Stop(4))
    home = recipe.stage_folder(0) / CHECKPOINTS_NAME
    assert checkpoints(recipe) == ["step-000003", "step-000004"]
    flip(home / "step-000004" / "tensors-00000.safetensors", -3)
    if damage == "all":
        (home / "step-000003" / "state.json").write_text("{")
    capsys.readouterr()
    step.run(recipe, 0, console=Console(json_output=True))
    said = capsys.readouterr().err
    assert "step-000004 is damaged (tensors-00000.safetensors does not match its digest); trying the one before" in said
    if damage == "all":
        assert "step-000003 is damaged (" in said and "; the stage starts from its beginning" in said
    else:
        assert "resuming after step 3" in said
    same_model(whole, recipe)
    assert [row["step"] for row in course(recipe)] == [1, 2, 3, 4, 5]


def test_another_engine_takes_over_where_one_stopped(tmp_path: Path, starts: Callable[..., Path]) -> None:
    train = {"embedding": "new", "head": "new", "layers": "odd"}
    measure = {"every": 256, "documents": 1, "samples": 0}
    whole = write_recipe(starts(tmp_path / "a"), stage(**train), measure=measure)
    run(whole)
    root = starts(tmp_path / "b")
    with pytest.raises(RedwhaleError, match="interrupted"):
        run(write_recipe(root, stage(**train), measure=measure, deepspeed={"zero": 2}), after=Stop(3))
    recipe = write_recipe(root, stage(**train), measure=measure)
    assert run(recipe).metrics["engine"] == "plain"
    left, right = state_of(whole.model_folder(0)), state_of(recipe.model_folder(0))
    assert all(torch.allclose(left[name], right[name], rtol=0, atol=1e-6) for name in left)


@pytest.mark.promise("F6")
def test_a_signal_in_the_last_step_is_heard(tmp_path: Path, starts: Callable[..., Path]) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers="odd"), measure={"every": 256, "documents": 1, "samples": 0})
    with pytest.raises(RedwhaleError, match="interrupted after step 5 of 5; a checkpoint is saved") as caught:
        run(recipe, after=Stop(6))  # the measurement after the last step
    assert caught.value.exit_code == 143
    assert run(recipe).counts["steps"] == 5


def test_a_checkpoint_holds_only_named_float32_tensors(tmp_path: Path, starts: Callable[..., Path]) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers=[1]), measure={"every": 256, "documents": 1, "samples": 0})
    with pytest.raises(RedwhaleError, match="interrupted"):
        run(recipe, after=Stop(2))
    home = recipe.stage_folder(0) / CHECKPOINTS_NAME / "step-000002"
    assert sorted(path.name for path in home.iterdir()) == ["state.json", "tensors-00000.safetensors"]
    from safetensors.torch import load_file

    tensors = load_file(home / "tensors-00000.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert {name.rpartition(":")[2] for name in tensors} == {"master", "exp_avg", "exp_avg_sq"}
    assert all(name.startswith("model.layers.1.") for name in tensors)
    state = json.loads((home / "state.json").read_text())["state"]
    assert (state["step"], state["updates"], state["adam_steps"]) == (2, 2, 2)


@pytest.mark.promise("F10")
def test_no_bit_of_a_state_flips_unseen(tmp_path: Path, starts: Callable[..., Path]) -> None:
    recipe = write_recipe(starts(tmp_path), stage(norms="final"), measure={"every": 256, "documents": 1, "samples": 0})
    with pytest.raises(RedwhaleError, match="interrupted"):
        run(recipe, after=Stop(3))
    folder = recipe.stage_folder(0) / CHECKPOINTS_NAME / "step-000003"
    whole, state = (folder / "state.json").read_bytes(), checkpoint.open_stored(folder, trained=[], digests=True).state
    assert (state.step, state.adam_steps, len(state.measured)) == (3, 3, 4)
    for place in range(len(whole)):
        flip(folder / "state.json", place)
        with contextlib.suppress(ValueError, KeyError, OSError, TypeError):  # what is said to be damage
            assert checkpoint.open_stored(folder, trained=[], digests=True).state == state, place
        (folder / "state.json").write_bytes(whole)
