"""What would make a stage fit its card, the cheapest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from redwhale.core.recipe.pretrain import DeepSpeed, Pretrain
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.recipe.stages import Lora, Stage
from redwhale.training.estimate.plan import StagePlan, plan_stage
from redwhale.training.estimate.shape import ShapeReader

MOST_CURES = 3
SPLITS = (2, 4, 8)
LORA_RANK = 64
_RECOMPUTE = ("none", "selective", "full")


@dataclass(frozen=True)
class Cure:
    """Settings with which a stage fits: ``peak`` and ``host`` in bytes, ``time`` as a multiple of the time now.

    ``kind`` 0 keeps what is learnt, 1 trains fewer layers at a time, 2 trains adapters in their place.
    """

    kind: int
    settings: tuple[str, ...]
    peak: int
    host: int
    time: float


@dataclass(frozen=True)
class _Change:
    words: tuple[str, ...]
    fields: dict[str, Any]


def cures(recipe: Recipe, index: int, planned: StagePlan, reader: ShapeReader) -> list[Cure]:
    """Return at most three changes that make stage ``index`` (from 0) fit, the best of each kind first.

    A change that holds a smaller one that fits too is left out.
    """
    settings: Pretrain = recipe.need("pretrain")
    stage = settings.stages[index]
    found = []
    for kind, replaced in _replacements(stage, index, layers=planned.shape.trained_layers):
        changed_stage = Stage.model_validate(stage.model_dump() | replaced.fields)
        parts = changed_stage.expanded()
        shapes = [reader.read(index, part) for part in parts]
        for change in _frugal(settings, devices=planned.devices):
            changed = settings.model_copy(update=change.fields | {"stages": parts})
            plans = [
                plan_stage(changed, number, shape=shape, devices=planned.devices, card=planned.card,
                           utilisation=planned.utilisation)
                for number, shape in enumerate(shapes)
            ]  # fmt: skip
            if all(plan.fits for plan in plans) and (words := replaced.words + change.words):
                time = sum(plan.seconds or 0.0 for plan in plans) / (planned.seconds or 1.0)
                memories = [plan.memory for plan in plans]
                peak, host = max(memory.peak for memory in memories), max(memory.host for memory in memories)
                found.append(Cure(kind, words, peak, host, time))
    return _chosen(found)


def _chosen(found: list[Cure]) -> list[Cure]:
    found = sorted(found, key=lambda cure: (cure.kind, len(cure.settings), round(cure.time, 2), cure.host))
    needed = [
        cure for i, cure in enumerate(found)
        if not any(set(other.settings) < set(cure.settings) for other in found[:i])
    ]  # fmt: skip
    # Of splits the smallest first: the more parts, the fewer tokens each layer sees.
    needed.sort(
        key=lambda cure: (cure.kind, cure.settings[0] if cure.kind == 1 else "", round(cure.time, 2), cure.host)
    )
    best = list({cure.kind: cure for cure in reversed(needed)}.values())[::-1]
    return [*best, *(cure for cure in needed if cure not in best)][:MOST_CURES]


def _replacements(stage: Stage, index: int, *, layers: int) -> Iterator[tuple[int, _Change]]:
    """Yield the stage as it is, in parts, and with adapters in place of layers."""
    yield 0, _Change((), {})
    if stage.train.layers == "none":
        return
    if isinstance(stage.train.layers, str) and "/" not in stage.train.layers:
        for split in (parts for parts in SPLITS if parts <= layers):
            yield 1, _Change((f"pretrain.stages.{index}.split: {split}",), {"split": split})
    train = stage.train.model_copy(update={"layers": "none", "lora": Lora(rank=LORA_RANK)})
    kept = {part: rate for part, rate in stage.learning_rates.items() if part != "layers"}
    words = f"pretrain.stages.{index}.train: {{lora: {{rank: {LORA_RANK}}}}}"
    yield 2, _Change((words,), {"train": train.model_dump(), "learning_rates": kept})


def _frugal(settings: Pretrain, *, devices: int) -> Iterator[_Change]:
    """Yield the settings as they are and every combination of those that cost time alone."""
    now = settings.deepspeed.model_dump() if settings.deepspeed else None
    level = now["zero"] if now else 0
    engines = [now, *({"zero": zero, "offload": "none"} for zero in (1, 2, 3) if devices > 1 and zero > level)]
    engines += [{"zero": zero, "offload": "optimizer"} for zero in (2, 3) if zero >= level]
    engines.append({"zero": 3, "offload": "all"})
    optimizers = [(engine, "adamw" if engine and engine["zero"] else settings.optimizer) for engine in engines]
    optimizers.append((None, "adamw-8bit"))  # on the plain engine alone
    recompute = _RECOMPUTE[_RECOMPUTE.index(settings.recompute) :]
    before = {
        "micro_batch": settings.micro_batch, "recompute": settings.recompute, "deepspeed": now,
        "optimizer": settings.optimizer,
    }  # fmt: skip
    for rows, again, (engine, optimizer) in product(dict.fromkeys(_sizes(settings)), recompute, optimizers):
        after = {"micro_batch": rows, "recompute": again, "deepspeed": engine, "optimizer": optimizer}
        fields = {key: value for key, value in after.items() if value != before[key]}
        models = {"deepspeed": DeepSpeed.model_validate(fields["deepspeed"])} if fields.get("deepspeed") else {}
        yield _Change(tuple(f"pretrain.{key}: {_written(value)}" for key, value in fields.items()), fields | models)


def _sizes(settings: Pretrain) -> tuple[Any, ...]:
    return (settings.micro_batch,) if settings.micro_batch == "auto" else (settings.micro_batch, 1)


def _written(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {item}" for key, item in value.items()) + "}"
    return str(value)
