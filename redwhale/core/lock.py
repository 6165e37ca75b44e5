"""Guard folders: two processes, of this host or of others that share the folder, never work in one."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from redwhale.core.errors import FAILED, USAGE, RedwhaleError
from redwhale.core.faults import fault
from redwhale.core.publish import TEMPORARY_PREFIX, full_disk_named, make_folder

LOCK_NAME = ".lock"
HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 120.0


def _holder_is_alive(lock: Path) -> tuple[bool, str]:
    try:
        age_seconds = time.time() - lock.stat().st_mtime
        holder = json.loads(lock.read_text())
    except OSError:
        return False, "unknown"
    except ValueError:  # it is being written, or was never finished
        return age_seconds < HEARTBEAT_SECONDS, "a process that has just begun"
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
def locked(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold ``folder`` for this process; raise exit code 2 naming the holder where another has it.

    The lock file carries pid and host and is touched every 10 s. A holder that is dead on this
    host, or silent for 120 s on another, has lost it. Yields a function for one that may have
    slept: it raises exit code 1 where another has the folder now. That one's lock is left alone.
    """
    make_folder(folder)
    lock = folder / LOCK_NAME
    mine = _take(lock)
    stop = threading.Event()

    def is_held() -> bool:
        with contextlib.suppress(FileNotFoundError):
            return lock.read_text() == mine
        return False

    def beat() -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                if is_held():
                    os.utime(lock)

    def need_held() -> None:
        if not is_held():
            raise RedwhaleError(
                "this process was silent for long and another has taken the folder", where=str(folder),
                fix="let that one end; where it fails, run the same command with --fresh", exit_code=FAILED,
            )  # fmt: skip

    threading.Thread(target=beat, daemon=True).start()
    try:
        fault("lock.after_take", lock)
        yield need_held
    finally:
        stop.set()
        fault("lock.before_release", lock)
        if is_held():
            lock.unlink(missing_ok=True)


def _take(lock: Path) -> str:
    """Put this process's mark in the lock's place and return it.

    It is whole from the first moment: an empty one would look stale.
    """
    pid = os.getpid()
    mark = lock.with_name(f"{TEMPORARY_PREFIX}{pid}-lock")
    mine = json.dumps({"pid": pid, "host": socket.gethostname(), "started": _started(pid)})
    try:
        with full_disk_named(lock):
            mark.write_text(mine)
        fault("lock.before_take", mark)
        for _ in range(2):
            with contextlib.suppress(FileExistsError):
                _place(mark, lock)
                return mine
            _need_stale(lock)
            # Whoever else finds it stale at this moment renames it, or what this process has put there, aside as
            # well: so what was moved is looked at again.
            aside = lock.with_name(f"{TEMPORARY_PREFIX}{pid}-stale")
            with contextlib.suppress(FileNotFoundError):
                lock.rename(aside)
                alive, _ = _holder_is_alive(aside)
                if alive:
                    with contextlib.suppress(FileExistsError):
                        _place(aside, lock)
                aside.unlink()
    finally:
        mark.unlink(missing_ok=True)
    raise RedwhaleError(
        "another process took this folder just now", where=str(lock.parent), fix="wait for it", exit_code=USAGE
    )


def _place(mark: Path, lock: Path) -> None:
    """Put a mark in the lock's place; raise FileExistsError where there is one."""
    try:
        os.link(mark, lock)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links, where the lock is empty for a moment
        with lock.open("xb") as file:
            file.write(mark.read_bytes())


def _need_stale(lock: Path) -> None:
    alive, holder = _holder_is_alive(lock)
    if alive:
        raise RedwhaleError(
            f"{holder} is working in this folder", where=str(lock.parent),
            fix="wait for it, or stop it and run the same command again", exit_code=USAGE,
        )  # fmt: skip
