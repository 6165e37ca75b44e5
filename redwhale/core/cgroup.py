"""The limits that a container or a batch system sets, versions 1 and 2 of control groups."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HOME = Path("/sys/fs/cgroup")
_UNLIMITED = 2**60  # version 1 writes a number near 2**63


@dataclass(frozen=True)
class Limits:
    """Memory in bytes and cores of this process; None where there is no limit. ``memory_used`` is that of the group."""

    memory: int | None = None
    memory_used: int = 0
    cores: float | None = None


def read_limits(home: Path = _HOME, own: str | None = None) -> Limits:
    """Return the tightest limits on the way from this process's group (``/proc/self/cgroup``) to the root."""
    if own is None:
        place = Path("/proc/self/cgroup")
        own = place.read_text(encoding="utf-8") if place.is_file() else ""
    memory: tuple[int, int] | None = None
    cores: float | None = None
    for controllers, group in _groups(own):
        unified = controllers == ""
        for folder in _upwards(home if unified else home / controllers, group):
            limit = _number(folder / ("memory.max" if unified else "memory.limit_in_bytes"))
            used = _used(folder, unified=unified)
            if limit is not None and limit < _UNLIMITED and (memory is None or limit < memory[0]):
                memory = limit, used
            quota = _cores(folder, unified=unified)
            if quota is not None and (cores is None or quota < cores):
                cores = quota
    return Limits(memory[0] if memory else None, memory[1] if memory else 0, cores)


def allowed_cores() -> int:
    """Return the whole cores that this process may use: those it may run on, and time on as many; at least 1."""
    allowed = len(os.sched_getaffinity(0))
    return max(int(min(allowed, read_limits().cores or allowed)), 1)


def allowed_memory() -> int:
    """Return the bytes of main memory that this process may use, whether or not others use them now."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(there, read_limits().memory or there)


def _groups(own: str) -> Iterator[tuple[str, str]]:
    """Yield (controllers, path); the controllers of version 2's one hierarchy are empty."""
    for line in own.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers or set(controllers.split(",")) & {"memory", "cpu"}:
            yield controllers, path


def _upwards(home: Path, group: str) -> Iterator[Path]:
    """Yield the group's folder and those above it; in a container the group is often seen as the root."""
    folder = home / group.strip("/")
    while folder != home and home in folder.parents:
        yield folder
        folder = folder.parent
    yield home


def _used(folder: Path, *, unified: bool) -> int:
    """Return the bytes in use, without the files in memory that nobody has read lately: these give way."""
    used = _number(folder / ("memory.current" if unified else "memory.usage_in_bytes")) or 0
    name = "inactive_file" if unified else "total_inactive_file"
    with contextlib.suppress(OSError, ValueError):
        lines = (folder / "memory.stat").read_text(encoding="utf-8").splitlines()
        used -= next((int(line.split()[1]) for line in lines if line.split()[0] == name), 0)
    return max(used, 0)


def _cores(folder: Path, *, unified: bool) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        if unified:
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
            return None if quota == "max" else int(quota) / int(period)
        quota_us = int((folder / "cpu.cfs_quota_us").read_text(encoding="utf-8"))
        return quota_us / int((folder / "cpu.cfs_period_us").read_text(encoding="utf-8")) if quota_us > 0 else None
    return None


def _number(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text(encoding="utf-8"))
    return None
