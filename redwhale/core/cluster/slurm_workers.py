"""Shards as array jobs of Slurm. Everything goes through files of a shared folder, so the driver may die and return."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from redwhale.core.cluster.shard_files import write_shards
from redwhale.core.cluster.slurm_shard import ERROR_ENDING, raised_by
from redwhale.core.console import Console
from redwhale.core.errors import FAILED, RESOURCES, USAGE, RedwhaleError
from redwhale.core.publish import make_folder, write_bytes, write_json
from redwhale.core.recipe.machine import Slurm
from redwhale.core.tasks import AnyShard

SCRIPT_NAME = "shards.sbatch"
SCRIPT = """\
#!/bin/bash
# Runs its part of a list of shards: sbatch --array=... shards.sbatch PYTHON FOLDER
# Written once and yours to edit: account, partition, memory and time are what your cluster asks for. A task needs
# one core and about 2 GB; a shard takes seconds to minutes, and one that is cut off begins again.
#SBATCH --cpus-per-task=1
#SBATCH --mem=3G
#SBATCH --time=04:00:00

export OMP_NUM_THREADS=1
exec "$1" -m redwhale.core.cluster.slurm_shard "$2"
"""
_POLL_SECONDS = (0.2, 5.0)
_QUEUE_SECONDS = 5.0


class SlurmWorkers:
    """Array jobs below ``folder``, submitted with the script that ``settings`` names."""

    alone = False

    def __init__(self, settings: Slurm, *, folder: Path, script: Path, console: Console) -> None:
        self._settings, self._folder, self._script, self._console = settings, folder, script, console
        self._jobs = 0

    def __enter__(self) -> SlurmWorkers:
        if not self._script.exists():
            make_folder(self._script.parent)
            write_bytes(self._script, SCRIPT.encode())
            self._console.note(f"slurm: {self._script} is what jobs are submitted with; edit it as your cluster asks")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave jobs to themselves: what they do is found by the next run."""

    def prepare(self, module: str) -> None:
        """Do nothing: tasks import what they need when they start."""

    def map_shards(self, function: Callable[[AnyShard], None], shards: Iterable[AnyShard]) -> Iterator[AnyShard]:
        """Yield every shard in order, each once it is done, as ``Workers.map_shards`` does; all are queued at once."""
        every = list(shards)
        self._jobs += 1
        job = Job(self._folder / f"{self._jobs:02d}-{function.__name__}", self._settings, self._script, self._console)
        missing = [shard for shard in every if not shard.done.is_file()]
        if missing:
            job.take_up(function, missing)
        for number, shard in enumerate(every):
            job.wait_for(function, every, number)
            yield shard


class Job:
    """An array job over a list of shards, and what is known of it by the files of its folder."""

    def __init__(self, folder: Path, settings: Slurm, script: Path, console: Console) -> None:
        self.folder, self._settings, self._script, self._console = folder, settings, script, console
        self._shards: list[Path] = []
        self._left = settings.retries
        self._asked = self._ended = 0.0

    def take_up(self, function: Callable[[AnyShard], None], missing: Sequence[AnyShard]) -> None:
        """Go on with the job that an earlier driver submitted, where that is still queued; else submit one.

        Errors that an earlier driver has told of are forgotten: their cause may be mended, and their shards are
        submitted again once the job has ended.
        """
        with contextlib.suppress(OSError, ValueError, KeyError):
            known = json.loads((self.folder / "job.json").read_bytes())
            self._id, self._shards = known["id"], [Path(path) for path in known["shards"]]
            if {shard.done for shard in missing} <= set(self._shards) and self._is_queued():
                self._console.note(f"slurm: job {self._id} goes on ({self.folder})")
                self._forget_errors()
                return
        self._submit(function, missing)

    def _forget_errors(self) -> None:
        for told in self.folder.glob(f"*{ERROR_ENDING}"):
            told.unlink()

    def _submit(self, function: Callable[[AnyShard], None], missing: Sequence[AnyShard]) -> None:
        self._forget_errors()
        make_folder(self.folder / "logs")
        write_shards(self.folder / "shards.json", function, missing)
        tasks = min(len(missing), self._settings.array_tasks)
        at_once = f"%{self._settings.at_once}" if self._settings.at_once else ""
        command = [
            "sbatch", "--parsable", f"--array=0-{tasks - 1}{at_once}", f"--job-name=redwhale-{function.__name__}",
            f"--output={self.folder}/logs/%A-%a.log", str(self._script), sys.executable, str(self.folder),
        ]  # fmt: skip
        self._id = _call(command).strip().split(";")[0]
        self._shards = [shard.done for shard in missing]
        write_json(self.folder / "job.json", {"id": self._id, "shards": [str(path) for path in self._shards]})
        self._ended = 0.0
        self._console.note(f"slurm: job {self._id}, {len(missing)} shards in {tasks} tasks ({self.folder})")

    def wait_for(self, function: Callable[[AnyShard], None], shards: Sequence[AnyShard], number: int) -> None:
        """Return once a shard is done; raise what its function raised, or exit code 4 where tasks end without it.

        All that is missing of ``shards`` is submitted again where the job has ended.
        """
        pause, longest = _POLL_SECONDS
        shard = shards[number]
        while not shard.done.is_file():
            if error := raised_by(self.folder, self._shards.index(shard.done)):
                raise error
            if self._has_ended():
                if not self._left:
                    raise self._lost(shard.done)
                self._left -= 1
                self._submit(function, [each for each in shards if not each.done.is_file()])
            time.sleep(pause)
            with contextlib.suppress(OSError):
                next(shard.done.parent.iterdir(), None)  # lets NFS look for new files
            pause = min(2 * pause, longest)

    def _has_ended(self) -> bool:
        """Tell whether the job has left the queue for so long that its files would show."""
        now = time.monotonic()
        if now - self._asked < _QUEUE_SECONDS:
            return False
        self._asked = now
        if self._is_queued():
            self._ended = 0.0
            return False
        self._ended = self._ended or now
        return now - self._ended > self._settings.lag_seconds

    def _is_queued(self) -> bool:
        """Tell whether any task waits or runs; where Slurm does not answer, it is not known to have ended."""
        command = ["squeue", "--noheader", "--jobs", self._id, "--format=%T"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode and "Invalid job id" in done.stderr:  # it ended long ago
            return False
        return bool(done.returncode or done.stdout.strip())

    def _lost(self, path: Path) -> RedwhaleError:
        return RedwhaleError(
            f"Slurm job {self._id} ended without this shard, {self._settings.retries + 1} times", where=str(path),
            fix=f"see {self.folder}/logs, give tasks more time or memory in {self._script}, and run the same command "
            "again",
            exit_code=RESOURCES,
        )  # fmt: skip


def _call(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        raise RedwhaleError(
            "there is no `sbatch` here", where="machine.executor: slurm", fix="run this on a machine that submits jobs",
            exit_code=USAGE,
        ) from None  # fmt: skip
    except subprocess.CalledProcessError as error:
        raise RedwhaleError(
            f"sbatch refuses the job ({' '.join((error.stderr or '').split())[:300]})", where=command[-3],
            fix="edit this script as your cluster asks", exit_code=FAILED,
        ) from error  # fmt: skip
