"""GPU machines as they answer, judged without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from redwhale.doctor import gpu
from redwhale.doctor.gpu import Driver, has_kernels, is_too_old, read_smi
from redwhale.doctor.needs import Needs
from redwhale.doctor.probe import Answers, DeepSpeed, Gpu, Torch

H100 = Gpu("NVIDIA H100 80GB HBM3", 85_000_000_000, (9, 0), bf16=True)
V100 = Gpu("Tesla V100-SXM2-32GB", 34_000_000_000, (7, 0), bf16=False)
DRIVER = Driver(("NVIDIA H100 80GB HBM3",), "550.54.15")


def torch_with(*gpus: Gpu, **more: Any) -> Torch:
    facts: dict[str, Any] = {
        "version": "2.9.0+cu128", "cuda": "12.8", "hip": None, "architectures": ("sm_75", "sm_80", "sm_90"),
        "gpus": gpus, "flash": True, "extensions": "/home/x", "problem": "",
    }  # fmt: skip
    return Torch(**facts | more)


def answers(torch: Torch | None, problem: str = "") -> Answers:
    return Answers(torch, problem, DeepSpeed("0.18.2", "", "", True), "")


def needs(**more: Any) -> Needs:
    return Needs(Path("/somewhere"), runs_models=True, **more)


CPU = torch_with(version="2.9.0+cpu", cuda=None, architectures=(), flash=False)


def test_the_answer_of_nvidia_smi() -> None:
    said = "NVIDIA H100 80GB HBM3, 550.54.15\nNVIDIA H100 80GB HBM3, 550.54.15\n"
    assert read_smi(said) == Driver(("NVIDIA H100 80GB HBM3",) * 2, "550.54.15")
    assert read_smi("") == Driver() and not Driver().has_card


def test_a_cpu_build_beside_a_card_is_the_wasted_week() -> None:
    found = gpu.check_torch(needs(), answers(CPU), DRIVER)
    assert found.state == "fail" and found.found == (
        "2.9.0+cpu, CPU build beside NVIDIA H100 80GB HBM3: models would run on the CPU"
    )
    assert gpu.check_torch(Needs(Path("/somewhere")), answers(CPU), DRIVER).state == "warn"  # no recipe asks for models
    assert gpu.check_torch(needs(device="cpu"), answers(CPU), DRIVER).state == "ok"
    assert gpu.check_torch(needs(), answers(CPU), Driver()).state == "ok"
    assert gpu.check_torch(needs(), answers(torch_with(H100)), DRIVER).found == "2.9.0+cu128, CUDA 12.8 build"
    rocm = torch_with(version="2.9.0+rocm6.4", cuda=None, hip="6.4.1")
    assert gpu.check_torch(needs(), answers(rocm), Driver()).found == "2.9.0+rocm6.4, ROCm 6.4.1 build"
    assert gpu.check_torch(needs(), answers(None, "no answer in 45 s"), DRIVER).state == "fail"


def test_gpus_are_counted_with_memory_and_capability() -> None:
    found = gpu.check_gpu(needs(devices=2), answers(torch_with(H100, H100)))
    assert (found.state, found.found) == ("ok", "2 x NVIDIA H100 80GB HBM3, 79.2 GiB, compute capability 9.0")
    found = gpu.check_gpu(needs(devices=4), answers(torch_with(H100, H100)))
    assert found.state == "fail" and found.fix == "set `machine.devices` to at most 2"
    assert gpu.check_gpu(needs(devices=4, device="cpu"), answers(torch_with(H100))).state == "ok"
    found = gpu.check_gpu(needs(), answers(torch_with(V100)))
    assert found.state == "fail" and "kernels for sm_75, sm_80, sm_90 alone" in found.found


@pytest.mark.parametrize(
    ("device", "problem", "state"),
    [("auto", "", "warn"), ("cpu", "", "ok"), ("cuda", "", "fail"), ("auto", "RuntimeError: driver too old", "fail"),
     ("cpu", "RuntimeError: driver too old", "ok")],
)  # fmt: skip
def test_no_gpu_fails_where_one_was_meant_to_be_there(device: str, problem: str, state: str) -> None:
    found = gpu.check_gpu(needs(device=device), answers(torch_with(problem=problem)))
    assert found.state == state and problem in found.found


@pytest.mark.parametrize(
    ("capability", "architectures", "fits"),
    [
        ((9, 0), ("sm_80", "sm_90"), True),
        ((8, 9), ("sm_80", "sm_90"), True),  # machine code of an earlier minor version runs
        ((8, 0), ("sm_86",), False),  # of a later one it does not
        ((12, 0), ("sm_90",), False),
        ((12, 0), ("sm_90", "compute_90"), True),  # PTX is compiled for what comes later
        ((12, 0), ("sm_90a",), False),
        ((9, 0), ("sm_90a",), True),
        ((12, 0), ("sm_120",), True),
        ((7, 0), ("sm_75", "compute_75"), False),
        ((9, 0), (), False),
    ],
)
def test_kernels_of_a_build_fit_a_card(capability: tuple[int, int], architectures: tuple[str, ...], fits: bool) -> None:
    assert has_kernels(capability, architectures) is fits


@pytest.mark.parametrize(
    ("driver", "cuda", "old"),
    [("550.54.15", "12.8", False), ("525.60.13", "12.1", False), ("525.59", "12.1", True), ("470.82", "12.8", True),
     ("575.51", "13.0", True), ("580.65.06", "13.0", False), ("570.1", "99.0", False), ("", "12.8", False)],
)  # fmt: skip
def test_drivers_against_cuda(driver: str, cuda: str, old: bool) -> None:
    assert is_too_old(driver, cuda) is old


def test_the_driver_line() -> None:
    found = gpu.check_driver(answers(torch_with(H100)), Driver(("Tesla T4",), "470.82.01"))
    assert found.state == "fail" and found.found == "NVIDIA 470.82.01 is older than CUDA 12.8 needs (525.60)"
    assert gpu.check_driver(answers(torch_with(H100)), DRIVER).state == "ok"
    silent = Driver(problem="nvidia-smi does not answer (timed out)")
    assert gpu.check_driver(answers(torch_with()), silent).state == "fail"
    assert (
        gpu.check_driver(answers(CPU), silent).state == "warn" and gpu.check_driver(answers(CPU), DRIVER).state == "ok"
    )


def test_bf16_fails_where_the_recipe_has_it_and_the_card_has_not() -> None:
    old = answers(torch_with(V100))
    found = gpu.check_bf16(needs(bf16=True), old)
    assert found.state == "fail" and found.fix.startswith("set `pretrain.precision: fp32`")
    assert gpu.check_bf16(needs(), old).state == "warn"
    assert gpu.check_bf16(needs(bf16=True, device="cpu"), old).state == "ok"
    assert gpu.check_bf16(needs(bf16=True), answers(torch_with(H100))).state == "ok"
    assert gpu.check_bf16(needs(bf16=True), answers(CPU)).state == "ok"


def test_attention() -> None:
    assert gpu.check_attention(needs(), answers(torch_with(H100))).found.startswith("SDPA with its flash kernel")
    assert "older than 8.0" in gpu.check_attention(needs(), answers(torch_with(H100, V100))).found
    assert gpu.check_attention(needs(), answers(torch_with(H100, flash=False))).state == "warn"
    found = gpu.check_attention(needs(flex=True), answers(CPU))
    assert found.state == "fail" and found.fix == "set `pretrain.attention: sdpa`"
    assert gpu.check_attention(needs(), answers(CPU)).state == "ok"


def test_eight_bit_moments_need_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "installed_version", lambda name: None)
    assert gpu.check_bitsandbytes(needs(extras=("gpu",))).state == "fail"
    assert gpu.check_bitsandbytes(needs()).state == "ok"
