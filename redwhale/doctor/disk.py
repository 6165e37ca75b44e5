"""The disk under the workdir: room, speed, and what publishing whole files needs of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from redwhale.core.console import data_size
from redwhale.core.publish import TEMPORARY_PREFIX, write_bytes
from redwhale.doctor.finding import Finding
from redwhale.doctor.needs import Needs

_MIB = 2**20
_TEST_BYTES = 64 * _MIB
_TEST_SECONDS = 2.0
_SLOW_BYTES_PER_SECOND = 50 * _MIB
_LOW_BYTES = 5 * 2**30
_FEW_FILES = 10_000
_PASSING = ("tmpfs", "ramfs", "overlay")
_PLAN = "`redwhale plan` says what each stage needs"


def nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(path for path in [folder, *folder.parents] if path.is_dir())


def check_workdir(needs: Needs) -> Finding:
    """Check that results can be written where the recipe wants them, and say what that is."""
    there = nearest(needs.folder)
    kind = file_system_of(there, Path("/proc/self/mounts").read_text(encoding="utf-8"))
    found = f"{needs.folder}{'' if there == needs.folder else ' (not made yet)'}, {kind}"
    if needs.folder.exists() and not needs.folder.is_dir():
        return Finding("workdir", "fail", f"{needs.folder} is a file", "choose another `workdir`")
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding("workdir", "fail", f"{found}: {there} is not writable", "choose another `workdir`")
    if kind in _PASSING:
        why = "it ends with the container" if kind == "overlay" else "it lies in main memory"
        return Finding("workdir", "warn", f"{found}: {why}", "choose a `workdir` on a disk or volume that stays")
    return Finding("workdir", "ok", found)


def file_system_of(folder: Path, mounts: str) -> str:
    """Return the type of the file system under a folder, by the lines of ``/proc/mounts``."""
    best, kind = "", "unknown file system"
    real = os.path.realpath(folder)
    for line in mounts.splitlines():
        words = line.split(" ")
        if len(words) < 3:
            continue
        point = words[1].encode().decode("unicode_escape")  # a space is \040
        if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, words[2]
    return kind


def check_space(needs: Needs) -> Finding:
    """Check the room on the disk of the workdir."""
    there = nearest(needs.folder)
    usage, files = shutil.disk_usage(there), os.statvfs(there)
    free_files = files.f_favail if files.f_files else None  # btrfs and others have no fixed number
    return judge_space(usage.free, usage.total, needed=needs.model_bytes, free_files=free_files)


def judge_space(free: int, total: int, *, needed: int, free_files: int | None) -> Finding:
    """Judge room in bytes; ``needed`` is what the models alone take that are yet to be made."""
    found = f"{data_size(free)} of {data_size(total)} free"
    if needed:
        found += f"; the models to be made take {data_size(needed)}, checkpoints besides"
    if free < needed:
        return Finding("disk space", "fail", found, f"make room, or set `workdir` to a larger disk; {_PLAN}")
    if free_files is not None and free_files < _FEW_FILES:
        return Finding("disk space", "warn", f"{found}, but only {free_files:,} more files fit", "remove small files")
    if free < _LOW_BYTES:
        return Finding("disk space", "warn", found, f"make room; {_PLAN}")
    return Finding("disk space", "ok", found)


@dataclass(frozen=True)
class DiskSpeed:
    """Bytes per second of a file's way to the disk, fsync counted in, and back; ``cached``: it came from memory."""

    write: float
    read: float
    size_bytes: int


def measure_speed(folder: Path, *, size_bytes: int = _TEST_BYTES, seconds: float = _TEST_SECONDS) -> DiskSpeed:
    """Write at most ``size_bytes`` for about ``seconds``, fsync, drop them from memory and read them back.

    The file has no name, so that nothing is left however this process ends.
    """
    block = os.urandom(_MIB)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        started, written = time.perf_counter(), 0
        while written < size_bytes and time.perf_counter() - started < seconds:
            written += file.write(block[: size_bytes - written])
        os.fsync(file.fileno())
        write_seconds = time.perf_counter() - started
        with contextlib.suppress(OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        started, read = time.perf_counter(), 0
        while (part := file.read(_MIB)) and time.perf_counter() - started < seconds:
            read += len(part)
        return DiskSpeed(written / write_seconds, read / (time.perf_counter() - started), written)


def check_speed(needs: Needs) -> Finding:
    """Measure the disk of the workdir by a short file."""
    there = nearest(needs.folder)
    free = shutil.disk_usage(there).free
    if free < 2 * _TEST_BYTES:
        return Finding("disk speed", "warn", f"not measured: {data_size(free)} free", "make room")
    return judge_speed(measure_speed(there))


def judge_speed(speed: DiskSpeed) -> Finding:
    """Judge a disk by how fast a checkpoint would be on it."""
    ten_gib = 10 * 2**30 / speed.write
    found = (
        f"write and fsync {data_size(speed.write)}/s, read {data_size(speed.read)}/s ({data_size(speed.size_bytes)}); "
        f"10 GiB of checkpoint take {ten_gib:.0f} s"
    )
    if speed.write < _SLOW_BYTES_PER_SECOND:
        return Finding("disk speed", "warn", found, "put the `workdir` on a local disk, or save less often")
    return Finding("disk speed", "ok", found)


@contextlib.contextmanager
def _own_folder(above: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY_PREFIX}doctor-", dir=above) as folder:
        yield Path(folder)


def check_publishing(needs: Needs) -> Finding:
    """Try what artifacts rest on: fsync, a rename over a file there is, and hard links."""
    with _own_folder(nearest(needs.folder)) as folder:
        try:
            for content in (b"old", b"new"):  # the protocol of every file: write, fsync, rename, fsync of the folder
                write_bytes(folder / "file", content)
            whole = (folder / "file").read_bytes() == b"new"
        except Exception as error:
            whole, why = False, f" ({error})"
        else:
            why = ""
        if not whole:
            found = f"a file cannot be replaced as a whole{why}"
            return Finding("file system", "fail", found, "choose a `workdir` on a POSIX file system")
        try:
            os.link(folder / "file", folder / "link")
        except OSError as error:
            found = f"fsync and atomic rename work, hard links do not ({error.strerror})"
            fix = "nothing: unchanged weights of the base are copied, which takes their room again"
            return Finding("file system", "warn", found, fix)
    return Finding("file system", "ok", "fsync, atomic rename and hard links work")
