"""Memory, time and cost of a stage on a card, and whether it fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redwhale.core.recipe.pretrain import Pretrain
from redwhale.training.estimate.cards import ASSUMED_UTILISATION, Card
from redwhale.training.estimate.memory import Memory, memory_of
from redwhale.training.estimate.micro_batch import resolve
from redwhale.training.estimate.shape import StageShape
from redwhale.training.estimate.work import Work, work_of
from redwhale.training.schedule import Course

HOST_ADAM_WEIGHTS_PER_SECOND = 0.3e9
"""Weights that Adam updates in main memory per second and process (0.06 to 0.8e9 reported for DeepSpeed)."""
BUS_BYTES_PER_SECOND = 20e9
"""Bytes that a PCIe 4 x16 slot moves in practice."""


@dataclass(frozen=True)
class StagePlan:
    """What a stage takes with the settings as they are; without a card times and costs are None."""

    number: int
    name: str
    shape: StageShape
    memory: Memory
    work: Work
    tokens: int
    devices: int
    card: Card | None
    utilisation: float
    steps: int
    micro_batch: int
    waiting_seconds: float
    """What main memory adds to every step: Adam there, and the bus."""

    @property
    def fits(self) -> bool | None:
        """Tell whether the card's memory holds the peak."""
        return None if self.card is None else self.memory.peak <= self.card.usable_bytes

    @property
    def seconds(self) -> float | None:
        """Return how long the stage takes: operations at the utilisation, and what main memory costs each step."""
        if self.card is None or not self.card.bf16_flops:
            return None
        speed = self.utilisation * self.card.bf16_flops * self.devices
        return self.tokens * self.work.hardware_flops / speed + self.steps * self.waiting_seconds

    @property
    def tokens_per_second(self) -> float | None:
        """Return tokens per second over all devices."""
        return None if self.seconds is None else self.tokens / self.seconds

    def as_dict(self, *, price: float | None) -> dict[str, Any]:
        """Return the numbers; ``price`` is that of a device for an hour."""
        hours = None if self.seconds is None else self.seconds / 3600
        cost = None if hours is None or price is None else round(hours * self.devices * price, 2)
        return {
            "stage": self.number, "name": self.name, "tokens": self.tokens,
            "trains": [row.__dict__ for row in self.shape.table], "trained_parameters": self.shape.trained,
            "parameters": self.shape.elements, "memory_bytes": self.memory.as_dict(), "fits": self.fits,
            "micro_batch": self.micro_batch,
            "model_flops_per_token": self.work.model_flops, "hardware_flops_per_token": self.work.hardware_flops,
            "tokens_per_second": self.tokens_per_second, "hours": hours, "cost": cost,
            "waiting_seconds_per_step": self.waiting_seconds,
        }  # fmt: skip


def plan_stage(
    settings: Pretrain, index: int, *, shape: StageShape, devices: int, card: Card | None,
    utilisation: float = ASSUMED_UTILISATION,
) -> StagePlan:  # fmt: skip
    """Plan stage ``index`` (from 0) of a shape on ``devices`` cards."""
    settings = resolve(settings, index, shape=shape, devices=devices, card=card)
    assert settings.micro_batch != "auto"
    course = Course.of(settings, index)
    rows = -(-course.sequences_per_step // devices)
    return StagePlan(
        number=index + 1, name=settings.stages[index].name, shape=shape,
        memory=memory_of(shape, settings, devices=devices),
        work=work_of(shape, sequence_length=settings.sequence_length, recompute=settings.recompute),
        tokens=course.tokens, devices=devices, card=card, utilisation=utilisation, steps=course.steps,
        micro_batch=settings.micro_batch,
        waiting_seconds=_waiting_seconds(shape, settings, devices=devices, passes=-(-rows // settings.micro_batch)),
    )  # fmt: skip


def _waiting_seconds(shape: StageShape, settings: Pretrain, *, devices: int, passes: int) -> float:
    """Return what main memory costs a step: Adam there, gradients and weights on the bus.

    Offloaded weights cross the bus forward, backward and, recomputed, once more in every pass.
    """
    if settings.deepspeed is None or settings.deepspeed.offload == "none":
        return 0.0
    low = 2 if settings.precision == "bf16" else 4
    crossing = (4 + low) * shape.trained / devices
    if settings.deepspeed.offload == "all":
        crossing += low * shape.elements / devices * passes * (3 if settings.recompute == "full" else 2)
    return shape.trained / devices / HOST_ADAM_WEIGHTS_PER_SECOND + crossing / BUS_BYTES_PER_SECOND
