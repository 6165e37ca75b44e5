"""Start a stage's processes through torchrun, as ``redwhale pretrain`` does where the recipe asks for several."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
from collections.abc import Iterator, Sequence
from types import FrameType

import psutil

from redwhale.core.cgroup import allowed_cores
from redwhale.core.errors import FAILED, TERMINATED, USAGE, RedwhaleError
from redwhale.core.recipe.machine import Machine
from redwhale.core.recipe.recipe import Recipe

SAVING_SECONDS = 3600
"""How long processes may take to save a checkpoint once they are told to stop; torchrun's own 30 s would kill them."""
_SIGNALS = "--signals-to-handle=SIGTERM,SIGHUP,SIGQUIT"
_RENDEZVOUS_PORT = 29_400


def options(machine: Machine) -> list[str]:
    """Return torchrun's options; several nodes meet at ``MASTER_ADDR``. Raises exit code 2 where that is not set."""
    found = [f"--nproc_per_node={machine.devices}", f"--shutdown-timeout={SAVING_SECONDS}", _SIGNALS]
    if machine.nodes == 1:
        return ["--standalone", *found]
    if "MASTER_ADDR" not in os.environ:
        raise RedwhaleError(
            f"{machine.nodes} nodes cannot meet: MASTER_ADDR names no host", where="machine.nodes",
            fix="set it to the first node's name on all of them (scripts/slurm/pretrain.sbatch does), or `nodes: 1`",
            exit_code=USAGE,
        )  # fmt: skip
    meeting = f"{os.environ['MASTER_ADDR']}:{os.environ.get('MASTER_PORT', _RENDEZVOUS_PORT)}"
    name = os.environ.get("SLURM_JOB_ID", "redwhale")
    return [
        f"--nnodes={machine.nodes}",
        "--rdzv_backend=c10d",
        f"--rdzv_endpoint={meeting}",
        f"--rdzv_id={name}",
        *found,
    ]


def module_arguments(recipe: Recipe, index: int, *, fresh: bool, verify: bool, quiet: bool) -> list[str]:
    """Return what each process runs: the module and the stage's command."""
    words = shlex.split(recipe.command("pretrain", "--stage", str(index + 1)))[1:]
    flags = {"--fresh": fresh, "--verify": verify, "--quiet": quiet}
    return ["-m", "redwhale", *words, *(flag for flag, wanted in flags.items() if wanted)]


def command(recipe: Recipe, index: int, *, fresh: bool = False, verify: bool = False, quiet: bool = False) -> str:
    """Return the command that is started, as a shell takes it."""
    arguments = module_arguments(recipe, index, fresh=fresh, verify=verify, quiet=quiet)
    return shlex.join(["torchrun", *options(recipe.machine), *arguments])


def launch(machine: Machine, arguments: Sequence[str]) -> int:
    """Run ``arguments`` under torchrun in this process; return the exit code of the first process that failed, or 0.

    Raises exit code 1 naming the process that was killed from outside.
    SIGTERM and Ctrl-C go on to all processes, which save a checkpoint; a second Ctrl-C ends them at once.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    for name in ("torch.distributed.elastic", "torch.distributed.run"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the processes speak for themselves
    os.environ.setdefault("OMP_NUM_THREADS", str(max(allowed_cores() // machine.devices, 1)))
    try:
        with _interrupts_passed_on():
            torchrun.run(torchrun.parse_args([*options(machine), *arguments]))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0 or -failure.exitcode in (signal.SIGTERM, signal.SIGINT):
            return failure.exitcode if failure.exitcode >= 0 else 128 - failure.exitcode
        raise RedwhaleError(
            f"process {rank} of {machine.processes} was killed ({signal.Signals(-failure.exitcode).name})",
            where="training", fix="if memory ran out, see `redwhale plan`; the same command goes on from the last "
            "checkpoint", exit_code=FAILED,
        ) from error  # fmt: skip
    except SignalException:
        return TERMINATED
    return 0


@contextlib.contextmanager
def _interrupts_passed_on() -> Iterator[None]:
    """Send every Ctrl-C to the processes, each of which has a session of its own.

    torchrun itself passes on the first one alone, and then waits for SAVING_SECONDS whatever else comes.
    """

    def pass_on(number: int, frame: FrameType | None) -> None:
        processes = psutil.Process().children()
        if not processes:
            raise KeyboardInterrupt
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
