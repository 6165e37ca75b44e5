"""Ask torch and DeepSpeed what they can do, in a process of its own: their import may fail, crash or hang."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_SECONDS = 45.0
"""How long both imports may take; some ten seconds have been seen, more from a network disk."""


@dataclass(frozen=True)
class Gpu:
    """One GPU as torch sees it; ``capability`` is (major, minor)."""

    name: str
    memory_bytes: int
    capability: tuple[int, int]
    bf16: bool


@dataclass(frozen=True)
class Torch:
    """What torch was built for and sees; ``problem`` says why it can use no GPU although it was built for one.

    ``architectures`` are those it has kernels for (``sm_90``), ``flash`` whether SDPA has its flash kernel,
    ``extensions`` is the folder below which it compiles extensions.
    """

    version: str
    cuda: str | None
    hip: str | None
    architectures: tuple[str, ...]
    gpus: tuple[Gpu, ...]
    flash: bool
    extensions: str
    problem: str


@dataclass(frozen=True)
class DeepSpeed:
    """What DeepSpeed could compile: empty where it can, else why not; ``adam_built``: it has been compiled before."""

    version: str
    adam_problem: str
    async_io_problem: str
    adam_built: bool


@dataclass(frozen=True)
class Answers:
    """What both said; None, and a problem, where one did not answer."""

    torch: Torch | None
    torch_problem: str
    deepspeed: DeepSpeed | None
    deepspeed_problem: str


def ask(seconds: float = _SECONDS) -> Answers:
    """Start this module as a process, wait for it at most ``seconds`` and return what it has said until then."""
    command = [sys.executable, "-m", "redwhale.doctor.probe"]
    why = "it ended without an answer"
    try:
        said = subprocess.run(command, capture_output=True, timeout=seconds, stdin=subprocess.DEVNULL).stdout
    except subprocess.TimeoutExpired as error:
        said, why = error.stdout or b"", f"no answer in {seconds:.0f} s"
    return read_answers(said.decode("utf-8", "replace"), why)


def read_answers(said: str, why: str) -> Answers:
    """Read a line of JSON for each library; ``why`` is the problem of one that has none."""
    found: dict[str, Any] = {}
    for line in said.splitlines():
        with contextlib.suppress(ValueError):
            found |= json.loads(line)
    torch, deepspeed = found.get("torch"), found.get("deepspeed")
    if torch:
        gpus = tuple(Gpu(**gpu | {"capability": tuple(gpu["capability"])}) for gpu in torch["gpus"])
        torch |= {"gpus": gpus, "architectures": tuple(torch["architectures"])}
    return Answers(
        Torch(**torch) if torch else None, found.get("torch_problem", why),
        DeepSpeed(**deepspeed) if deepspeed else None, found.get("deepspeed_problem", why),
    )  # fmt: skip


def _torch() -> Torch:
    import torch

    gpus, problem = [], ""
    if torch.version.cuda or torch.version.hip:
        try:
            torch.cuda.init()
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        for number in range(0 if problem else torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(number)
            with torch.cuda.device(number):
                bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
            gpus.append(Gpu(facts.name, facts.total_memory, (facts.major, facts.minor), bf16))
    flash = torch.backends.cuda.is_flash_attention_available() and torch.backends.cuda.flash_sdp_enabled()
    return Torch(
        str(torch.__version__), torch.version.cuda, torch.version.hip, tuple(torch.cuda.get_arch_list()), tuple(gpus),
        flash, str(_extensions()), problem,
    )  # fmt: skip


def _deepspeed() -> DeepSpeed:
    import deepspeed
    import torch
    from deepspeed.ops.op_builder import AsyncIOBuilder, CPUAdamBuilder
    from deepspeed.ops.op_builder.builder import assert_no_cuda_mismatch

    def adam() -> bool:
        if torch.version.cuda:
            assert_no_cuda_mismatch("cpu_adam")  # raises where there is no nvcc, or one of another version
        return CPUAdamBuilder().is_compatible(verbose=False)

    home, python = _extensions(), f"py{sys.version_info.major}{sys.version_info.minor}"
    built = [*home.glob("cpu_adam/cpu_adam.so"), *home.glob(f"{python}*/cpu_adam/cpu_adam.so")]
    return DeepSpeed(
        deepspeed.__version__, _problem(adam), _problem(lambda: AsyncIOBuilder().is_compatible(verbose=False)),
        bool(built),
    )  # fmt: skip


def _extensions() -> Path:
    from torch.utils.cpp_extension import get_default_build_root

    return Path(os.environ.get("TORCH_EXTENSIONS_DIR") or get_default_build_root())


def _problem(is_compatible: Callable[[], bool]) -> str:
    try:
        return "" if is_compatible() else "it says that it is not compatible"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def main() -> None:
    """Write what each library says as a line of JSON; what they print themselves goes to stderr."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    questions: dict[str, Callable[[], Any]] = {"torch": _torch, "deepspeed": _deepspeed}
    for name, question in questions.items():
        try:
            answer: dict[str, Any] = {name: asdict(question())}
        except Exception as error:
            answer = {f"{name}_problem": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
