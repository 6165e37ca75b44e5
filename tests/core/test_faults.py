"""Faults at named points: each action, the count of passages, and what is left when a file is being published."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from redwhale.core import publish
from redwhale.core.errors import RedwhaleError
from redwhale.core.faults import VARIABLE, fault
from redwhale.core.publish import LOCK_NAME, atomic_file, atomic_folder, locked

FILE_POINTS = ["before_write", "after_write", "before_rename", "before_folder_sync", "after_rename"]


def ask(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.setenv(VARIABLE, words)


def write(path: Path, text: str) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(text)


def test_the_nth_passage_alone_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    ask(monkeypatch, "here:raise-EIO@3")
    fault("here")
    fault("there")
    fault("here")
    with pytest.raises(OSError) as caught:
        fault("here")
    assert caught.value.errno == errno.EIO
    fault("here")


def test_a_file_at_the_point_loses_its_second_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(monkeypatch, "publish.after_rename:truncate")
    write(tmp_path / "x", "0123456789")
    assert (tmp_path / "x").read_text() == "01234"


@pytest.mark.promise("F10")
@pytest.mark.parametrize("point", FILE_POINTS[1:3])
def test_a_file_that_lost_a_part_takes_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    write(tmp_path / "x", "old")
    ask(monkeypatch, f"publish.{point}:truncate")
    with pytest.raises(RedwhaleError, match=r"/x: of 10 bytes written the disk has 5; check the disk") as caught:
        write(tmp_path / "x", "0123456789")
    assert caught.value.exit_code == 1 and (tmp_path / "x").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_an_unknown_action_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ask(monkeypatch, "here:explode")
    with pytest.raises(RedwhaleError, match="'explode' cannot be done there; actions: kill") as caught:
        fault("here")
    assert caught.value.exit_code == 2


@pytest.mark.promise("F7")
@pytest.mark.parametrize("point", FILE_POINTS)
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    write(tmp_path / "x", "old")
    ask(monkeypatch, f"publish.{point}:raise-ENOSPC")
    with pytest.raises(RedwhaleError, match="the disk is full") as caught:
        write(tmp_path / "x", "new")
    assert caught.value.exit_code == 4
    renamed = point in ("before_folder_sync", "after_rename")
    assert (tmp_path / "x").read_text() == ("new" if renamed else "old")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.promise("F9")
@pytest.mark.parametrize("point", FILE_POINTS[1:])
def test_a_failing_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    ask(monkeypatch, f"publish.{point}:raise-EIO")
    with pytest.raises(RedwhaleError, match=r"/x: the file cannot be published \(Input/output error\)") as caught:
        write(tmp_path / "x", "new")
    assert caught.value.exit_code == 1


@pytest.mark.promise("F9")
@pytest.mark.parametrize("point", FILE_POINTS[:3])
def test_a_folder_is_published_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    for text in ("old", "new"):
        ask(monkeypatch, f"publish.{point}:raise-EIO@{1 if text == 'new' else 2}")
        try:
            with atomic_folder(tmp_path / "folder") as temporary:
                (temporary / "x").write_text(text)
        except (OSError, RedwhaleError):
            assert text == "new"
    assert (tmp_path / "folder" / "x").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.promise("F12")
def test_a_lock_is_whole_from_its_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def look(point: str, path: Path | None = None) -> None:
        lock = tmp_path / LOCK_NAME
        seen.append(json.loads(lock.read_text())["pid"] if lock.exists() else None)

    monkeypatch.setattr(publish, "fault", look)
    with locked(tmp_path):
        pass
    assert seen[0] is None and all(isinstance(pid, int) for pid in seen[1:3])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.promise("F12")
def test_locks_hold_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a lock is empty for a moment: that is no stale one, unless it stays so."""

    def refuse(*paths: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(publish.os, "link", refuse)
    with locked(tmp_path), pytest.raises(RedwhaleError, match="is working in this folder"), locked(tmp_path):
        pass
    lock = tmp_path / LOCK_NAME
    lock.touch()
    with pytest.raises(RedwhaleError, match="a process that has just begun is working"), locked(tmp_path):
        pass
    publish.os.utime(lock, (0, 0))
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.promise("F12")
def test_of_two_that_find_a_lock_stale_one_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other takes it between this one's look and its move: what was moved is put back."""
    lock = tmp_path / LOCK_NAME
    lock.write_text(json.dumps({"pid": 2**22 + 1, "host": publish.socket.gethostname()}))
    other = json.dumps({"pid": 1, "host": publish.socket.gethostname()})
    check = publish._need_stale

    def outrun(path: Path) -> None:
        check(path)
        path.write_text(other)

    monkeypatch.setattr(publish, "_need_stale", outrun)
    with pytest.raises(RedwhaleError, match=r"process 1 on .* is working"), locked(tmp_path):
        pass
    assert lock.read_text() == other
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_NAME]
