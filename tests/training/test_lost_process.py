"""One of two processes is killed: a clean end, and the same command goes on; a job of Slurm over two nodes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from redwhale.training import packing, step
from tests.training import stages
from tests.training.stages import QUIET, stage, write_recipe
from tests.training.test_processes import PARTS, SETTINGS, check_same, pretrain

pytestmark = [pytest.mark.slow, pytest.mark.fault]
ROOT = Path(__file__).parents[2]
STEPS = 24
LONG = {"tokens": STEPS * SETTINGS["batch_tokens"]}
OFTEN: dict[str, Any] = {
    "checkpoints": {"every": 5 * SETTINGS["batch_tokens"]},
    "measure": {"documents": 1, "samples": 0},
}


def process_of_rank(rank: int, recipe: Path) -> int:
    """Return the process of this rank that trains with a recipe."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                words, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
            except OSError:
                continue
            if str(recipe).encode() in words and f"\0RANK={rank}\0".encode() in b"\0" + environment + b"\0":
                return int(folder.name)
    raise AssertionError(f"no process of rank {rank}")


@pytest.mark.promise("F3")
@pytest.mark.parametrize(
    "deepspeed", [None, {"zero": 1}, {"zero": 2}, {"zero": 3}], ids=["ddp", "zero-1", "zero-2", "zero-3"]
)
def test_a_killed_process_ends_all_and_the_command_goes_on(tmp_path: Path, deepspeed: Any) -> None:
    one = write_recipe(stages.make_start(tmp_path / "a"), stage(**PARTS) | LONG, **OFTEN)
    packing.run(one, console=QUIET)
    step.run(one, 0, console=QUIET)
    two = write_recipe(stages.make_start(tmp_path / "b"), stage(**PARTS) | LONG, **OFTEN, deepspeed=deepspeed)
    packing.run(two, console=QUIET)
    checkpoints = two.stage_folder(0) / "checkpoints"
    started = pretrain(two)
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("step-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process_of_rank(1, two.file), signal.SIGKILL)
    _, errors = started.communicate(timeout=120)
    assert started.returncode == 1, errors
    assert "process 1 of 2 was killed (SIGKILL)" in errors and "Traceback" not in errors, errors
    assert not (two.stage_folder(0) / "manifest.json").exists()
    again = pretrain(two)
    _, errors = again.communicate(timeout=240)
    assert again.returncode == 0 and "resuming after step" in errors, errors
    check_same(one, two)


FAKES = {
    "scontrol": 'if [ "$1" = show ]; then echo 127.0.0.1; else echo "$@" >> "$CALLS"; fi',
    # Two nodes of one machine: both tasks run the command at once.
    "srun": 'shift; for node in 0 1; do SLURM_NODEID=$node "$@" & done; code=0; '
    "for job in $(jobs -p); do wait $job || code=$?; done; exit $code",
    "redwhale": f'exec {sys.executable} -m redwhale "$@"',
}  # fmt: skip


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a job on two nodes, with stand-ins for Slurm's commands."""
    (tmp_path / "bin").mkdir()
    for name, body in FAKES.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    return os.environ | {
        "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CALLS": str(tmp_path / "calls"),
        "MASTER_PORT": str(29_500 + os.getpid() % 1000), "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node[0-1]",
        "SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "1",
    }  # fmt: skip


def test_a_job_of_slurm_trains_on_two_nodes(tmp_path: Path, slurm: dict[str, str]) -> None:
    one = write_recipe(stages.make_start(tmp_path / "a"), stage(**PARTS), **SETTINGS)
    packing.run(one, console=QUIET)
    step.run(one, 0, console=QUIET)
    two = write_recipe(stages.make_start(tmp_path / "b"), stage(**PARTS), **SETTINGS)
    packing.run(two, console=QUIET)
    command = ["bash", str(ROOT / "scripts" / "slurm" / "pretrain.sbatch"), str(two.file), "1"]
    done = subprocess.run(command, env=slurm, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    check_same(one, two)
    assert not (tmp_path / "calls").exists()


def test_a_job_that_is_told_to_end_queues_itself_again(tmp_path: Path, slurm: dict[str, str]) -> None:
    (tmp_path / "bin" / "srun").write_text("#!/bin/bash\nexit 143\n")
    command = ["bash", str(ROOT / "scripts" / "slurm" / "pretrain.sbatch"), "recipe.yaml", "1"]
    done = subprocess.run(command, env=slurm, capture_output=True, text=True)
    assert done.returncode == 143 and (tmp_path / "calls").read_text() == "requeue 7\n"
