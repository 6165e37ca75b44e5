"""RedWhale turns an English base language model into a strong Korean one by continual pretraining."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Recipe": "redwhale.core.recipe.recipe",
    "load_recipe": "redwhale.core.recipe.load",
    "RedwhaleError": "redwhale.core.errors",
    "Console": "redwhale.core.console",
    "Manifest": "redwhale.core.artifact",
    "read_manifest": "redwhale.core.artifact",
    "run_chain": "redwhale.chain",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import redwhale`` costs nothing."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'redwhale' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
