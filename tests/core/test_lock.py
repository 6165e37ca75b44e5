"""Locks: one process in a folder, whichever dies, sleeps or comes at the same moment."""

import errno
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from redwhale.core import lock as locks
from redwhale.core.console import Console
from redwhale.core.errors import RedwhaleError
from redwhale.core.lock import LOCK_NAME, STALE_SECONDS, holder_of, locked
from redwhale.core.step import Built, Plan, produce


@pytest.mark.promise("F12")
def test_a_live_lock_names_its_holder_and_a_dead_one_is_taken(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(RedwhaleError, match=f"process {os.getpid()} on .* is working") as caught,
        locked(tmp_path),
    ):
        pass
    assert caught.value.exit_code == 2
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    (tmp_path / ".lock").write_text(json.dumps({"pid": int(dead.stdout), "host": socket.gethostname()}))
    with locked(tmp_path):
        pass
    assert not (tmp_path / ".lock").exists()


@pytest.mark.promise("F12")
def test_a_lock_of_an_earlier_process_with_this_number_is_taken(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert (holder := holder_of(tmp_path)) and f"process {os.getpid()} on" in holder
    assert holder_of(tmp_path) is None
    held = {"pid": os.getpid(), "host": socket.gethostname(), "started": "1"}
    (tmp_path / ".lock").write_text(json.dumps(held))
    with locked(tmp_path):
        pass


@pytest.mark.promise("F12")
def test_a_lock_of_another_host_is_taken_once_its_heart_has_stopped(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    lock.write_text(json.dumps({"pid": os.getpid(), "host": "elsewhere", "started": "1"}))
    with (
        pytest.raises(RedwhaleError, match=f"process {os.getpid()} on elsewhere is working in this folder") as caught,
        locked(tmp_path),
    ):
        pass
    assert caught.value.exit_code == 2 and json.loads(lock.read_text())["host"] == "elsewhere"
    silent = time.time() - STALE_SECONDS - 1
    os.utime(lock, (silent, silent))
    with locked(tmp_path):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    assert not list(tmp_path.iterdir())


@pytest.mark.promise("F12")
def test_a_lock_is_whole_from_its_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def look(point: str, path: Path | None = None) -> None:
        lock = tmp_path / LOCK_NAME
        seen.append(json.loads(lock.read_text())["pid"] if lock.exists() else None)

    monkeypatch.setattr(locks, "fault", look)
    with locked(tmp_path):
        pass
    assert seen[0] is None and all(isinstance(pid, int) for pid in seen[1:3])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.promise("F12")
def test_locks_hold_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a lock is empty for a moment: that is no stale one, unless it stays so."""

    def refuse(*paths: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with locked(tmp_path), pytest.raises(RedwhaleError, match="is working in this folder"), locked(tmp_path):
        pass
    lock = tmp_path / LOCK_NAME
    lock.touch()
    with pytest.raises(RedwhaleError, match="a process that has just begun is working"), locked(tmp_path):
        pass
    os.utime(lock, (0, 0))
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.promise("F12")
def test_of_two_that_find_a_lock_stale_one_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other takes it between this one's look and its move: what was moved is put back."""
    lock = tmp_path / LOCK_NAME
    lock.write_text(json.dumps({"pid": 2**22 + 1, "host": socket.gethostname()}))
    other = json.dumps({"pid": 1, "host": socket.gethostname()})
    check = locks._need_stale

    def outrun(path: Path) -> None:
        check(path)
        path.write_text(other)

    monkeypatch.setattr(locks, "_need_stale", outrun)
    with pytest.raises(RedwhaleError, match=r"process 1 on .* is working"), locked(tmp_path):
        pass
    assert lock.read_text() == other
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_NAME]


@pytest.mark.promise("F12")
def test_one_that_slept_while_another_took_over_finishes_nothing(tmp_path: Path) -> None:
    """As a suspended machine does that shares the folder: the other one's lock stays, and no manifest is written."""
    lock, other = tmp_path / "a" / LOCK_NAME, json.dumps({"pid": 1, "host": "elsewhere", "started": "1"})

    def sleep() -> Built:
        lock.write_text(other)
        return Built([])

    with pytest.raises(RedwhaleError, match="another has taken the folder") as caught:
        produce(
            Plan("sleep", "redwhale sleep", tmp_path / "a", (), {}, algorithm=1), sleep, console=Console(quiet=True)
        )
    assert caught.value.exit_code == 1
    assert lock.read_text() == other and not (tmp_path / "a" / "manifest.json").exists()
