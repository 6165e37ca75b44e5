"""What is compiled on first use: DeepSpeed's operators, torch's kernels, and the lock that a killed build leaves."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from redwhale.core.console import duration
from redwhale.doctor.finding import Finding, short_of
from redwhale.doctor.needs import Needs
from redwhale.doctor.probe import Answers
from redwhale.training.host_adam import BUILD_SECONDS, builder_of, is_stale


def check_deepspeed(needs: Needs, answers: Answers) -> Finding:
    """Check that DeepSpeed can be imported, and say which of its operators it could compile."""
    deepspeed = answers.deepspeed
    if deepspeed is None:
        fix = "install it again, see packages; or set `pretrain.deepspeed: null`"
        return Finding("deepspeed", short_of(needs.deepspeed), f"cannot be imported: {answers.deepspeed_problem}", fix)
    adam = "compiled before" if deepspeed.adam_built else "to be compiled on first use"
    adam = f"cannot be compiled ({deepspeed.adam_problem})" if deepspeed.adam_problem else adam
    aio = "cannot be compiled, nothing here needs it" if deepspeed.async_io_problem else "could be compiled"
    found = f"{deepspeed.version}; CPU Adam {adam}; async_io {aio}"
    if deepspeed.adam_problem and needs.host_adam:  # torch's own runs in its place
        fix = "mend the compiler below or the CUDA toolkit (nvcc), or set `pretrain.deepspeed.cpu_adam: false`"
        return Finding("deepspeed", "fail", found, fix)
    return Finding("deepspeed", "ok", found)


def check_compiler(needs: Needs) -> Finding:
    """Check what a compilation on first use takes: a C++ compiler, ninja on the PATH, Python's headers."""
    compiler = os.environ.get("CXX", "c++")
    missing = lacking_tools(
        compiler=shutil.which(compiler), ninja=shutil.which("ninja"),
        own_ninja=(Path(sys.executable).parent / "ninja").is_file(),
        headers=(Path(sysconfig.get_paths()["include"]) / "Python.h").is_file(),
    )  # fmt: skip
    if not missing:
        return Finding("compiler", "ok", f"{shutil.which(compiler)}, ninja and Python's headers")
    found = "; ".join(f"no {what}" for what, _ in missing)
    use = "; CPU Adam and compiled kernels need them" if needs.host_adam or needs.compiles else ""
    return Finding(
        "compiler", short_of(needs.host_adam or needs.compiles), found + use, "; ".join(fix for _, fix in missing)
    )


def lacking_tools(
    *, compiler: str | None, ninja: str | None, own_ninja: bool, headers: bool
) -> list[tuple[str, str]]:  # fmt: skip
    """Return what is missing, each with what mends it; ``own_ninja``: it is there, but not on the PATH."""
    missing = []
    if compiler is None:
        missing.append(("C++ compiler", "apt install g++, or set CXX"))
    if ninja is None:
        fix = "activate the environment, which has it" if own_ninja else "pip install ninja"
        missing.append(("ninja on the PATH", fix))
    if not headers:
        missing.append(("headers of Python (Python.h)", "apt install python3-dev"))
    return missing


@dataclass(frozen=True)
class BuildLock:
    """A lock on the compilation of an extension, and the process here that holds it open."""

    path: Path
    age_seconds: float
    builder: int | None


def find_locks(extensions: Path) -> list[BuildLock]:
    """Return the locks below torch's folder of extensions, which has a level for Python and CUDA by default."""
    found = []
    for path in [*extensions.glob("*/lock"), *extensions.glob("*/*/lock")]:
        if path.is_file():
            found.append(BuildLock(path, max(time.time() - path.stat().st_mtime, 0), builder_of(path)))
    return found


def check_build_lock(needs: Needs, answers: Answers) -> Finding:
    """Look for the lock that a killed compilation has left."""
    home = Path(answers.torch.extensions) if answers.torch else None
    if home is None:
        return Finding("build lock", "warn", "not looked for, since torch cannot be imported")
    return judge_locks(find_locks(home), home=home, needed=needs.host_adam)


def judge_locks(locks: Sequence[BuildLock], *, home: Path, needed: bool) -> Finding:
    """Judge locks by their age and holder; one that nobody holds makes the next compilation wait for ever."""
    dead = [lock for lock in locks if lock.builder is None]
    if not dead:
        at_work = [f"process {lock.builder} compiles {lock.path.parent.name}" for lock in locks]
        return Finding("build lock", "ok", "; ".join(at_work) or f"none in {home}")
    stale = [lock for lock in dead if is_stale(lock.age_seconds, builder=lock.builder)]
    found = "; ".join(f"{lock.path} is {duration(lock.age_seconds)} old and no process here holds it" for lock in dead)
    fix = "; ".join(shlex.join(["rm", str(lock.path)]) for lock in dead)
    if not stale:
        fix += f" (if no other machine compiles there; that takes at most {duration(BUILD_SECONDS)})"
    return Finding("build lock", short_of(needed and bool(stale)), f"{found}: what uses it would hang", fix)
