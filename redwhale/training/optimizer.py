"""AdamW in its three makes: torch's, DeepSpeed's for states in main memory, and one with states of 8 bits.

Groups are told apart by peak learning rate and decay. States are read and set as whole float32 tensors, whatever
they are held in, so that a checkpoint of one make goes on under another.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from redwhale.core.errors import FAILED, RedwhaleError
from redwhale.core.recipe.pretrain import Pretrain
from redwhale.training.partition import TrainedTensor

ADAM_EPSILON = 1e-8
PEAK = "peak_learning_rate"
MOMENTS = ("exp_avg", "exp_avg_sq")
SCALES = tuple(f"{moment}_scales" for moment in MOMENTS)
"""Largest value of each block of 256 of a moment in 8 bits: with it the codes are found again bit by bit."""
_BLOCK = 256
_NAMES_OF_8_BIT = dict(zip(MOMENTS, "12", strict=True))


def make_optimizer(trained: Sequence[TrainedTensor], settings: Pretrain, *, host_adam: bool = False) -> Any:
    """Return AdamW over one group for each peak learning rate and decay, each rate 0 as yet.

    ``host_adam``: DeepSpeed's, made for states in main memory. Raises exit code 2 where a package is missing.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for tensor in trained:
        groups.setdefault(group_of(tensor, settings), []).append(tensor.parameter)
    listed = [{"params": chosen, "weight_decay": decay, PEAK: peak} for (peak, decay), chosen in groups.items()]
    shared: dict[str, Any] = {"lr": 0.0, "betas": settings.betas, "eps": ADAM_EPSILON}
    if settings.optimizer == "adamw-8bit":
        return _bitsandbytes().optim.AdamW8bit(listed, **shared)
    if host_adam:
        from deepspeed.ops.adam import DeepSpeedCPUAdam

        return DeepSpeedCPUAdam(listed, **shared, adamw_mode=True, fp32_optimizer_states=True)
    return torch.optim.AdamW(listed, **shared, fused=True)


def optimizer_in_words(optimizer: Any, *, where: str = "") -> str:
    """Name the optimizer that really runs."""
    module = type(optimizer).__module__.split(".")[0]
    states = "8-bit states" if module == "bitsandbytes" else "float32 states"
    return f"{module} {type(optimizer).__name__}, {len(optimizer.param_groups)} groups, {states}{where}"


def check_groups(optimizer: Any, trained: Sequence[TrainedTensor], settings: Pretrain) -> None:
    """Raise where an engine has lost parameter groups: peak rate and decay are what tells them apart."""
    expected = sorted({group_of(tensor, settings) for tensor in trained})
    found = sorted({(float(group[PEAK]), float(group["weight_decay"])) for group in optimizer.param_groups})
    if expected != found:
        raise RedwhaleError(
            f"the engine has groups with (learning rate, decay) {found}, asked for {expected}",
            where="pretrain.optimizer", fix="install the versions of constraints.txt", exit_code=FAILED,
        )  # fmt: skip


def group_of(tensor: TrainedTensor, settings: Pretrain) -> tuple[float, float]:
    """Return peak rate and decay of a tensor."""
    return tensor.learning_rate, settings.weight_decay if tensor.decays else 0.0


def set_rates(optimizer: Any, share: float) -> None:
    """Set every group's learning rate to a share of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group[PEAK] * share


def moments_of(optimizer: Any, parameter: nn.Parameter) -> dict[str, Tensor]:
    """Return both moments of a parameter in its shape, float32, zeros before the first update.

    Of states in 8 bits the scales of their blocks come with them (``SCALES``).
    """
    state = optimizer.state.get(parameter, {})
    if "absmax1" not in state:
        names = MOMENTS if "state1" not in state else ("state1", "state2")  # what is small stays float32 in 8 bits
        held = (state[name] if name in state else torch.zeros_like(parameter) for name in names)
        return dict(zip(MOMENTS, held, strict=True))
    found: dict[str, Tensor] = {}
    for moment, number in _NAMES_OF_8_BIT.items():
        codes, scales, values = (state[f"{key}{number}"] for key in ("state", "absmax", "qmap"))
        spread = values[codes.flatten().long()]
        found[moment] = (spread * _of_elements(scales, spread.numel())).view(parameter.shape)
        found[f"{moment}_scales"] = scales
    return found


@torch.no_grad()
def set_moments(optimizer: Any, parameter: nn.Parameter, stored: Mapping[str, Tensor], *, adam_steps: int) -> None:
    """Set a parameter's moments, in the optimizer's own form."""
    held = {moment: stored[moment].to(parameter.device) for moment in MOMENTS}
    if not hasattr(optimizer, "init_state"):  # bitsandbytes alone has it
        step = torch.tensor(float(adam_steps), device=parameter.device)
        optimizer.state[parameter] = {"step": step, **held}
        return
    group = next(group for group in optimizer.param_groups if any(one is parameter for one in group["params"]))
    number = next(i for i, one in enumerate(group["params"]) if one is parameter)
    optimizer.init_state(group, parameter, optimizer.param_groups.index(group), number)
    state = optimizer.state[parameter]
    state["step"] = adam_steps
    for moment, digit in _NAMES_OF_8_BIT.items():
        if f"absmax{digit}" not in state:
            state[f"state{digit}"].copy_(held[moment])
            continue
        scales = stored.get(f"{moment}_scales")
        scales = _block_scales(held[moment]) if scales is None else scales.to(parameter.device)
        state[f"absmax{digit}"].copy_(scales)
        state[f"state{digit}"].copy_(_nearest(held[moment], scales, values=state[f"qmap{digit}"]))


def adam_steps_of(optimizer: Any) -> int:
    """Return how many updates Adam has applied."""
    return max((int(state["step"]) for state in optimizer.state.values() if "step" in state), default=0)


def _of_elements(scales: Tensor, count: int) -> Tensor:
    """Return the scale of each of ``count`` elements, ``(count,)``."""
    return scales.repeat_interleave(_BLOCK)[:count]


def _block_scales(moment: Tensor) -> Tensor:
    flat = nn.functional.pad(moment.flatten(), (0, -moment.numel() % _BLOCK))
    return flat.view(-1, _BLOCK).abs().amax(dim=1)


def _nearest(moment: Tensor, scales: Tensor, *, values: Tensor) -> Tensor:
    """Return the codes (uint8) of the nearest of ``values: (256,)``, which rise, times each block's scale."""
    share = moment.flatten() / _of_elements(scales, moment.numel()).clamp(min=torch.finfo(torch.float32).tiny)
    return torch.bucketize(share, (values[1:] + values[:-1]) / 2).to(torch.uint8).view(moment.shape)


def _bitsandbytes() -> Any:
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)  # misses kernels that we do not use
    import bitsandbytes

    return bitsandbytes
