"""Adapters (LoRA) of peft on every linear map of the layers; names, drawing and merging are peft's."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear, LoraLayer
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from redwhale.core.recipe.stages import Lora
from redwhale.training.low_rank import low_rank_linear

ADAPTER = "default"


class AdaptedLinear(Linear):
    """peft's adapted linear map in one operation, for training alone: one adapter, no dropout, not merged."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x W^T + b + s x A^T B^T`` for ``x: (..., in)``, in autocast's dtype where that is on."""
        base: Any = self.base_layer
        down: Any = self.lora_A[ADAPTER]
        up: Any = self.lora_B[ADAPTER]
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        result = low_rank_linear(
            x.to(dtype).flatten(0, -2), base.weight.to(dtype), None if base.bias is None else base.bias.to(dtype),
            down.weight.to(dtype), up.weight.to(dtype), self.scaling[ADAPTER],
        )  # fmt: skip
        return result.unflatten(0, x.shape[:-1])


def add_adapters(model: Any, layers: str, lora: Lora, *, seed: int) -> None:
    """Put adapters on every linear map of ``layers``, a prefix of names, in place; A is drawn from ``seed``, B is 0."""
    targets = [
        name for name, module in model.named_modules()
        if name.startswith(f"{layers}.") and isinstance(module, (nn.Linear, Conv1D))
    ]  # fmt: skip
    config = LoraConfig(r=lora.rank, lora_alpha=lora.rank if lora.alpha is None else lora.alpha, target_modules=targets)  # type: ignore[arg-type]
    config._register_custom_module({nn.Linear: AdaptedLinear})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model, adapter_name=ADAPTER)
    model.requires_grad_(False)


@torch.no_grad()
def merge_adapters(model: Any) -> None:
    """Replace each adapted map by its base with ``W + alpha / rank * B A``, added in float32."""
    adapted: list[tuple[str, Any]] = [
        (name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)
    ]
    for name, module in adapted:
        base = module.get_base_layer()
        base.weight.data = (base.weight.float() + module.get_delta_weight(ADAPTER)).to(base.weight.dtype)
        model.set_submodule(name, base)
