"""Compilers, and the lock that a killed compilation leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from redwhale.doctor import compiler
from redwhale.doctor.compiler import BuildLock, find_locks, judge_locks, lacking_tools
from redwhale.doctor.needs import Needs
from redwhale.doctor.probe import Answers, DeepSpeed
from redwhale.training.host_adam import builder_of, is_stale

HOME = Path("/home/x/.cache/torch_extensions")


def lock(age_seconds: float, builder: int | None = None) -> BuildLock:
    return BuildLock(HOME / "py311_cpu" / "cpu_adam" / "lock", age_seconds, builder)


@pytest.mark.parametrize(
    ("age_seconds", "builder", "stale"), [(901, None, True), (899, None, False), (9000, 17, False), (0, None, False)]
)
def test_a_lock_is_stale_by_age_and_holder(age_seconds: float, builder: int | None, stale: bool) -> None:
    assert is_stale(age_seconds, builder=builder) is stale


def test_locks_are_found_where_torch_puts_them_with_their_holder(tmp_path: Path) -> None:
    default, given = (
        tmp_path / "py311_cpu" / "cpu_adam",
        tmp_path / "fused_adam",
    )  # the latter under TORCH_EXTENSIONS_DIR
    for folder in (default, given):
        folder.mkdir(parents=True)
        (folder / "lock").touch()
        os.utime(folder / "lock", (1, 1))
    assert builder_of(default / "lock") is None
    with (default / "lock").open("rb"):  # as torch's baton holds it while it compiles
        found = {each.path.parent.name: each for each in find_locks(tmp_path)}
        assert found["cpu_adam"].builder == os.getpid() and found["fused_adam"].builder is None
    assert found["cpu_adam"].age_seconds > 1e9


def test_the_line_of_a_lock() -> None:
    assert judge_locks([], home=HOME, needed=True).found == f"none in {HOME}"
    assert judge_locks([lock(40, 17)], home=HOME, needed=True).found == "process 17 compiles cpu_adam"
    found = judge_locks([lock(7200)], home=HOME, needed=True)
    assert (found.state, found.fix) == ("fail", f"rm {HOME}/py311_cpu/cpu_adam/lock")
    assert "is 2h00m old and no process here holds it: what uses it would hang" in found.found
    assert judge_locks([lock(7200)], home=HOME, needed=False).state == "warn"
    young = judge_locks([lock(60)], home=HOME, needed=True)
    assert young.state == "warn" and young.fix.endswith(
        "(if no other machine compiles there; that takes at most 15m00s)"
    )


def test_what_a_compilation_lacks() -> None:
    assert lacking_tools(compiler="/usr/bin/c++", ninja="/usr/bin/ninja", own_ninja=True, headers=True) == []
    found = lacking_tools(compiler=None, ninja=None, own_ninja=True, headers=False)
    assert [what for what, _ in found] == ["C++ compiler", "ninja on the PATH", "headers of Python (Python.h)"]
    assert found[1][1] == "activate the environment, which has it"
    (one,) = lacking_tools(compiler="c++", ninja=None, own_ninja=False, headers=True)
    assert one[1] == "pip install ninja"


def test_tools_are_needed_where_the_recipe_compiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert compiler.check_compiler(Needs(tmp_path)).state == "warn"
    found = compiler.check_compiler(Needs(tmp_path, host_adam=True))
    assert found.state == "fail" and "no C++ compiler; no ninja on the PATH" in found.found


def deepspeed(*, adam_problem: str = "") -> Answers:
    return Answers(None, "", DeepSpeed("0.18.2", adam_problem, "no libaio", adam_built=False), "")


def test_deepspeed_fails_where_the_recipe_has_it() -> None:
    gone = Answers(None, "", None, "ImportError: no")
    assert compiler.check_deepspeed(Needs(Path("/")), gone).state == "warn"
    assert compiler.check_deepspeed(Needs(Path("/"), deepspeed=True), gone).state == "fail"
    found = compiler.check_deepspeed(Needs(Path("/"), deepspeed=True), deepspeed())
    assert (found.state, found.found) == (
        "ok", "0.18.2; CPU Adam to be compiled on first use; async_io cannot be compiled, nothing here needs it"
    )  # fmt: skip
    broken = deepspeed(adam_problem="MissingCUDAException: CUDA_HOME does not exist")
    assert compiler.check_deepspeed(Needs(Path("/"), deepspeed=True), broken).state == "ok"  # nothing is offloaded
    assert compiler.check_deepspeed(Needs(Path("/"), deepspeed=True, host_adam=True), broken).state == "fail"
