"""Curves in TensorBoard and W&B hold the rows of metrics.jsonl, each once, and change no result."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.training import step, trackers
from redwhale.training.packages import check_packages
from redwhale.training.trackers import Tracker, numbers
from tests.training.stages import QUIET, rows, run, stage, write_recipe
from tests.training.test_resume import Stop, kill_at, same_model

HAS_TENSORBOARD = pytest.mark.skipif(find_spec("tensorboard") is None, reason="the tensorboard package is absent")
HAS_WANDB = pytest.mark.skipif(find_spec("wandb") is None, reason="the wandb package is absent")
ON = {"trackers": {"tensorboard": True}}
OFFLINE = {"trackers": {"wandb": {"project": "tests", "mode": "offline"}}}
KEPT = {"checkpoints": {"every": 512, "keep": 2}, "measure": {"every": 512, "documents": 1, "document_bytes": 30}}


def test_numbers_of_a_row_by_their_path() -> None:
    row = {
        "step": 3, "loss": None, "skipped": True, "learning_rate": {"layers": 1e-4}, "blocks": ["news:3"],
        "bits_per_byte": {"language": {"ko": 2.5}}, "gradient_norm": float("inf"),
    }  # fmt: skip
    assert numbers(row) == {
        "step": 3.0, "skipped": 1.0, "learning_rate/layers": 1e-4, "bits_per_byte/language/ko": 2.5,
    }  # fmt: skip


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return what a viewer shows of a folder of event files: by name, all points in the order it read them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    return {name: [(event.step, event.value) for event in read.Scalars(name)] for name in read.Tags()["scalars"]}


def expected(recipe: Recipe, index: int, *, before: int) -> dict[str, list[tuple[int, float]]]:
    points: dict[str, list[tuple[int, float]]] = {}
    for row in rows(recipe, index):
        for name, value in numbers(row).items():
            points.setdefault(name, []).append((before + row["tokens"], pytest.approx(value, rel=1e-6)))
    return points


@pytest.mark.fault
@HAS_TENSORBOARD
def test_a_viewer_shows_every_row_once_over_the_tokens_of_all_stages(
    tmp_path: Path, starts: Callable[..., Path]
) -> None:
    both = [stage(embedding="new", head="new"), stage("two", layers="odd")]
    plain = write_recipe(starts(tmp_path / "plain"), *both, **KEPT)
    run(plain)
    recipe = write_recipe(starts(tmp_path / "tracked"), *both, **KEPT, **ON)
    kill_at(recipe.file.parent, "pretrain.after_step:kill@4")  # the checkpoint is of step 2
    folder = recipe.stage_folder(0) / "tensorboard"
    assert len(list(folder.iterdir())) == 1
    manifest = run(recipe)
    run(recipe, 1)
    same_model(plain, recipe)
    assert not any("tensorboard" in record.path for record in manifest.outputs)
    first, second = curves(folder), curves(recipe.stage_folder(1) / "tensorboard")
    assert first == expected(recipe, 0, before=0)
    assert second == expected(recipe, 1, before=1280)
    assert [place for place, _ in first["loss"]] == [256, 512, 768, 1024, 1280]
    assert [place for place, _ in second["loss"]] == [1536, 1792, 2048, 2304, 2560]
    assert [place for place, _ in second["bits_per_byte/language/ko"]] == [1280, 1792, 2304, 2560]
    assert {"learning_rate/embedding", "gradient_norm", "tokens_per_second", "peak_memory_bytes", "tflops",
            "language_shares/en", "bits_per_byte/source/docs"} <= first.keys()  # fmt: skip


@HAS_TENSORBOARD
def test_switched_on_in_the_middle_the_rows_before_are_there_too(tmp_path: Path, starts: Callable[..., Path]) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers="odd"), **KEPT)
    with pytest.raises(RedwhaleError, match="interrupted after step 3"):
        run(recipe, after=Stop(2))  # measured before step 1, and after step 2
    recipe = write_recipe(recipe.file.parent, stage(layers="odd"), **KEPT, **ON)
    run(recipe)
    assert curves(recipe.stage_folder(0) / "tensorboard") == expected(recipe, 0, before=0)


def test_trackers_are_no_part_of_the_identity(tmp_path: Path, starts: Callable[..., Path]) -> None:
    root = starts(tmp_path)
    plain = step.plan(write_recipe(root, stage(layers="odd")), 0)
    for settings in (ON, OFFLINE):
        assert step.plan(write_recipe(root, stage(layers="odd"), **settings), 0).fields == plain.fields


def test_only_the_process_that_leads_writes(tmp_path: Path, starts: Callable[..., Path]) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers="odd"), trackers=ON["trackers"] | OFFLINE["trackers"])
    with trackers.opened(recipe, 0, leads=False, console=QUIET) as found:
        assert found == []
    assert not recipe.stage_folder(0).exists()


def test_a_failing_tracker_is_warned_of_once_and_training_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    calls = []

    def send(tokens: int, values: dict[str, float]) -> None:
        calls.append((tokens, values))
        raise OSError("no space\nleft")

    tracker = Tracker("TensorBoard", send, calls.append, tokens_before=100, console=Console(quiet=True))
    tracker.write({"step": 1, "tokens": 10})
    tracker.write({"step": 2, "tokens": 20})
    tracker.close(0)
    assert calls == [(110, {"step": 1.0, "tokens": 10.0})]
    assert capsys.readouterr().err == (
        "warning: TensorBoard takes no more rows (no space left); metrics.jsonl has them all\n"
    )


@pytest.mark.skipif(find_spec("wandb") is not None, reason="the wandb package is installed")
def test_a_missing_package_is_refused_before_anything_is_done(
    tmp_path: Path, starts: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers="odd"), **OFFLINE)
    (tmp_path / "beside" / "wandb").mkdir(parents=True)  # as W&B leaves in a folder where it ran
    monkeypatch.syspath_prepend(str(tmp_path / "beside"))
    reason = r"trackers\.wandb: the `wandb` package is not installed; pip install 'redwhale\[wandb\]'"
    for refused in (lambda: run(recipe), lambda: check_packages(recipe.need("pretrain"))):
        with pytest.raises(RedwhaleError, match=reason) as caught:
            refused()
        assert caught.value.exit_code == 2
    assert not recipe.stage_folder(0).exists()
    done = subprocess.run(
        [sys.executable, "-m", "redwhale", "run", "-c", str(recipe.file)], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 2 and "is not installed" in done.stderr
    run(write_recipe(recipe.file.parent, stage(layers="odd")))
    assert run(recipe).step == "pretrain"  # a finished stage needs no package


def wandb_records(path: Path) -> Iterator[bytes]:
    """Yield the records of an offline run: LevelDB's log format after a header of seven bytes."""
    data, place, parts = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if (left := 2**15 - place % 2**15) < 7:
            place += left
            continue
        size, kind = struct.unpack_from("<HB", data, place + 4)
        parts += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def wandb_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the history that the one offline run of a stage would send."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    items = [Record.FromString(record).history.item for record in wandb_records(path)]
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row} for row in items if row
    ]


