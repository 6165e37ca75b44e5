"""The host: memory, cores, open files, text."""

from __future__ import annotations

import locale
import os
import resource
import shutil
import sys

import psutil

from redwhale.core.cgroup import Limits
from redwhale.core.console import data_size
from redwhale.doctor.finding import Finding, short_of
from redwhale.doctor.needs import Needs

_GIB = 2**30
_LOW_MEMORY = 4 * _GIB
_LOW_SHARED = _GIB  # containers give 64 MiB by default, NCCL takes tens of MB a pair of GPUs
_FEW_FILES = 1024


def check_memory(limits: Limits) -> Finding:
    """Check main memory, the container's limit counted in."""
    memory = psutil.virtual_memory()
    return judge_memory(memory.available, memory.total, limits)


def judge_memory(available: int, total: int, limits: Limits) -> Finding:
    """Judge memory in bytes, as far as the group of this process may use it."""
    found = f"{data_size(available)} of {data_size(total)} available"
    if limits.memory is not None and limits.memory < total:
        left = max(min(available, limits.memory - limits.memory_used), 0)
        found = f"{data_size(left)} available: this process may use {data_size(limits.memory)} of {data_size(total)}"
        available = left
    if available < _LOW_MEMORY:
        fix = "end other programs, raise the container's limit, or lower `machine.workers`"
        return Finding("memory", "warn", found, fix)
    return Finding("memory", "ok", found)


def check_shared_memory(needs: Needs) -> Finding:
    """Check /dev/shm, through which processes of training and GPUs speak to each other."""
    usage = shutil.disk_usage("/dev/shm")
    return judge_shared_memory(usage.free, usage.total, devices=needs.devices)


def judge_shared_memory(free: int, total: int, *, devices: int) -> Finding:
    """Judge shared memory in bytes."""
    found = f"{data_size(free)} of {data_size(total)} free in /dev/shm"
    if free < _LOW_SHARED:
        fix = "start the container with --shm-size=8g (or --ipc=host), or remount /dev/shm larger"
        return Finding("shared memory", short_of(devices > 1), f"{found}: several processes need more", fix)
    return Finding("shared memory", "ok", found)


def check_cores(needs: Needs, limits: Limits) -> Finding:
    """Check how many cores this process may use."""
    threads = os.environ.get("OMP_NUM_THREADS")
    return judge_cores(
        os.cpu_count() or 1, len(os.sched_getaffinity(0)), limits.cores, workers=needs.workers, threads=threads
    )


def judge_cores(there: int, allowed: int, quota: float | None, *, workers: int | None, threads: str | None) -> Finding:
    """Judge cores: those of the machine, those this process may run on, and the time it is given on them."""
    found = f"{allowed} of {there}" if allowed < there else f"{there}"
    if threads is not None:
        found += f", OMP_NUM_THREADS {threads}"
    if quota is not None and quota < allowed:
        found += f", but time on {quota:.1f} of them only"
    most = max(int(min(allowed, quota or allowed)), 1)
    if workers and workers > most:
        found += f"; text steps would start {workers} workers"
        return Finding("cores", "warn", found, f"set `machine.workers: {most}`")
    return Finding("cores", "ok", found)


def check_open_files() -> Finding:
    """Check how many files a process may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    shown = "no limit" if hard == resource.RLIM_INFINITY else str(hard)
    found = f"{'no limit' if soft == resource.RLIM_INFINITY else soft} at once (can be raised to {shown})"
    if soft != resource.RLIM_INFINITY and soft < _FEW_FILES:
        return Finding("open files", "warn", found, f"ulimit -n {_FEW_FILES if hard < 0 else min(4096, hard)}")
    return Finding("open files", "ok", found)


def check_text(stdout: str | None) -> Finding:
    """Check that Korean can be printed and stand in file names; ``stdout`` is its encoding, of a terminal."""
    return judge_text(stdout, locale.getpreferredencoding(False), sys.getfilesystemencoding())


def judge_text(stdout: str | None, preferred: str, file_names: str) -> Finding:
    """Judge encodings by name."""
    found = f"stdout {stdout or 'is closed'}, locale {preferred}, file names {file_names}"
    if any(name is not None and name.lower().replace("-", "") != "utf8" for name in (stdout, preferred, file_names)):
        return Finding("text", "warn", found, "export LC_ALL=C.UTF-8 PYTHONUTF8=1")
    return Finding("text", "ok", found)
