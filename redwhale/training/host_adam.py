"""DeepSpeed's Adam for states in main memory: compiled on first use, in a process of its own that may fail or hang."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

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
    if lock.is_file() and time.time() - lock.stat().st_mtime > BUILD_SECONDS:
        lock.unlink(missing_ok=True)
