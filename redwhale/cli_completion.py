"""What a shell offers for options whose words are not fixed; nothing heavy is read, since every key press asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import typer

_MOST_PARTS = 100  # of a stage; more layers than a model has are a slip


def presets(incomplete: str) -> list[str]:
    """Return the presets that begin so."""
    names = (entry.name.removesuffix(".yaml") for entry in files("redwhale").joinpath("presets").iterdir())
    return sorted(name for name in names if name.startswith(incomplete))


def cards(incomplete: str) -> list[str]:
    """Return the cards that begin so."""
    from redwhale.training.estimate.cards import CARDS

    return [name for name in CARDS if name.startswith(incomplete)]


def stages(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the recipe's stages that begin so, by name and number; none where the recipe cannot be read."""
    return [(word, what) for word, what in _stages(ctx) if word.startswith(incomplete)]


def models(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the base, model 0 and the recipe's stages that begin so."""
    fixed = [("base", "the base model"), ("0", "the base with new tokens, before training")]
    return [(word, what) for word, what in [*fixed, *_stages(ctx)] if word.startswith(incomplete)]


def _stages(ctx: typer.Context) -> Iterator[tuple[str, str]]:
    from redwhale.core.errors import RedwhaleError
    from redwhale.core.recipe.yaml_lines import read_yaml

    file = Path(ctx.params.get("config") or "redwhale.yaml")
    written: list[Any] = []
    with suppress(OSError, UnicodeDecodeError, RedwhaleError, LookupError, TypeError):
        written = list(read_yaml(file.read_text(encoding="utf-8"), str(file))[0]["pretrain"]["stages"])
    names: list[str] = []
    for stage in written:
        name, parts = (stage.get("name"), stage.get("split", 1)) if isinstance(stage, dict) else (None, 1)
        if isinstance(name, str) and isinstance(parts, int):
            names += [f"{name}-{part}" for part in range(1, min(parts, _MOST_PARTS) + 1)] if parts > 1 else [name]
    for number, name in enumerate(names, start=1):
        yield name, f"stage {number}"
        yield str(number), f"stage {name}"
