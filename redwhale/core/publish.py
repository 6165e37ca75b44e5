"""Publish files atomically: nothing half-written ever stands under a final name.

Protocol (design, section 5): write under a temporary name in the same folder, fsync, rename,
fsync the folder. Temporary names start with ``.tmp-``; leftovers are ignored and cleaned.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from redwhale.core.errors import FAILED, RESOURCES, USAGE, RedwhaleError
from redwhale.core.faults import fault

TEMPORARY_PREFIX = ".tmp-"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_ROOM = "free space and run the same command again"


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def need_place(out: Path, *, option: str) -> None:
    """Raise exit code 2 where no file can be put at the ``out`` that a person named, before any work for it."""
    try:
        found = _fault_of_place(out)
    except OSError as error:  # a folder that may not be entered, a name that is too long
        found = (error.strerror or str(error)).lower(), "name another place"
    if found:
        raise RedwhaleError(found[0], where=f"{option} {out}", fix=found[1], exit_code=USAGE)


def _fault_of_place(out: Path) -> tuple[str, str] | None:
    """Return what is wrong with a place and what mends it; a device or a pipe would be replaced by the file."""
    if out.is_dir():
        return "this is a folder", f"name a file in it, such as {out / 'NAME'}"
    if out.exists() and not out.is_file():
        return "this is a device or a pipe, no file", "name a file"
    above = next(folder for folder in out.absolute().parents if folder.exists())
    if not above.is_dir():
        return f"{above} is a file, not a folder", "name another place"
    if not os.access(above, os.W_OK | os.X_OK):
        return f"{above} cannot be written to", "name another place, or mend its rights"
    return None


@contextlib.contextmanager
def atomic_file(path: Path, *, size_bytes: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it becomes ``path``, on error it is removed.

    Raises exit code 4 where the disk is full, 1 where it cannot be written or renamed; ``path`` is then as it was.
    ``size_bytes``, where it is known, is said of a full disk.
    """
    make_folder(path.parent)
    temporary = _temporary_beside(path)
    try:
        with full_disk_named(path, size_bytes):
            fault("publish.before_write", path)
            yield temporary
        with _failures_named(path, size_bytes):
            written = temporary.stat().st_size
            fault("publish.after_write", temporary)
            _fsync(temporary)
            fault("publish.before_rename", temporary)
            _need_whole(temporary, path, size_bytes=written)
            temporary.replace(path)
            fault("publish.before_folder_sync", path)
            _fsync(path.parent)
            fault("publish.after_rename", path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path, *, size_bytes: int | None = None) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success it replaces ``path`` whole. Raises as ``atomic_file``."""
    make_folder(path.parent)
    temporary = _temporary_beside(path)
    try:
        with full_disk_named(path, size_bytes):
            temporary.mkdir()
            fault("publish.before_write", path)
            yield temporary
        with _failures_named(path, size_bytes):
            fault("publish.after_write", path)
            for file in sorted(temporary.rglob("*")):
                _fsync(file)
            _fsync(temporary)
            fault("publish.before_rename", path)
            shutil.rmtree(path, ignore_errors=True)
            temporary.replace(path)
            fault("publish.before_folder_sync", path)
            _fsync(path.parent)
            fault("publish.after_rename", path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary_beside(path: Path) -> Path:
    """Return a name that no other process has, of this host or of another that shares the folder."""
    return path.parent / f"{TEMPORARY_PREFIX}{os.urandom(4).hex()}-{path.name}"


@contextlib.contextmanager
def full_disk_named(path: Path, size_bytes: int | None = None) -> Iterator[None]:
    """Turn a full disk into exit code 4; other errors of what is written come through as they are."""
    try:
        yield
    except RedwhaleError:
        raise
    except Exception as error:
        if not _says_full(error):
            raise
        what = "the disk is full" + (f": {size_bytes:,} bytes are to be written" if size_bytes else "")
        raise RedwhaleError(what, where=str(path), fix=_NO_ROOM, exit_code=RESOURCES) from error


def _says_full(error: Exception) -> bool:
    """Tell whether an error is of a full disk; safetensors and others raise it as an error of their own."""
    return getattr(error, "errno", None) in _FULL or any(os.strerror(number) in str(error) for number in _FULL)


@contextlib.contextmanager
def _failures_named(path: Path, size_bytes: int | None = None) -> Iterator[None]:
    """Turn any failure to bring a file to the disk under its name into an error that names it."""
    try:
        with full_disk_named(path, size_bytes):
            yield
    except OSError as error:
        raise RedwhaleError(
            f"the file cannot be published ({error.strerror or error})", where=str(path),
            fix="check the disk and run the same command again", exit_code=FAILED,
        ) from error  # fmt: skip


def _need_whole(temporary: Path, path: Path, *, size_bytes: int) -> None:
    """Raise where a file has lost part of what was written to it, as some network disks do when they fill up."""
    if (there := temporary.stat().st_size) != size_bytes:
        raise RedwhaleError(
            f"of {size_bytes:,} bytes written the disk has {there:,}", where=str(path),
            fix="check the disk and run the same command again", exit_code=FAILED,
        )  # fmt: skip


def write_bytes(path: Path, data: bytes) -> None:
    """Publish ``data`` under ``path``."""
    with atomic_file(path, size_bytes=len(data)) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Publish ``value`` as indented UTF-8 JSON with Korean left readable."""
    write_bytes(path, (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode())


def make_folder(path: Path) -> None:
    """Create ``path`` and its parents; raise exit code 2 where that is not allowed."""
    what = "the folder is not writable"
    try:
        with full_disk_named(path):
            path.mkdir(parents=True, exist_ok=True)
        if os.access(path, os.W_OK):
            return
    except OSError as error:
        what = f"the folder cannot be created ({error.strerror or error})"
    fix = "choose another place (`workdir`, or --out) or mend the permissions"
    raise RedwhaleError(what, where=str(path), fix=fix, exit_code=USAGE)


def clean_temporaries(folder: Path, *, but: Path) -> None:
    """Remove leftovers of killed runs below ``folder``, ``but`` not in that; call with its lock held."""
    for leftover in sorted(folder.rglob(f"{TEMPORARY_PREFIX}*")):
        if leftover.is_relative_to(but):
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
