"""What a base says of itself, kept with the model that is made from it: its name, and the licence on its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from redwhale.core.recipe.recipe import Recipe

CARD_NAME = "README.md"


def describe_base(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Return the base's hub name and revision, of a folder its name alone, and the licence that its card states."""
    base = recipe.need("base")
    licence = stated_licence(folder / CARD_NAME)
    if recipe.path(base.model) == folder:  # where it lies is the trainer's own business
        return {"model": folder.name, "revision": None, "licence": licence, "is_folder": True}
    return {"model": base.model, "revision": base.revision, "licence": licence, "is_folder": False}


def stated_licence(card: Path) -> dict[str, str]:
    """Return what the front matter of a card of the hub says of the licence: ``license``, its name, its link."""
    if not card.is_file():
        return {}
    lines = card.read_text(encoding="utf-8", errors="replace").split("\n")
    if lines[0].strip() != "---" or "---" not in [line.strip() for line in lines[1:]]:
        return {}
    end = [line.strip() for line in lines[1:]].index("---") + 1
    try:
        front = yaml.safe_load("\n".join(lines[1:end]))
    except yaml.YAMLError:
        return {}
    if not isinstance(front, dict) or not front.get("license"):
        return {}
    return {key: str(front[key]) for key in ("license", "license_name", "license_link") if front.get(key)}
