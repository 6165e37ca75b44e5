"""Run functions over shards of work. Each leaves its result as files, so that what is done is found again."""

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
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar

from redwhale.core.errors import RESOURCES, RedwhaleError

_IN_FLIGHT_PER_WORKER = 2


class Shard(Protocol):
    """A piece of work that says by itself where its result goes, the same whoever does it."""

    @property
    def done(self) -> Path:
        """The file of its result that is published last: where it is, the shard is done."""


AnyShard = TypeVar("AnyShard", bound=Shard)


class Workers:
    """Worker processes that stay for all passes of a step: they start when first needed, and import but once.

    With ``count`` 1 the work is done in this process.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def alone(self) -> bool:
        """Tell whether the work is done in this process."""
        return self.count <= 1

    def prepare(self, module: str) -> None:
        """Start the processes, each importing a module, while this process goes on."""
        if not self.alone:
            for _ in range(self.count):
                self._processes().submit(import_module, module)

    def _processes(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.count, mp_context=context, initializer=_follow_parent)
        return self._pool

    def map_shards(self, function: Callable[[AnyShard], None], shards: Iterable[AnyShard]) -> Iterator[AnyShard]:
        """Yield every shard in order, each once ``function(shard)`` is done; one that was done before is not again.

        Shards are taken from the iterable only as they are needed: two per worker are under way at once.
        ``function`` must be importable by name. Raises what the function raises, and exit code 4 where a
        worker process was killed from outside.
        """
        pending: deque[tuple[AnyShard, Future[None] | None]] = deque()
        try:
            for shard in shards:
                pending.append((shard, self._begin(function, shard)))
                if self.alone or len(pending) >= self.count * _IN_FLIGHT_PER_WORKER:
                    yield _finished(*pending.popleft())
            while pending:
                yield _finished(*pending.popleft())
        except BrokenProcessPool as error:
            raise RedwhaleError(
                "a worker process was killed, most likely for memory",
                where="machine.workers",
                fix="lower it and run the same command again",
                exit_code=RESOURCES,
            ) from error
        finally:
            for _, future in pending:
                if future:
                    future.cancel()

    def _begin(self, function: Callable[[AnyShard], None], shard: AnyShard) -> Future[None] | None:
        if shard.done.is_file():
            return None
        if not self.alone:
            return self._processes().submit(function, shard)
        function(shard)
        return None


def _finished(shard: AnyShard, future: Future[None] | None) -> AnyShard:
    if future:
        future.result()
    return shard


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