@pytest.mark.fault
@HAS_WANDB
def test_wandb_offline_has_every_row_once_after_a_kill(tmp_path: Path, starts: Callable[..., Path]) -> None:
    assert os.environ.get("WANDB_API_KEY") is None
    plain = write_recipe(starts(tmp_path / "plain"), stage(layers="odd"), **KEPT)
    run(plain)
    recipe = write_recipe(starts(tmp_path / "tracked"), stage(layers="odd"), **KEPT, **OFFLINE)
    kill_at(recipe.file.parent, "pretrain.after_step:kill@4")
    name = (recipe.stage_folder(0) / "wandb" / "run-id").read_text().strip()
    run(recipe)
    same_model(plain, recipe)
    (folder,) = (recipe.stage_folder(0) / "wandb").glob("offline-run-*")
    assert folder.name.endswith(name)
    found = wandb_rows(recipe.stage_folder(0))
    merged: dict[int, dict[str, float]] = {}
    for row in rows(recipe):
        merged.setdefault(row["tokens"], {}).update(numbers(row))  # W&B joins what has one place
    assert [row["_step"] for row in found] == [0, 256, 512, 768, 1024, 1280]
    for row in found:
        kept = {key: value for key, value in row.items() if not key.startswith("_")}
        assert kept == merged[row["_step"]]
