"""Array jobs of a stand-in for Slurm: results, what a driver that returns finds, tasks that fail or are lost."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from redwhale.core.cluster.slurm_workers import SCRIPT_NAME, SlurmWorkers
from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.machine import Slurm
from redwhale.core.tasks import Workers
from redwhale.corpus.cleaned import CleanShard, clean_part
from tests.core.cluster.fake_slurm import install, submitted
from tests.core.cluster.test_shard_files import clean_shards

Make = Callable[..., SlurmWorkers]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return a function that makes workers over the stand-in, whose files show at once."""
    for name, value in install(tmp_path / "bin").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setattr("redwhale.core.cluster.slurm_workers._QUEUE_SECONDS", 0.1)
    monkeypatch.setattr("redwhale.core.cluster.slurm_workers._POLL_SECONDS", (0.1, 0.2))

    def workers(**settings: object) -> SlurmWorkers:
        section = Slurm.model_validate({"lag_seconds": 0, **settings})
        script = tmp_path / str(section.script or SCRIPT_NAME)
        return SlurmWorkers(section, folder=tmp_path / "jobs", script=script, console=Console(quiet=True))

    return workers


def shards_in(folder: Path) -> list[CleanShard]:
    folder.mkdir()
    return clean_shards(folder)


def contents(shards: list[CleanShard]) -> list[bytes]:
    return [path.read_bytes() for shard in shards for path in (shard.rows, shard.numbers)]


def script(folder: Path, text: str) -> str:
    (folder / "own.sbatch").write_text(f"#!/bin/bash\n{text}\n")
    return "own.sbatch"


@pytest.mark.slow
def test_tasks_give_the_bytes_of_this_process(tmp_path: Path, make: Make) -> None:
    """Three shards in two tasks, one of them done before."""
    here, there = shards_in(tmp_path / "here"), shards_in(tmp_path / "there")
    with Workers(1) as workers:
        list(workers.map_shards(clean_part, here))
        list(workers.map_shards(clean_part, there[1:2]))
    before = there[1].done.stat().st_mtime_ns
    with make(array_tasks=2, at_once=1) as workers:
        assert list(workers.map_shards(clean_part, there)) == there
    assert contents(here) == contents(there) and there[1].done.stat().st_mtime_ns == before
    (command,) = submitted(tmp_path / "bin")
    assert "--array=0-1%1" in command and str(tmp_path / SCRIPT_NAME) in command
    assert "#SBATCH --mem=3G" in (tmp_path / SCRIPT_NAME).read_text()


@pytest.mark.slow
@pytest.mark.fault
def test_a_driver_that_returns_takes_up_its_job(tmp_path: Path, make: Make) -> None:
    go = tmp_path / "go"
    waits = f"while [ ! -e {go} ]; do sleep 0.1; done"
    own = script(tmp_path, f'{waits}; exec "$1" -m redwhale.core.cluster.slurm_shard "$2"')
    shards = shards_in(tmp_path / "data")
    with make(script=own) as workers:
        running = workers.map_shards(clean_part, shards)
        with pytest.MonkeyPatch.context() as patch:  # ends as if it were killed while it waits
            patch.setattr(time, "sleep", lambda seconds: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                next(running)
    with make(script=own) as workers:
        running = workers.map_shards(clean_part, shards)
        go.touch()
        assert list(running) == shards
    assert len(submitted(tmp_path / "bin")) == 1


@pytest.mark.slow
def test_an_error_in_a_task_is_the_driver_s(tmp_path: Path, make: Make) -> None:
    shards = shards_in(tmp_path / "data")
    (tmp_path / "data" / "a.jsonl").unlink()
    with (
        make() as workers,
        pytest.raises(RedwhaleError, match=r"FileNotFoundError: .*a\.jsonl.*; see .*/jobs/01-clean_part/logs") as error,
    ):
        list(workers.map_shards(clean_part, shards))
    assert error.value.exit_code == 1
    logs = (tmp_path / "jobs" / "01-clean_part" / "logs").iterdir()
    assert any("FileNotFoundError" in log.read_text() for log in logs)


def test_lost_tasks_are_submitted_again_and_in_the_end_named(tmp_path: Path, make: Make) -> None:
    shards = shards_in(tmp_path / "data")
    with (
        make(script=script(tmp_path, "kill -9 $$"), retries=1) as workers,
        pytest.raises(RedwhaleError, match=r"job 101 ended without this shard, 2 times.*own\.sbatch") as caught,
    ):
        list(workers.map_shards(clean_part, shards))
    assert caught.value.exit_code == 4 and str(shards[0].done) in str(caught.value)
    assert len(submitted(tmp_path / "bin")) == 2


@pytest.mark.slow
@pytest.mark.fault
def test_all_that_lost_tasks_had_is_submitted_again_at_once(tmp_path: Path, make: Make) -> None:
    """Of the first job tasks 1 and 2 are lost."""
    run = 'exec "$1" -m redwhale.core.cluster.slurm_shard "$2"'
    own = script(tmp_path, f"[ $SLURM_JOB_ID = 100 ] && [ $SLURM_ARRAY_TASK_ID != 0 ] && kill -9 $$; {run}")
    shards = shards_in(tmp_path / "data")
    with make(script=own, retries=1) as workers:
        assert list(workers.map_shards(clean_part, shards)) == shards
    assert [next(w for w in words if "--array" in w) for words in submitted(tmp_path / "bin")] == [
        "--array=0-2", "--array=0-1",
    ]  # fmt: skip


def test_a_refused_job_names_the_script(tmp_path: Path, make: Make) -> None:
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: Invalid account' >&2\nexit 1\n")
    with (
        make() as workers,
        pytest.raises(RedwhaleError, match=r"shards\.sbatch: sbatch refuses the job .*Invalid account") as caught,
    ):
        list(workers.map_shards(clean_part, shards_in(tmp_path / "data")))
    assert caught.value.exit_code == 1


def test_without_slurm_that_is_said(tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(tmp_path / "bin")
    monkeypatch.setenv("PATH", os.defpath if not shutil.which("sbatch", path=os.defpath) else "")
    with make() as workers, pytest.raises(RedwhaleError, match="there is no `sbatch` here") as caught:
        list(workers.map_shards(clean_part, shards_in(tmp_path / "data")))
    assert caught.value.exit_code == 2


def test_an_edited_script_stays(tmp_path: Path, make: Make) -> None:
    (tmp_path / SCRIPT_NAME).write_text("#!/bin/bash\n# mine\n")
    with make():
        pass
    assert "# mine" in (tmp_path / SCRIPT_NAME).read_text()
