"""Run one function over shards of work on this machine, results in the order of the shards."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from redwhale.core.errors import RESOURCES, RedwhaleError

Shard = TypeVar("Shard")
Result = TypeVar("Result")
_IN_FLIGHT_PER_WORKER = 2


def map_shards(function: Callable[[Shard], Result], shards: Iterable[Shard], *, workers: int) -> Iterator[Result]:
    """Yield ``function(shard)`` for every shard in order, with ``workers`` processes (1: in this process).

    Shards are taken from the iterable only as they are needed: two per worker are under way at once.
    ``function`` must be importable by name. Raises what the function raises, and exit code 4 where a
    worker process was killed from outside.
    """
    if workers <= 1:
        yield from map(function, shards)
        return
    pool = ProcessPoolExecutor(
        max_workers=workers, mp_context=multiprocessing.get_context("spawn"), initializer=_follow_parent
    )
    pending: deque[Future[Result]] = deque()
    try:
        for shard in shards:
            pending.append(pool.submit(function, shard))
            if len(pending) >= workers * _IN_FLIGHT_PER_WORKER:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise RedwhaleError(
            "a worker process was killed, most likely for memory",
            fix="lower `machine.workers` and run the same command again",
            exit_code=RESOURCES,
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it has died: a killed run must not leave workers behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
