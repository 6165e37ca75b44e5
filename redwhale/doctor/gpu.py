"""The GPU, its driver, and what torch was built for."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from redwhale.core.console import data_size
from redwhale.doctor.finding import Finding, short_of
from redwhale.doctor.needs import Needs
from redwhale.doctor.probe import Answers, Gpu, Torch
from redwhale.doctor.python import installed_version

_SMI_SECONDS = 8.0
_QUERY = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
# Oldest driver on Linux for each major version of CUDA (minor version compatibility, release notes of its toolkit).
_OLDEST_DRIVER = {11: (450, 80), 12: (525, 60), 13: (580, 65)}
_FLASH_CAPABILITY = (8, 0)
_GET_CUDA = "install a CUDA build of torch, as its own site's selector says, into this environment"


@dataclass(frozen=True)
class Driver:
    """What the NVIDIA driver says; ``problem`` where there is a card and it does not answer."""

    gpus: tuple[str, ...] = ()
    version: str = ""
    problem: str = ""

    @property
    def has_card(self) -> bool:
        """Tell whether there is an NVIDIA card."""
        return bool(self.gpus or self.problem)


def ask_driver() -> Driver:
    """Ask nvidia-smi, which may hang where a card has fallen off the bus."""
    there = Path("/proc/driver/nvidia").exists() or Path("/dev/nvidia0").exists()
    try:
        done = subprocess.run(_QUERY, capture_output=True, text=True, timeout=_SMI_SECONDS, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        return Driver(problem="there is a card, but no nvidia-smi") if there else Driver()
    except (subprocess.TimeoutExpired, OSError) as error:
        return Driver(problem=f"nvidia-smi does not answer ({error})")
    if done.returncode:
        said = (done.stdout + done.stderr).strip() or f"exit code {done.returncode}"
        return Driver(problem=f"nvidia-smi: {said}") if there else Driver()
    return read_smi(done.stdout)


def read_smi(said: str) -> Driver:
    """Read the answer of nvidia-smi: name and driver version of each card, a line each."""
    rows = [line.rpartition(",") for line in said.splitlines() if "," in line]
    return Driver(tuple(name.strip() for name, _, _ in rows), rows[0][2].strip() if rows else "")


def check_torch(needs: Needs, answers: Answers, driver: Driver) -> Finding:
    """Check what torch was built for against the card there is."""
    torch = answers.torch
    if torch is None:
        return Finding("torch", "fail", f"cannot be imported: {answers.torch_problem}", "install torch again")
    build = f"CUDA {torch.cuda}" if torch.cuda else f"ROCm {torch.hip}" if torch.hip else "CPU"
    found = f"{torch.version}, {build} build"
    if not (torch.cuda or torch.hip) and driver.has_card and needs.device != "cpu":
        card = driver.gpus[0] if driver.gpus else "an NVIDIA card"
        state = short_of(needs.runs_models)
        return Finding("torch", state, f"{found} beside {card}: models would run on the CPU", _GET_CUDA)
    return Finding("torch", "ok", found)


def check_gpu(needs: Needs, answers: Answers) -> Finding:
    """Check that torch can use as many GPUs as the recipe wants, and has kernels for them."""
    torch = answers.torch
    if torch is None:
        return Finding("gpu", "warn", "not known, since torch cannot be imported")
    if not torch.gpus:
        why = f" ({torch.problem})" if torch.problem else ""
        if needs.device == "cpu":
            return Finding("gpu", "ok", f"none that torch can use{why}; the recipe runs on the CPU")
        built = torch.cuda or torch.hip
        mend = "mend the driver or CUDA_VISIBLE_DEVICES" if built else "train where there is one (a demo runs without)"
        found = f"none that torch can use{why}; models would run on the CPU"
        return Finding(
            "gpu", short_of(needs.device == "cuda" or bool(why)), found, f"{mend}, or set `machine.device: cpu`"
        )
    cards = [
        f"{gpu.name}, {data_size(gpu.memory_bytes)}, compute capability {gpu.capability[0]}.{gpu.capability[1]}"
        for gpu in torch.gpus
    ]
    found = "; ".join(f"{cards.count(card)} x {card}" for card in dict.fromkeys(cards))
    unfit = [gpu for gpu in torch.gpus if torch.cuda and not has_kernels(gpu.capability, torch.architectures)]
    if unfit:
        found += f": torch has kernels for {', '.join(torch.architectures)} alone"
        return Finding("gpu", "fail", found, "install a build of torch for this card (another CUDA version)")
    if needs.device != "cpu" and needs.devices > len(torch.gpus):
        fix = f"set `machine.devices` to at most {len(torch.gpus)}"
        return Finding("gpu", "fail", f"{found}; `machine.devices` asks for {needs.devices}", fix)
    return Finding("gpu", "ok", found)


def has_kernels(capability: tuple[int, int], architectures: Sequence[str]) -> bool:
    """Tell whether a build has kernels for a card: machine code (``sm_``) of its major version, or PTX up to it."""
    for name in architectures:
        kind, _, number = name.partition("_")
        digits = "".join(filter(str.isdigit, number))
        built = (int(digits[:-1]), int(digits[-1])) if len(digits) > 1 else (0, 0)
        same = built[0] == capability[0] and (number == digits or built == capability)  # sm_90a is for 9.0 alone
        if built <= capability and (same if kind == "sm" else kind == "compute"):
            return True
    return False


def check_driver(answers: Answers, driver: Driver) -> Finding:
    """Check the driver against the CUDA version that torch was built for."""
    cuda = answers.torch.cuda if answers.torch else None
    if driver.problem:
        return Finding("driver", short_of(cuda is not None), driver.problem, "load or install the NVIDIA driver again")
    if not driver.gpus:
        return Finding("driver", "ok", "no NVIDIA card, no driver")
    if cuda is None:
        return Finding("driver", "ok", f"NVIDIA {driver.version}; torch was not built for CUDA")
    if is_too_old(driver.version, cuda):
        oldest = ".".join(map(str, _OLDEST_DRIVER[int(cuda.split(".")[0])]))
        found = f"NVIDIA {driver.version} is older than CUDA {cuda} needs ({oldest})"
        return Finding("driver", "fail", found, "update the driver, or install torch for an older CUDA")
    return Finding("driver", "ok", f"NVIDIA {driver.version}, new enough for CUDA {cuda}")


def is_too_old(driver: str, cuda: str) -> bool:
    """Tell whether a driver (``550.54.15``) is older than a CUDA version (``12.8``) needs; unknown ones are not."""
    oldest = _OLDEST_DRIVER.get(int(cuda.split(".")[0]))
    numbers = tuple(int(part) for part in driver.split(".")[:2] if part.isdigit())
    return oldest is not None and len(numbers) == 2 and numbers < oldest


def check_bf16(needs: Needs, answers: Answers) -> Finding:
    """Check that the GPUs multiply in bf16."""
    gpus = _gpus(answers.torch)
    if not gpus:
        return Finding("bf16", "ok", "on a CPU it works, and is slow")
    lacking = [gpu.name for gpu in gpus if not gpu.bf16]
    if lacking and needs.device != "cpu":
        found = f"{lacking[0]} has no bf16 (compute capability 8.0 and above have it)"
        return Finding("bf16", short_of(needs.bf16), found, "set `pretrain.precision: fp32`, or take a newer card")
    return Finding("bf16", "ok", "supported")


def check_attention(needs: Needs, answers: Answers) -> Finding:
    """Say which kernels of attention there are; RedWhale uses torch's own and needs no package for them."""
    package = installed_version("flash-attn")
    beside = f"package flash-attn {package}" if package else "package flash-attn not installed, nothing here needs it"
    torch, gpus = answers.torch, _gpus(answers.torch)
    if torch is None or not gpus:
        if needs.flex:
            fix = "set `pretrain.attention: sdpa`"
            return Finding("flash attention", "fail", "FlexAttention trains on CUDA alone, and there is no GPU", fix)
        return Finding("flash attention", "ok", f"SDPA on the CPU; {beside}")
    if not torch.flash or min(gpu.capability for gpu in gpus) < _FLASH_CAPABILITY:
        why = "this build of torch has no flash kernel" if not torch.flash else "the card is older than 8.0"
        fix = "nothing, or another build of torch or a newer card: attention takes more memory and time without"
        return Finding("flash attention", "warn", f"SDPA without its flash kernel: {why}; {beside}", fix)
    return Finding("flash attention", "ok", f"SDPA with its flash kernel; {beside}")


def check_liger() -> Finding:
    """Say whether Liger's kernels are there, which nothing here uses."""
    version = installed_version("liger-kernel")
    return Finding("liger-kernel", "ok", f"{version or 'not installed'}; nothing here needs it")


def check_bitsandbytes(needs: Needs) -> Finding:
    """Check the package of 8-bit moments where the recipe wants these."""
    version = installed_version("bitsandbytes")
    if version is None and "gpu" in needs.extras:
        fix = "pip install 'redwhale[gpu]', or set `pretrain.optimizer: adamw`"
        return Finding("bitsandbytes", "fail", "not installed; `optimizer: adamw-8bit` needs it", fix)
    use = "`optimizer: adamw-8bit` of this recipe uses it" if "gpu" in needs.extras else "for `optimizer: adamw-8bit`"
    return Finding("bitsandbytes", "ok", f"{version or 'not installed'}; {use}")


def _gpus(torch: Torch | None) -> tuple[Gpu, ...]:
    return torch.gpus if torch else ()
