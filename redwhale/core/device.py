"""Where models run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.recipe import Recipe

if TYPE_CHECKING:
    import torch


def choose_device(recipe: Recipe) -> torch.device:
    """Return the device of ``machine.device``, of several GPUs this process's own.

    Raises exit code 2 where CUDA is asked for and absent.
    """
    import torch

    wish, available = recipe.machine.device, torch.cuda.is_available()
    if wish == "cuda" and not available:
        raise RedwhaleError(
            "no CUDA device is available", where=f"{recipe.file}: machine.device", fix="set it to `auto` or `cpu`",
            exit_code=USAGE,
        )  # fmt: skip
    if wish == "cpu" or not available:
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def check_devices(recipe: Recipe) -> None:
    """Raise exit code 2 where CUDA is asked for and absent, or ``machine.devices`` are more than the GPUs there are."""
    import torch

    count = torch.cuda.device_count()
    if choose_device(recipe).type == "cuda" and recipe.machine.devices > count:
        raise RedwhaleError(
            f"{recipe.machine.devices} GPUs are asked for, this machine has {count}",
            where=f"{recipe.file}: machine.devices", fix=f"set it to at most {count}", exit_code=USAGE,
        )  # fmt: skip
