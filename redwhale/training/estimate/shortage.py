"""Out of memory while training: the plan beside what was seen, and the change to make."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import torch

from redwhale.core.errors import RESOURCES, RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.training.estimate.cards import RESERVED_BYTES, own_memory
from redwhale.training.estimate.cures import cures
from redwhale.training.estimate.plan import StagePlan, plan_stage
from redwhale.training.estimate.shape import ShapeReader
from redwhale.training.meter import peak_memory_bytes

_GIB = 2**30
_LESS = 0.8
_ON_A_CPU = ("can't allocate memory", "not enough memory")


@contextlib.contextmanager
def explain_shortage(recipe: Recipe, index: int, *, device: torch.device) -> Iterator[None]:
    """Turn running out of memory into an error of exit code 4 that names the plan, the peak and a cure."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if is_shortage(error):
            raise _shortage(recipe, index, device) from error
        raise


def is_shortage(error: BaseException) -> bool:
    """Tell whether an error says that memory has run out, on a GPU or in main memory."""
    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or any(words in str(error) for words in _ON_A_CPU)


def _shortage(recipe: Recipe, index: int, device: torch.device) -> RedwhaleError:
    settings = recipe.need("pretrain")
    reader = ShapeReader(recipe)
    planned = plan_stage(
        settings, index, shape=reader.read(index), devices=recipe.machine.processes,
        card=own_memory(device),
    )  # fmt: skip
    found = cures(recipe, index, _on_less(planned), reader)
    same = [cure for cure in found if cure.kind == 0]  # what is learnt stays the same: the checkpoint serves
    ways = " or ".join(f"`{', '.join(cure.settings)}` ({cure.peak / _GIB:.1f} GiB)" for cure in same or found)
    then = "the same command then goes on from the last checkpoint" if same else "then begin the stage with --fresh"
    return RedwhaleError(
        f"stage {settings.stages[index].name} ran out of memory at {peak_memory_bytes(device) / _GIB:.1f} GiB; "
        f"the plan is {describe(planned)}",
        where=f"{recipe.file}: pretrain", exit_code=RESOURCES,
        fix=f"set {ways}; {then}" if ways else
        "give it a larger card, or a smaller base: no change of the recipe is known with which it fits",
    )  # fmt: skip


def _on_less(planned: StagePlan) -> StagePlan:
    """Return the plan on a card that does not hold it: where it should have, the plan was wrong, and four fifths go."""
    assert planned.card is not None
    enough = int(_LESS * planned.memory.peak) + RESERVED_BYTES
    return replace(planned, card=replace(planned.card, memory_bytes=min(planned.card.memory_bytes, enough)))


def describe(planned: StagePlan) -> str:
    """Return the planned peak and what it is made of, in one line."""
    parts = planned.memory.as_dict()
    peak = parts.pop("peak")
    shown = ", ".join(
        f"{name} {parts[name] / _GIB:.1f}"
        for name in ("weights", "gradients", "optimizer", "activations", "logits", "buffers")
    )
    assert planned.card is not None
    return f"{peak / _GIB:.1f} GiB ({shown}) of {planned.card.usable_bytes / _GIB:.1f} on {planned.card.name}"
