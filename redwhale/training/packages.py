"""Packages that training needs for what a recipe asks, beside those that are always installed."""

from __future__ import annotations

import importlib.util

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.pretrain import Pretrain


def check_packages(settings: Pretrain) -> None:
    """Raise exit code 2 where a package that the optimizer or ``pretrain.trackers`` needs is not installed."""
    wanted = {
        "bitsandbytes": (settings.optimizer == "adamw-8bit", "optimizer", "gpu", "or `optimizer: adamw`"),
        "tensorboard": (settings.trackers.tensorboard, "trackers.tensorboard", "tensorboard", "or leave the key out"),
        "wandb": (settings.trackers.wandb is not None, "trackers.wandb", "wandb", "or leave the key out"),
    }
    for name, (is_asked, key, extra, otherwise) in wanted.items():
        spec = importlib.util.find_spec(name) if is_asked else None
        if is_asked and (spec is None or spec.origin is None):  # a folder of that name, as trackers make, has no origin
            raise RedwhaleError(
                f"the `{name}` package is not installed", where=f"pretrain.{key}",
                fix=f"pip install 'redwhale[{extra}]', {otherwise}", exit_code=USAGE,
            )  # fmt: skip
