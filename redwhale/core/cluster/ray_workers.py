"""Shards on a Ray cluster, whose nodes share the folders that the shards name."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

from redwhale.core.errors import FAILED, RESOURCES, USAGE, RedwhaleError, first_line
from redwhale.core.tasks import AnyShard

_IN_FLIGHT_PER_CPU = 2
_ANSWER_SECONDS = 10.0
_STORE_BYTES = 100 << 20
"""Results are files: what Ray hands on itself is a few names."""
_RETRIES = 3
"""A shard whose node or process was lost is given to another as many times; what it had published stays."""


class RayWorkers:
    """Processes of a running cluster, or of one on this machine that ends with this process; one CPU to a shard."""

    alone = False

    def __init__(self, address: str | None, *, processes: int) -> None:
        self._address, self._processes = address, processes
        self._run: Any = None

    def __enter__(self) -> RayWorkers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._run is not None:
            import ray

            ray.shutdown()

    def prepare(self, module: str) -> None:
        """Connect; the cluster's processes import what they need when they need it."""
        self._connected()

    def _connected(self) -> Any:
        """Return the remote function that runs one shard; raise exit code 1 where the cluster does not answer."""
        if self._run is None:
            try:
                import ray
            except ImportError:
                what, fix = "Ray is not installed", "pip install 'redwhale[ray]'"
                raise RedwhaleError(what, where="machine.executor", fix=fix, exit_code=USAGE) from None
            own: dict[str, Any] = {}
            if self._address is None:
                os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing goes out unasked
                own = {"num_cpus": self._processes, "include_dashboard": False, "object_store_memory": _STORE_BYTES}
            try:
                _need_answer(self._address)
                with _own_signals():
                    ray.init(address=self._address or "local", logging_level=logging.ERROR, log_to_driver=False, **own)
            except (OSError, RuntimeError, ValueError) as error:
                raise RedwhaleError(
                    f"no Ray cluster answers at {self._address} ({first_line(error)})",
                    where="machine.ray_address", fix="start it with `ray start --head`, or leave the address out",
                    exit_code=FAILED,
                ) from error  # fmt: skip
            self._run = ray.remote(num_cpus=1, max_retries=_RETRIES)(_run_shard)
        return self._run

    def map_shards(self, function: Callable[[AnyShard], None], shards: Iterable[AnyShard]) -> Iterator[AnyShard]:
        """Yield every shard in order, each once it is done, as ``Workers.map_shards`` does."""
        pending: deque[tuple[AnyShard, Any]] = deque()
        for shard in shards:
            pending.append((shard, None if shard.done.is_file() else self._connected().remote(function, shard)))
            if len(pending) >= self._most_pending():
                yield _finished(*pending.popleft())
        while pending:
            yield _finished(*pending.popleft())

    def _most_pending(self) -> int:
        if self._run is None:  # all was done before so far
            return 1
        import ray

        return max(1, int(ray.cluster_resources().get("CPU", 1))) * _IN_FLIGHT_PER_CPU


def _need_answer(address: str | None) -> None:
    """Raise OSError where nothing listens at ``host:port``: Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        with socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS):
            pass


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's own way to end: Ray puts its handler of SIGTERM in its place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run_shard(function: Callable[[Any], None], shard: Any) -> None:
    function(shard)


def _finished(shard: AnyShard, running: Any) -> AnyShard:
    """Wait for a shard; raise what its function raised, or exit code 4 where its process was lost for good."""
    if running is None:
        return shard
    import ray
    from ray import exceptions

    try:
        ray.get(running)
    except exceptions.RayTaskError as error:
        raise error.cause from error
    except (exceptions.OutOfMemoryError, exceptions.WorkerCrashedError, exceptions.NodeDiedError) as error:
        raise RedwhaleError(
            f"a worker of the Ray cluster was lost {_RETRIES + 1} times at one shard, most likely for memory",
            where=str(shard.done), fix="give each CPU of the cluster more memory and run the same command again",
            exit_code=RESOURCES,
        ) from error  # fmt: skip
    return shard
