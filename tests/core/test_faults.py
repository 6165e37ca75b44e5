"""Faults at named points: each action, the count of passages, and what is left when a file is being published."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.core.faults import VARIABLE, fault
from redwhale.core.publish import atomic_file, atomic_folder

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
