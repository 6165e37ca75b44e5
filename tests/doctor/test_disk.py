"""The disk of the workdir: judged by hand-made numbers, tried on a real folder, nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from redwhale.doctor import disk
from redwhale.doctor.disk import DiskSpeed, file_system_of, judge_space, judge_speed, measure_speed
from redwhale.doctor.needs import Needs

GIB = 2**30
MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/me/my\\040disk xfs rw 0 0
tmpfs /homestead tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/", "ext4"), ("/srv", "ext4"), ("/home/me", "nfs4"), ("/home/me/my disk/run", "xfs"), ("/homestead", "tmpfs"),
     ("/homes", "ext4")],
)  # fmt: skip
def test_the_file_system_is_that_of_the_longest_mount_point(folder: str, kind: str) -> None:
    assert file_system_of(Path(folder), MOUNTS) == kind


@pytest.mark.parametrize(
    ("free", "needed", "free_files", "state"),
    [(100 * GIB, 0, None, "ok"), (4 * GIB, 0, 10**6, "warn"), (100 * GIB, 101 * GIB, 10**6, "fail"),
     (100 * GIB, 50 * GIB, 10**6, "ok"), (100 * GIB, 0, 9_999, "warn")],
)  # fmt: skip
def test_room(free: int, needed: int, free_files: int | None, state: str) -> None:
    found = judge_space(free, 200 * GIB, needed=needed, free_files=free_files)
    assert found.state == state
    if needed:
        assert f"the models to be made take {needed // GIB}" in found.found


def test_a_slow_disk_is_told_by_the_time_of_a_checkpoint() -> None:
    found = judge_speed(DiskSpeed(write=20 * 2**20, read=500 * 2**20, size_bytes=40 * 2**20))
    assert found.state == "warn" and found.found.endswith("10 GiB of checkpoint take 512 s")
    assert judge_speed(DiskSpeed(write=200 * 2**20, read=1.0, size_bytes=1)).state == "ok"


def test_the_speed_test_is_bounded_and_has_no_name(tmp_path: Path) -> None:
    speed = measure_speed(tmp_path, size_bytes=3 * 2**20)
    assert speed.size_bytes == 3 * 2**20 and speed.write > 0 and speed.read > 0
    assert measure_speed(tmp_path, seconds=0.0).size_bytes <= 2**20
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_made_yet_is_tried_above_and_left_as_it_was(tmp_path: Path) -> None:
    needs = Needs(tmp_path / "runs" / "one")
    assert "(not made yet)" in disk.check_workdir(needs).found
    assert disk.check_publishing(needs).found == "fsync, atomic rename and hard links work"
    assert disk.check_space(needs).found.endswith("free") and list(tmp_path.iterdir()) == []


def test_hard_links_may_lack_and_renames_may_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*names: object, **more: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    found = disk.check_publishing(Needs(tmp_path))
    assert found.state == "warn" and "hard links do not (Operation not supported)" in found.found
    monkeypatch.setenv("REDWHALE_FAULT", "publish.before_rename:raise-EIO")
    found = disk.check_publishing(Needs(tmp_path))
    assert found.state == "fail" and "a file cannot be replaced as a whole" in found.found
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_workdir(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    found = disk.check_workdir(Needs(tmp_path / "run"))
    assert found.state == "fail" and found.found == f"{tmp_path}/run is a file"
