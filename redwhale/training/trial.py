"""Try a micro-batch that the plan chose before training begins, and take half of it where memory runs out."""

from __future__ import annotations

from redwhale.core.recipe.pretrain import Pretrain
from redwhale.core.recipe.recipe import Recipe
from redwhale.training import checkpoint
from redwhale.training.engine import Engine
from redwhale.training.estimate import micro_batch
from redwhale.training.estimate.cards import own_memory
from redwhale.training.estimate.shape import ShapeReader
from redwhale.training.estimate.shortage import is_shortage
from redwhale.training.launch import World
from redwhale.training.layout import CHECKPOINTS_NAME


class TooLarge(Exception):
    """Memory does not hold a micro-batch; the engine is closed."""


def sizes(recipe: Recipe, index: int, *, world: World) -> list[int]:
    """Return the micro-batches to try for stage ``index`` (from 0), the largest first.

    One alone where the recipe names it, or where a checkpoint was made with it: going on with another one would
    change the last bits of the sums. Several processes try none, since one without memory would leave the others
    waiting.
    """
    settings: Pretrain = recipe.need("pretrain")
    if settings.micro_batch != "auto":
        return [settings.micro_batch]
    folder = recipe.stage_folder(index) / CHECKPOINTS_NAME
    recorded = world.share(checkpoint.recorded_micro_batch(folder) if world.leads else None)
    if recorded:
        return [recorded]
    shape = ShapeReader(recipe).read(index)
    found = micro_batch.fitting(settings, index, shape=shape, devices=world.size, card=own_memory(world.device))
    return found if world.size == 1 else found[:1]


def with_micro_batch(recipe: Recipe, size: int) -> Recipe:
    """Return the recipe with a micro-batch."""
    return recipe.model_copy(update={"pretrain": micro_batch.with_size(recipe.need("pretrain"), size)})


def rehearse(engine: Engine, settings: Pretrain, *, world: World) -> None:
    """Do a step that changes nothing with whole sequences; raise ``TooLarge`` where memory does not hold it."""
    assert settings.micro_batch != "auto"
    try:
        engine.rehearse(settings.micro_batch, settings.sequence_length)
    except (MemoryError, RuntimeError) as error:
        if not is_shortage(error):
            raise
        engine.close()
        raise TooLarge from error
