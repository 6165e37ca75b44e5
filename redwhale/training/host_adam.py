"""DeepSpeed's Adam for states in main memory: compiled on first use, in a process of its own that may fail or hang."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redwhale.training.launch import World

BUILD_SECONDS = 900
"""How long a compiler may take; one to five minutes have been seen."""
_BUILD = "from deepspeed.ops.op_builder import CPUAdamBuilder; CPUAdamBuilder().load(verbose=False)"


def compile_host_adam(world: World) -> str:
    """Compile DeepSpeed's Adam where that is not done; return why it cannot be, nothing where it can.

    Collective: process 0 compiles, the others load what it made.
    """
    return str(world.share(_compile() if world.leads else None))


def _compile() -> str:
    _drop_stale_lock()
    try:
        done = subprocess.run([sys.executable, "-c", _BUILD], capture_output=True, text=True, timeout=BUILD_SECONDS)
    except subprocess.TimeoutExpired:
        return f"the compiler took over {BUILD_SECONDS} seconds"
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return "" if done.returncode == 0 else (lines[-1].strip() if lines else f"exit code {done.returncode}")


def _drop_stale_lock() -> None:
    """Remove the lock that a killed compilation has left, on which every later one would wait for ever."""
    from torch.utils.cpp_extension import _get_build_directory

    lock = Path(_get_build_directory("cpu_adam", False)) / "lock"
    with contextlib.suppress(FileNotFoundError):
        if is_stale(time.time() - lock.stat().st_mtime, builder=builder_of(lock)):
            lock.unlink()


def is_stale(age_seconds: float, *, builder: int | None) -> bool:
    """Tell whether a lock on a compilation is a dead one's: nobody here has it, and none takes that long elsewhere."""
    return builder is None and age_seconds > BUILD_SECONDS


def builder_of(lock: Path) -> int | None:
    """Return the process of this host that compiles under a lock of torch's, which it holds open; None without one."""
    real = os.path.realpath(lock)
    for opened in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if str(opened.readlink()) == real:
                return int(opened.parts[2])
    return None
