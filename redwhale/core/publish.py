"""Publish files atomically and guard folders: nothing half-written ever stands under a final name.

Protocol (design, section 5): write under a temporary name in the same folder, fsync, rename,
fsync the folder. Temporary names start with ``.tmp-``; leftovers are ignored and cleaned.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from redwhale.core.errors import RESOURCES, USAGE, RedwhaleError

TEMPORARY_PREFIX = ".tmp-"
LOCK_NAME = ".lock"
HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 120.0
FAULT_VARIABLE = "REDWHALE_FAULT"
_NO_SPACE = 28


def fault(point: str) -> None:
    """Kill this process at the n-th passage of a named point, as ``REDWHALE_FAULT=point:kill@n`` asks.

    Tests alone set the variable. The count lives in the environment of this process.
    """
    wanted = os.environ.get(FAULT_VARIABLE)
    if not wanted or not wanted.startswith(f"{point}:kill"):
        return
    remaining = int(wanted.partition("@")[2] or 1)
    if remaining <= 1:
        os.kill(os.getpid(), signal.SIGKILL)
    os.environ[FAULT_VARIABLE] = f"{point}:kill@{remaining - 1}"


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it becomes ``path``, on error it is removed."""
    make_folder(path.parent)
    temporary = path.parent / f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}"
    try:
        yield temporary
        _fsync(temporary)
        fault("publish.before_rename")
        temporary.replace(path)
        _fsync(path.parent)
        fault("publish.after_rename")
    except OSError as error:
        if error.errno == _NO_SPACE:
            raise RedwhaleError(
                "the disk is full",
                where=str(path),
                fix="free space and run the same command again",
                exit_code=RESOURCES,
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success it replaces ``path`` whole."""
    make_folder(path.parent)
    temporary = path.parent / f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for file in sorted(temporary.rglob("*")):
            _fsync(file)
        _fsync(temporary)
        fault("publish.before_rename")
        shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)
        _fsync(path.parent)
        fault("publish.after_rename")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Publish ``data`` under ``path``."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Publish ``value`` as indented UTF-8 JSON with Korean left readable."""
    write_bytes(path, (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode())


def make_folder(path: Path) -> None:
    """Create ``path`` and its parents; raise exit code 2 where that is not allowed."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (PermissionError, NotADirectoryError, FileExistsError, OSError) as error:
        if isinstance(error, OSError) and error.errno == _NO_SPACE:
            fix = "free space and run the same command again"
            raise RedwhaleError("the disk is full", where=str(path), fix=fix, exit_code=RESOURCES) from error
        raise RedwhaleError(
            f"the folder cannot be created ({error.strerror or error})",
            where=str(path),
            fix="choose another place (`workdir`, or --out) or mend the permissions",
            exit_code=USAGE,
        ) from error
    if not os.access(path, os.W_OK):
        raise RedwhaleError(
            "the folder is not writable",
            where=str(path),
            fix="choose another place (`workdir`, or --out) or mend the permissions",
            exit_code=USAGE,
        )


def clean_temporaries(folder: Path) -> None:
    """Remove leftovers of killed runs below ``folder``; call with its lock held."""
    for leftover in sorted(folder.rglob(f"{TEMPORARY_PREFIX}*")):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _holder_is_alive(lock: Path) -> tuple[bool, str]:
    try:
        holder = json.loads(lock.read_text())
        age_seconds = time.time() - lock.stat().st_mtime
    except (OSError, ValueError):
        return False, "unknown"
    name = f"process {holder.get('pid')} on {holder.get('host')}"
    if holder.get("host") != socket.gethostname():
        return age_seconds < STALE_SECONDS, name
    try:
        os.kill(int(holder["pid"]), 0)
        started = _started(int(holder["pid"]))
        if holder.get("started", started) != started:  # its number belongs to another process now
            return False, name
    except ProcessLookupError:
        return False, name
    except (PermissionError, KeyError, ValueError):
        pass
    return True, name


def _started(pid: int) -> str | None:
    """Return when a process of this host started, in ticks since boot (proc(5)), None where that is not told.

    A container that is started again gives its processes the numbers they had before.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def holder_of(folder: Path) -> str | None:
    """Return who is working in ``folder`` just now, None where nobody is."""
    alive, name = _holder_is_alive(folder / LOCK_NAME)
    return name if alive else None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process; raise exit code 2 naming the holder where another has it.

    The lock file carries pid and host and is touched every 10 s. A holder that is dead on this
    host, or silent for 120 s on another, has lost it.
    """
    make_folder(folder)
    lock = folder / LOCK_NAME
    pid = os.getpid()
    content = json.dumps({"pid": pid, "host": socket.gethostname(), "started": _started(pid)}).encode()
    for _ in range(2):
        try:
            descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            break
        except FileExistsError:
            alive, holder = _holder_is_alive(lock)
            if alive:
                raise RedwhaleError(
                    f"{holder} is working in this folder",
                    where=str(folder),
                    fix="wait for it, or stop it and run the same command again",
                    exit_code=USAGE,
                ) from None
            lock.unlink(missing_ok=True)
    else:
        raise RedwhaleError(
            "another process took this folder just now", where=str(folder), fix="wait for it", exit_code=USAGE
        )
    os.write(descriptor, content)
    os.close(descriptor)
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(lock)

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        stop.set()
        lock.unlink(missing_ok=True)
