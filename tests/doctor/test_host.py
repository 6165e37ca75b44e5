"""Memory, cores, files and text by hand-made numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from redwhale.core.cgroup import Limits
from redwhale.doctor import fonts
from redwhale.doctor.host import judge_cores, judge_memory, judge_shared_memory, judge_text

GIB = 2**30


def test_memory_is_what_the_group_leaves() -> None:
    assert judge_memory(20 * GIB, 24 * GIB, Limits()).state == "ok"
    assert judge_memory(3 * GIB, 24 * GIB, Limits()).state == "warn"
    found = judge_memory(20 * GIB, 24 * GIB, Limits(memory=8 * GIB, memory_used=5 * GIB))
    assert found.state == "warn" and found.found == "3.0 GiB available: this process may use 8.0 GiB of 24.0 GiB"
    assert judge_memory(20 * GIB, 24 * GIB, Limits(memory=64 * GIB)).found == "20.0 GiB of 24.0 GiB available"


@pytest.mark.parametrize(("devices", "state"), [(1, "warn"), (2, "fail")])
def test_the_shared_memory_of_a_container_is_too_small_for_several_gpus(devices: int, state: str) -> None:
    assert judge_shared_memory(64 * 2**20, 64 * 2**20, devices=devices).state == state
    assert judge_shared_memory(8 * GIB, 8 * GIB, devices=devices).state == "ok"


def test_workers_beyond_the_quota() -> None:
    assert judge_cores(16, 16, None, workers=None, threads=None).found == "16"
    assert judge_cores(16, 4, None, workers=None, threads="1").found == "4 of 16, OMP_NUM_THREADS 1"
    found = judge_cores(16, 16, 2.5, workers=16, threads=None)
    assert (found.state, found.fix) == ("warn", "set `machine.workers: 2`")
    assert "time on 2.5 of them only; text steps would start 16 workers" in found.found
    assert judge_cores(16, 16, 2.5, workers=None, threads=None).state == "ok"  # the steps count the limit in
    assert judge_cores(16, 16, 2.5, workers=2, threads=None).state == "ok"
    assert judge_cores(16, 4, None, workers=8, threads=None).fix == "set `machine.workers: 4`"
    assert judge_cores(4, 4, 0.5, workers=1, threads=None).state == "ok"  # one worker there must be


def test_text() -> None:
    assert judge_text("utf-8", "UTF-8", "utf-8").state == "ok" and judge_text(None, "UTF-8", "utf-8").state == "ok"
    assert judge_text("ANSI_X3.4-1968", "UTF-8", "utf-8").state == "warn"
    assert judge_text("utf-8", "cp949", "utf-8").fix == "export LC_ALL=C.UTF-8 PYTHONUTF8=1"


def test_korean_fonts_by_the_names_of_their_files() -> None:
    names = ["DejaVuSans.ttf", "NanumGothic.ttf", "NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf"]
    assert fonts.korean_by_name(names) == ["NanumGothic.ttf", "NotoSansCJK-Regular.ttc"]


def test_no_font_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no fontconfig
    monkeypatch.setattr(fonts, "_FOLDERS", (str(tmp_path),))
    found = fonts.check_korean_font()
    assert found.state == "warn" and "fonts-nanum" in found.fix
    (tmp_path / "NanumGothic.ttf").touch()
    assert fonts.check_korean_font().found == "NanumGothic.ttf"
