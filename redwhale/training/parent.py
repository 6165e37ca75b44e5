"""What the stage before measured, for this one to be compared with."""

from __future__ import annotations

from typing import Any

from redwhale.core import artifact
from redwhale.core.base import base_folder
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.pretrain import Pretrain
from redwhale.core.recipe.recipe import Recipe
from redwhale.training.launch import World


def base_tokenizer(recipe: Recipe) -> Any | None:
    """Return the tokenizer of the base that the model's was made from, None where that is not here."""
    from redwhale.tokenizer.reader import load_tokenizer, refuse_other_base

    try:
        folder = base_folder(recipe, fetch=False)
        refuse_other_base(artifact.read_manifest(recipe.tokenizer_folder), folder, where=str(folder))
        return load_tokenizer(folder)
    except (RedwhaleError, OSError, ValueError):
        return None


def has_repeated_layers(recipe: Recipe) -> bool:
    """Tell whether model 0 is another function than its base: layers that stand twice change it."""
    added = artifact.read_manifest(recipe.model_0_folder).fields.get("add_layers") or {}
    return added.get("how") == "repeat"


def base_english(recipe: Recipe, index: int) -> float | None:
    """Return the base's bits per byte of English as the first stage measured it; None in the first stage."""
    found = artifact.read_manifest(recipe.stage_folder(index - 1)).metrics.get("base_english") if index else None
    return None if found is None else float(found)


def measured_as(settings: Pretrain, *, world: World) -> dict[str, Any]:
    """Return what bits per byte depend on besides the model, for the next stage to compare with."""
    return settings.measure.model_dump(include={"documents", "document_bytes"}) | {
        "context_tokens": settings.sequence_length, "device": world.device.type,
    }  # fmt: skip


def parent_end(recipe: Recipe, index: int, *, world: World) -> dict[str, float] | None:
    """Return bits per byte by source at the end of the stage before, None where they were not measured as here."""
    if index == 0:
        return None
    metrics = artifact.read_manifest(recipe.stage_folder(index - 1)).metrics
    if metrics.get("measured_as") != measured_as(recipe.need("pretrain"), world=world):
        return None
    found: dict[str, float] = metrics["end"]["bits_per_byte"]["source"]
    return found
