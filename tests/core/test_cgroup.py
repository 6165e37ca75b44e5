"""Limits of control groups, by hand-made files; what follows from them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from redwhale.core import cgroup
from redwhale.core.cgroup import Limits, allowed_cores, allowed_memory, read_limits
from redwhale.core.recipe.machine import Machine

GIB = 2**30


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


def test_the_tightest_limit_on_the_way_up_counts(tmp_path: Path) -> None:
    write(tmp_path / "job", memory__max=str(8 * GIB), memory__current=str(GIB), cpu__max="max 100000")
    write(tmp_path / "job" / "task", memory__max="max", memory__current="5", cpu__max="150000 100000")
    assert read_limits(tmp_path, "0::/job/task\n") == Limits(8 * GIB, GIB, 1.5)
    assert read_limits(tmp_path, "0::/other\n") == Limits()
    # As in a container, whose group is seen as the root; files in memory that nobody reads give way.
    write(tmp_path, memory__max=str(2 * GIB), memory__current="70", memory__stat="anon 3\ninactive_file 50")
    assert read_limits(tmp_path, "0::/\n") == Limits(2 * GIB, 20, None)


def test_version_1_has_a_hierarchy_for_each_controller(tmp_path: Path) -> None:
    write(tmp_path / "memory" / "a", memory__limit_in_bytes=str(4 * GIB), memory__usage_in_bytes="9")
    write(tmp_path / "memory", memory__limit_in_bytes="9223372036854771712", memory__usage_in_bytes="99")
    write(tmp_path / "cpu,cpuacct" / "a", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    write(tmp_path / "cpu,cpuacct", cpu__cfs_quota_us="400000", cpu__cfs_period_us="100000")
    own = "5:cpu,cpuacct:/a\n4:memory:/a\n3:pids:/a\n"
    assert read_limits(tmp_path, own) == Limits(4 * GIB, 9, 4.0)


@pytest.mark.parametrize(("quota", "cores"), [(None, 8), (2.5, 2), (0.5, 1), (64.0, 8)])
def test_workers_are_as_many_as_the_cores_that_may_be_used(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(cgroup, "read_limits", lambda: Limits(cores=quota))
    assert allowed_cores() == Machine().worker_count == cores
    assert Machine(workers=3).worker_count == 3


def test_memory_is_the_machines_or_the_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "read_limits", lambda: Limits(memory=GIB))
    assert allowed_memory() == GIB
    monkeypatch.setattr(cgroup, "read_limits", Limits)
    assert allowed_memory() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
