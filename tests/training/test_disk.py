"""Disks that are full, fail or lie while a stage writes: what was there stays, and the same command goes on."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redwhale.core.artifact import read_manifest
from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.training import checkpoint, step
from redwhale.training.layout import CHECKPOINTS_NAME, checkpoint_folders
from tests.disks import pretend_room, small_disk
from tests.training.stages import rows, run, stage, write_recipe

pytestmark = pytest.mark.fault
Starts = Callable[..., Path]
SETTINGS: dict[str, Any] = {
    "checkpoints": {"every": 256, "keep": 2}, "measure": {"documents": 1, "document_bytes": 30, "samples": 0},
}  # fmt: skip
KEEP_ONE = {"checkpoints": {"every": 256, "keep": 1}}


def make(starts: Starts, folder: Path, **settings: Any) -> Recipe:
    return write_recipe(starts(folder), stage(layers="odd"), **(SETTINGS | settings))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, starts: Starts) -> Recipe:
    """A stage of five steps that nothing disturbed."""
    recipe = make(starts, tmp_path_factory.mktemp("whole"))
    run(recipe)
    return recipe


def left(recipe: Recipe) -> list[str]:
    return sorted(path.name for path in (recipe.stage_folder(0) / CHECKPOINTS_NAME).iterdir())


def fails(recipe: Recipe, monkeypatch: pytest.MonkeyPatch, fault: str) -> RedwhaleError | OSError:
    """Run a stage into a fault."""
    with monkeypatch.context() as disk:
        disk.setenv("REDWHALE_FAULT", fault)
        with pytest.raises((RedwhaleError, OSError)) as caught:
            run(recipe)
    assert not (recipe.stage_folder(0) / "manifest.json").exists()
    return caught.value


def goes_on(recipe: Recipe, whole: Recipe, *, after: int, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the same command again, from the checkpoint of a step, to the result of an undisturbed run."""
    capsys.readouterr()
    manifest = step.run(recipe, 0, console=Console(json_output=True))
    said = capsys.readouterr().err
    assert (f"resuming after step {after} " in said) == (after > 0), said
    assert manifest.digest == read_manifest(whole.stage_folder(0)).digest
    losses, expected = ([row["loss"] for row in rows(each) if "loss" in row] for each in (recipe, whole))
    assert losses == expected and not list(recipe.stage_folder(0).rglob(".tmp-*"))
    return said


@pytest.mark.slow
@pytest.mark.promise("F7", "F9", "F30")
@pytest.mark.parametrize(("kind", "code"), [("ENOSPC", 4), ("EIO", 1)])
def test_the_one_checkpoint_there_outlives_the_next_one_s_failure(
    tmp_path: Path, starts: Starts, whole: Recipe, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], kind: str, code: int,
) -> None:  # fmt: skip
    """A fault at each place of the writing in turn, each time in the checkpoint after the one that is there."""
    recipe = make(starts, tmp_path, **KEEP_ONE)
    fails(recipe, monkeypatch, "checkpoint.after_tensors:raise-EIO@2")
    for point, passage in (("checkpoint.after_tensors", 1), ("publish.after_write", 2), ("publish.before_rename", 2)):
        assert left(recipe) == ["step-000001"]
        before = checkpoint.open_stored(recipe.stage_folder(0) / CHECKPOINTS_NAME / "step-000001", trained=[])
        error = fails(recipe, monkeypatch, f"{point}:raise-{kind}@{passage}")
        if code == 4:
            assert isinstance(error, RedwhaleError) and error.exit_code == 4, point
            assert error.where.endswith("checkpoints/step-000002") and "same command again" in error.fix
            assert error.what == f"the disk is full: {18_560 * 12:,} bytes are to be written"
        elif isinstance(error, RedwhaleError):
            assert error.exit_code == 1 and "cannot be published (Input/output error)" in error.what
        else:
            assert error.errno == errno.EIO
        assert left(recipe) == ["step-000001"], point
        assert checkpoint.open_stored(before.folder, trained=[], digests=True).state == before.state
    goes_on(recipe, whole, after=1, capsys=capsys)


