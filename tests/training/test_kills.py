"""Commands that are killed, stopped or in each other's way: real processes, and what they leave to the next one."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redwhale.core.artifact import read_manifest
from redwhale.core.recipe.recipe import Recipe
from redwhale.training import packing
from redwhale.training.layout import CHECKPOINTS_NAME
from tests import forked, pico
from tests.training import stages
from tests.training.stages import QUIET, rows, run, stage, state_of, write_recipe

pytestmark = [pytest.mark.slow, pytest.mark.fault]
LITTLE: dict[str, Any] = {"measure": {"documents": 1, "document_bytes": 30, "samples": 0}}

# Where the command is killed, what it leaves (T: a folder that is being written), and the step it had gone on from.
KILLS = [
    ("checkpoint.after_removal:kill@1", ["2", "3"], 0),
    ("publish.before_write:kill@2", ["2", "3", "T"], 3),
    ("checkpoint.after_tensors:kill@1", ["2", "3", "T"], 3),
    ("publish.after_write:kill@2", ["2", "3", "T"], 3),
    ("publish.before_rename:kill@2", ["2", "3", "T"], 3),
    ("publish.before_folder_sync:kill@2", ["2", "3", "4"], 3),
    ("publish.after_rename:kill@2", ["2", "3", "4", "5"], 4),
    ("checkpoint.before_rotation:kill@1", ["2", "3", "4", "5", "6"], 5),
]


def pretrain(recipe: Recipe, *words: str, fault: str = "") -> forked.Ended:
    return forked.redwhale("pretrain", "--stage", "1", *words, cwd=recipe.file.parent, fault=fault)


def left(recipe: Recipe) -> list[str]:
    """Return the steps of the checkpoints that are there, T for one that is being written."""
    names = sorted(path.name for path in (recipe.stage_folder(0) / CHECKPOINTS_NAME).iterdir())
    return sorted("T" if name.startswith(".tmp-") else name.removeprefix("step-").lstrip("0") for name in names)


def course(recipe: Recipe) -> list[dict[str, Any]]:
    """Return what each step's row says of the training, without times."""
    stable = ("step", "tokens", "loss", "learning_rate", "gradient_norm", "language_shares")
    return [{key: row[key] for key in stable} for row in rows(recipe) if "loss" in row]


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A start with so little text that a stage of nine steps goes through a source more than once."""
    texts = {"news": pico.korean_documents(60), "docs": pico.english_lines()[:20]}
    root = stages.make_start(tmp_path_factory.mktemp("little"), texts=lambda base: texts)
    packing.run(write_recipe(root, stage(layers="all")), console=QUIET)
    return root


@pytest.mark.promise("F3", "F4")
@pytest.mark.parametrize("deepspeed", [None, {"zero": 2}], ids=["plain", "zero-2"])
def test_killed_at_every_point_of_a_checkpoint_s_writing_the_model_is_the_same(
    tmp_path: Path, little: Path, deepspeed: Any
) -> None:
    """Eight times in one stage, most of them in one epoch of a source that the stage goes through more than once."""
    entry = stage(embedding="new", head="all", layers="odd", tokens=9 * 256) | {"mixture": {"news": 0.4, "docs": 0.6}}
    settings: dict[str, Any] = LITTLE | {"checkpoints": {"every": 256, "keep": 2}, "deepspeed": deepspeed}
    for name in "ab":
        shutil.copytree(little, tmp_path / name)
    whole, killed = (write_recipe(tmp_path / name, entry, **settings) for name in "ab")
    run(whole)
    for fault, leaves, gone_on_from in KILLS:
        ended = pretrain(killed, fault=fault)
        assert ended.code == -signal.SIGKILL, (fault, ended.err[-2000:])
        assert left(killed) == leaves, fault
        resumed = re.search(r"resuming after step (\d+) ", ended.err)
        assert (int(resumed[1]) if resumed else 0) == gone_on_from, fault
    ended = pretrain(killed)
    assert ended.code == 0 and "resuming after step 6 " in ended.err, ended.err[-2000:]
    manifests = [read_manifest(recipe.stage_folder(0)) for recipe in (whole, killed)]
    assert manifests[0].digest == manifests[1].digest and manifests[0].counts == manifests[1].counts
    assert manifests[1].counts["realised_mixture"]["docs"]["epochs"] > 1.5
    assert course(whole) == course(killed) and [row["step"] for row in course(killed)] == list(range(1, 10))
    one, other = (state_of(recipe.model_folder(0)) for recipe in (whole, killed))
    assert all(one[name].equal(other[name]) for name in one.keys() | other.keys())
    assert not list(killed.stage_folder(0).rglob(".tmp-*"))


@pytest.mark.promise("F6")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_a_checkpoint_and_names_the_command_that_goes_on(
    tmp_path: Path, starts: Callable[..., Path], number: int, code: int
) -> None:
    recipe = write_recipe(starts(tmp_path), stage(norms="final", tokens=80 * 256), **LITTLE)
    begun = forked.start("pretrain", "--stage", "1", cwd=recipe.file.parent)
    begun.wait_for(lambda: '"loss"' in _text(recipe.stage_folder(0) / "metrics.jsonl"), "a step")
    begun.signal(number)
    ended = begun.end()
    assert ended.code == code, ended.err
    (step,) = left(recipe)
    said = re.search(r"error: .*interrupted after step (\d+) of 80; a checkpoint is saved; `(.+)` goes on", ended.err)
    assert said and said[1] == step, ended.err
    program, *words = shlex.split(said[2])
    ended = forked.redwhale(*words, cwd=recipe.file.parent)
    assert program == "redwhale" and ended.code == 0 and f"resuming after step {step} " in ended.err, ended.err
    assert [row["step"] for row in course(recipe)] == list(range(1, 81))


@pytest.mark.promise("F6")
def test_a_second_ctrl_c_ends_at_once(tmp_path: Path, starts: Callable[..., Path]) -> None:
    recipe = write_recipe(starts(tmp_path), stage(norms="final"), **LITTLE)
    begun = forked.start("pretrain", "--stage", "1", cwd=recipe.file.parent, fault="pretrain.after_step:sleep@2")
    begun.wait_for(lambda: '"step": 2, ' in _text(recipe.stage_folder(0) / "metrics.jsonl"), "a second step")
    time.sleep(0.3)
    begun.signal(signal.SIGINT)
    time.sleep(1.2)
    assert begun.process.is_alive()  # the first one waits for the step that is under way
    again = time.monotonic()
    begun.signal(signal.SIGINT)
    ended = begun.end()
    assert ended.code == 130 and time.monotonic() - again < 10
    assert "error: interrupted; run the same command again to go on" in ended.err and "Traceback" not in ended.err
    assert pretrain(recipe).code == 0 and len(course(recipe)) == 5


@pytest.mark.promise("F12")
def test_a_second_command_names_the_first_and_takes_over_when_that_is_dead(
    tmp_path: Path, starts: Callable[..., Path]
) -> None:
    recipe = write_recipe(starts(tmp_path), stage(norms="final"), **LITTLE)
    first = forked.start("pretrain", "--stage", "1", cwd=recipe.file.parent, fault="pretrain.after_step:sleep@2")
    first.wait_for(lambda: '"step": 2, ' in _text(recipe.stage_folder(0) / "metrics.jsonl"), "a second step")
    log = _text(recipe.stage_folder(0) / "log.txt")
    second = pretrain(recipe)
    assert second.code == 2
    assert f"process {first.pid} on {socket.gethostname()} is working in this folder" in second.err
    assert f"{recipe.stage_folder(0)}: " in second.err and _text(recipe.stage_folder(0) / "log.txt") == log
    first.signal(signal.SIGKILL)
    assert first.end().code == -signal.SIGKILL
    assert json.loads(_text(recipe.stage_folder(0) / ".lock"))["pid"] == first.pid
    assert pretrain(recipe).code == 0 and not (recipe.stage_folder(0) / ".lock").exists()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
