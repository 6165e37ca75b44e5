"""What is done of a chain, how far the rest is and why, what it takes on disk, and the next command."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from redwhale.chain_status import ChainStatus, StepStatus, sizes, status
from redwhale.core.artifact import read_manifest
from redwhale.core.console import Console, data_size
from redwhale.core.lock import locked
from redwhale.core.recipe.recipe import Recipe
from redwhale.tables_state import show_status
from redwhale.training.progress import last_step
from tests.training import stages
from tests.training.stages import run, stage, write_recipe

PARTS = [stage("one", layers="odd"), stage("two", layers="even")]
SETTINGS: dict[str, Any] = {"checkpoints": {"every": 512}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = stages.make_start(tmp_path_factory.mktemp("status"))
    recipe = write_recipe(root, *PARTS, **SETTINGS)
    run(recipe, 0)
    return root


@pytest.fixture
def recipe(made: Path, tmp_path: Path) -> Recipe:
    shutil.copytree(made, tmp_path / "work")
    return write_recipe(tmp_path / "work", *PARTS, **SETTINGS)


def rows_of(found: ChainStatus) -> dict[str, StepStatus]:
    return {row.step: row for row in found.steps}


def shown(found: ChainStatus, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    show_status(found, Console())
    return capsys.readouterr().out.splitlines()


def test_a_done_step_has_size_date_and_time_and_the_next_command_stands_last(
    recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    found = status(recipe)
    row, manifest = rows_of(found)["stage 1 one"], read_manifest(recipe.stage_folder(0))
    files = [path for path in recipe.stage_folder(0).rglob("*") if path.is_file()]
    assert (row.state, row.why, row.progress) == ("done", [], None)
    assert row.bytes == sum(path.stat().st_size for path in files) > manifest.output_bytes
    assert row.seconds == manifest.timings["wall_seconds"] and row.made == manifest.made and len(row.made or "") == 25
    assert rows_of(found)["stage 2 two"].state == "absent"
    assert found.bytes == sum(row.bytes for row in found.steps) and not found.freeable and not found.scratch_bytes
    lines = shown(found, capsys)
    assert lines[-1] == f"next: redwhale pretrain --stage 2 -c {recipe.file}"
    assert lines[-2] == f"in {recipe.root}: {data_size(found.bytes)} of results"
    run(recipe, 1)
    assert shown(status(recipe), capsys)[-1] == f"everything is done; on one page by: redwhale report -c {recipe.file}"


def test_an_interrupted_stage_says_how_far_it_is_and_from_where_it_goes_on(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDWHALE_FAULT", "pretrain.after_step:raise-EIO@3")  # of 5 steps; a checkpoint every 2
    with pytest.raises(OSError):
        run(recipe, 1)
    monkeypatch.delenv("REDWHALE_FAULT")
    found = status(recipe)
    row = rows_of(found)["stage 2 two"]
    assert row.state == "interrupted" and row.made is None and row.progress
    last = stages.rows(recipe, 1)[-1]
    assert (row.progress.step, row.progress.steps, row.progress.checkpoint) == (3, 5, 2)
    assert row.progress.loss == last["loss"]
    assert row.progress.seconds_left == round(2 * 256 / last["tokens_per_second"], 1)
    saved = sum(path.stat().st_size for path in (recipe.stage_folder(1) / "checkpoints").rglob("*") if path.is_file())
    assert row.scratch_bytes == found.scratch_bytes == saved > 0
    (one,) = found.freeable
    assert (one.path, one.bytes, one.what) == (str(recipe.stage_folder(1)), saved, "what stage 2 two would go on from")
    lines = shown(found, capsys)
    assert "stage 2 two: interrupted; it goes on after step 2" in lines
    assert any(line.startswith(f"  step 3 of 5 (60 %), loss {last['loss']:.4f}, ") for line in lines)
    with locked(recipe.stage_folder(1)):
        found = status(recipe)
        assert rows_of(found)["stage 2 two"].state == "running" and not found.freeable
        lines = shown(found, capsys)
    assert any(line.startswith(f"stage 2 two: running, process {os.getpid()} on ") for line in lines)
    assert lines[-1] == "nothing else is to be done (once stage 2 two is done)"
    run(recipe, 1)
    assert rows_of(status(recipe))["stage 2 two"].state == "done"


def test_what_was_made_from_a_changed_step_is_stale(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "work")
    run(write_recipe(tmp_path / "work", *PARTS, **SETTINGS), 1)
    other = write_recipe(tmp_path / "work", stage("one", layers="odd", learning_rate=5e-3), PARTS[1], **SETTINGS)
    found = status(other)
    rows = rows_of(found)
    assert rows["pack"].state == "done"
    assert rows["stage 1 one"].state == "changed" and rows["stage 1 one"].why == ["stage.learning_rate: 0.001 -> 0.005"]
    assert rows["stage 2 two"].state == "stale" and rows["stage 2 two"].why == ["stage 1 one is to be made again"]
    assert found.next_command == f"redwhale pretrain --stage 1 -c {other.file} --fresh"
    both = write_recipe(tmp_path / "work", *(part | {"learning_rate": 5e-3} for part in PARTS), **SETTINGS)
    assert rows_of(status(both))["stage 2 two"].state == "changed"  # whatever becomes of stage 1
    (other.stage_folder(0) / "manifest.json").unlink()
    row = rows_of(status(other))["stage 2 two"]
    assert (row.state, row.why) == ("stale", ["stage 1 one is not done"])


def test_damage_names_the_file(recipe: Recipe) -> None:
    tokens = next(recipe.tokens_folder.glob("*.tokens"))
    tokens.write_bytes(tokens.read_bytes()[:-1])
    (recipe.stage_folder(0) / "manifest.json").write_text("{")
    rows = rows_of(status(recipe))
    assert rows["pack"].state == "damaged" and rows["pack"].why[0].startswith(
        f"{tokens}: a file of a finished result has changed"
    )
    assert rows["stage 1 one"].state == "damaged" and "the manifest is damaged" in rows["stage 1 one"].why[0]


def test_stages_of_another_recipe_and_leftovers_could_be_freed(recipe: Recipe) -> None:
    recipe.stage_folder(0).rename(recipe.root / "stage-1-old")
    shutil.copytree(recipe.root / "stage-1-old", recipe.stage_folder(0))
    (recipe.tokens_folder / "scratch").mkdir()
    (recipe.tokens_folder / "scratch" / "part").write_bytes(bytes(70))
    (recipe.tokens_folder / ".tmp-1-x").write_bytes(bytes(30))
    (recipe.root / "notes").mkdir()  # the user's own
    found = {Path(one.path).name: (one.bytes, one.what) for one in status(recipe).freeable}
    old = sum(path.stat().st_size for path in (recipe.root / "stage-1-old").rglob("*") if path.is_file())
    assert found == {
        "tokens": (100, "left over in pack; the next run removes it"),
        "stage-1-old": (old, "a stage that the recipe does not have"),
    }


def test_shared_files_are_counted_once_in_all(tmp_path: Path) -> None:
    (tmp_path / "a" / "scratch").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "one").write_bytes(bytes(10))
    (tmp_path / "a" / "scratch" / "two").write_bytes(bytes(5))
    (tmp_path / "b" / "three").write_bytes(bytes(2))
    os.link(tmp_path / "a" / "one", tmp_path / "b" / "one")
    seen: set[tuple[int, int]] = set()
    kept, scratch = sizes(tmp_path / "a", seen)
    assert (kept.all, kept.once, scratch.all) == (10, 10, 5)
    kept, scratch = sizes(tmp_path / "b", seen)
    assert (kept.all, kept.once, scratch.all) == (12, 2, 0)


def test_the_last_step_is_read_from_the_end_of_a_file_that_is_being_written(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    assert last_step(log) is None
    rows = [{"step": step, "learning_rate": {"layers": 1.0}} for step in range(5000)]
    measured = {"step": 4999, "bits_per_byte": {}}
    log.write_text("\n".join(json.dumps(row) for row in [*rows, measured]) + '\n{"step": 50')
    assert log.stat().st_size > 2**16
    assert last_step(log) == rows[-1]


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (2**20, "1.0 MiB"), (100 * 2**30, "100 GiB"),
     (2**50, "1024 TiB")],
)  # fmt: skip
def test_sizes_in_words(size: int, words: str) -> None:
    assert data_size(size) == words