@pytest.mark.slow
@pytest.mark.promise("F9")
def test_a_disk_that_fails_at_the_manifest_leaves_the_stage_unfinished(
    tmp_path: Path, starts: Starts, whole: Recipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before and after the rename alike; a stage that has come to its end writes the model, then the manifest."""
    recipe = make(starts, tmp_path)
    fails(recipe, monkeypatch, "pretrain.before_manifest:raise-EIO")
    for point in ("before_write", "after_write", "before_rename", "before_folder_sync", "after_rename"):
        error = fails(recipe, monkeypatch, f"publish.{point}:raise-EIO@2")
        if point == "before_write":
            assert isinstance(error, OSError) and str(error.filename).endswith("manifest.json")
        else:
            assert isinstance(error, RedwhaleError) and error.exit_code == 1
            assert error.where.endswith("manifest.json") and "cannot be published (Input/output error)" in error.what
        assert (recipe.stage_folder(0) / "begun.json").exists()
    goes_on(recipe, whole, after=5, capsys=capsys)


@pytest.mark.slow
@pytest.mark.promise("F7")
def test_a_really_full_disk_costs_no_checkpoint(
    tmp_path: Path, starts: Starts, whole: Recipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 700 KB the first two checkpoints of 230 KB take most, which nobody knew before."""
    recipe = make(starts, tmp_path)
    with small_disk(recipe.stage_folder(0), size_bytes=700_000) as disk:
        with pytest.raises(RedwhaleError, match="each and the model take") as refused:  # known before the start
            run(recipe)
        assert refused.value.exit_code == 4 and not (disk / CHECKPOINTS_NAME).exists()
        with monkeypatch.context() as other:
            pretend_room(other)
            with pytest.raises(RedwhaleError, match=r"the disk is full: [0-9,]+ bytes are to be written") as caught:
                run(recipe)
        assert caught.value.exit_code == 4 and "step-000003" in caught.value.where
        assert left(recipe) == ["step-000001", "step-000002"] and not list(disk.rglob(".tmp-*"))
        for name in left(recipe):
            checkpoint.open_stored(disk / CHECKPOINTS_NAME / name, trained=[], digests=True)
        os.system(f"mount -o remount,size=10M {disk}")
        goes_on(recipe, whole, after=2, capsys=capsys)


@pytest.mark.slow
@pytest.mark.promise("F10", "F30")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("checkpoint.after_tensors:truncate@2", r"tensors-00000\.safetensors: .*incomplete"),
        ("checkpoint.before_rotation:truncate@2", "state.json|Expecting|Unterminated"),
    ],
)
def test_a_checkpoint_that_the_disk_has_cut_replaces_none(
    tmp_path: Path, starts: Starts, whole: Recipe, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], fault: str, reason: str,
) -> None:  # fmt: skip
    recipe = make(starts, tmp_path, **KEEP_ONE)
    error = fails(recipe, monkeypatch, fault)
    assert isinstance(error, RedwhaleError) and error.exit_code == 1
    assert "the checkpoint just written cannot be read" in error.what and "step-000002" in error.where
    assert left(recipe) == ["step-000001", "step-000002"]
    said = goes_on(recipe, whole, after=1, capsys=capsys)
    assert "step-000002 is damaged (" in said and "; trying the one before" in said


@pytest.mark.slow
@pytest.mark.promise("F11", "F30")
def test_what_is_no_whole_checkpoint_is_passed_over_and_cleaned(
    tmp_path: Path, starts: Starts, whole: Recipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged one of a later step must not take the place of a good one when only one is kept."""
    recipe = make(starts, tmp_path, **KEEP_ONE)
    fails(recipe, monkeypatch, "checkpoint.before_rotation:raise-EIO@2")
    home = recipe.stage_folder(0) / CHECKPOINTS_NAME
    for later in ("step-000003", "step-000009"):
        shutil.copytree(home / "step-000002", home / later)
    (home / "step-000009" / "tensors-00000.safetensors").unlink()
    (home / "step-000003" / "state.json").unlink()
    (home / "step-000002" / "state.json").write_text("")
    for name in (".tmp-123-step-000004", "step-notes"):
        (home / name).mkdir()
        (home / name / "state.json").write_text("{")
    capsys.readouterr()
    with monkeypatch.context() as disk:
        disk.setenv("REDWHALE_FAULT", "checkpoint.before_rotation:raise-EIO@2")
        with pytest.raises(OSError):
            step.run(recipe, 0, console=Console(json_output=True))
    said = capsys.readouterr().err
    for number in (9, 3, 2):
        assert f"step-{number:06d} is damaged (" in said
    assert "resuming after step 1 " in said and "tmp-123" not in said
    assert left(recipe) == ["step-000002", "step-000003", "step-notes"]  # 3 is the one whose rotation failed
    goes_on(recipe, whole, after=3, capsys=capsys)


@pytest.mark.promise("F10")
@pytest.mark.parametrize("part", ["parent", "tokens", "corpus"])
def test_a_flipped_bit_of_what_a_stage_reads_is_named(tmp_path: Path, starts: Starts, part: str) -> None:
    recipe = make(starts, tmp_path)
    file = {
        "parent": recipe.model_0_folder / "model.safetensors", "tokens": recipe.tokens_folder / "news.tokens",
        "corpus": recipe.corpus_folder / "held_out" / "news-00000.parquet",
    }[part]  # fmt: skip
    stat = file.stat()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(RedwhaleError, match="a file of a finished result has changed") as caught:
        run(recipe)
    assert caught.value.exit_code == 1 and caught.value.where == str(file)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # size and time tell nothing: --verify reads
    with pytest.raises(RedwhaleError, match="a file of a finished result has changed") as caught:
        run(recipe, verify=True)
    assert caught.value.where == str(file) and not (recipe.stage_folder(0) / CHECKPOINTS_NAME).exists()


@pytest.mark.promise("F5")
def test_checkpoints_of_a_million_steps_are_told_apart_by_number(tmp_path: Path) -> None:
    names = ["step-999990", "step-1000000", "step-999999", "step-1000010"]
    for name in names:
        (tmp_path / name).mkdir()
    assert [path.name for path in checkpoint_folders(tmp_path)] == [names[3], names[1], names[2], names[0]]


@pytest.mark.slow
@pytest.mark.promise("F10")
def test_a_flipped_bit_of_a_finished_stage_is_found_by_verify(whole: Recipe) -> None:
    file = whole.model_folder(0) / "model.safetensors"
    stat, data = file.stat(), file.read_bytes()
    try:
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        with pytest.raises(RedwhaleError, match=r"model\.safetensors: a file of a finished result has changed"):
            run(whole, verify=True)
    finally:
        file.write_bytes(data)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
