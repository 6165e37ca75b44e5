"""The processes of one training run: who leads, on which device, and how they agree and stop."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
from torch import distributed

from redwhale.training.layout import process_count, rank

_TIMEOUT = timedelta(hours=12)  # the others wait while process 0 packs tokens
_SETTLE_SECONDS = 0.2
_SAME_WISH_SECONDS = 1.0
_RANK_VARIABLES = {
    "RANK": "0",
    "LOCAL_RANK": "0",
    "WORLD_SIZE": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "0",  # any free one: a process started from here may make a group beside another run's
}


@dataclass(frozen=True)
class World:
    """This process among ``size`` ones; process 0 leads: it alone writes files and speaks."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Tell whether this process writes and speaks."""
        return self.rank == 0

    def share(self, value: Any) -> Any:
        """Return process 0's value on every process."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def total(self, *values: float) -> list[float]:
        """Return the sums of the values over all processes, in float64."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(sums)
        return sums.tolist()


def join(device: torch.device, *, group: bool) -> World:
    """Join the other processes; ``group`` asks for a process group even when alone, as DeepSpeed needs.

    Without a launcher the five rank variables are absent, and DeepSpeed would then look for MPI.
    """
    size = process_count()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if (size > 1 or group) and not distributed.is_initialized():
        for name, value in _RANK_VARIABLES.items():
            os.environ.setdefault(name, value)
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        if size > 1:
            distributed.init_process_group(backend, timeout=_TIMEOUT)
        else:
            distributed.init_process_group(backend, store=distributed.HashStore(), rank=0, world_size=1)
        atexit.register(_leave)
    return World(rank(), size, device)


def _leave() -> None:
    """Leave the group, and let its threads finish while the interpreter still stands.

    A Gloo thread that lets go of its last tensor after the interpreter has begun to end aborts the process,
    and DDP keeps those threads alive (torch 2.13). What they have left to do takes microseconds of theirs;
    the pause hands them the interpreter.
    """
    if distributed.is_initialized():
        distributed.destroy_process_group()
        time.sleep(_SETTLE_SECONDS)


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], int]]:
    """Yield a function that tells which of SIGTERM and SIGINT came first, else 0; a second Ctrl-C interrupts at once.

    Launchers and shells pass a signal on that a process has had already: what comes within a second of the
    first, or is another SIGTERM, is the same wish and must not cost the checkpoint.
    """
    received: list[tuple[float, int]] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append((time.monotonic(), number))
        if number == signal.SIGINT and received[-1][0] - received[0][0] > _SAME_WISH_SECONDS:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: received[0][1] if received else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
