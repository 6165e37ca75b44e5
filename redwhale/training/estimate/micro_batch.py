"""Choose the micro-batch that ``micro_batch: auto`` leaves to the plan."""

from __future__ import annotations

from collections.abc import Iterator

from redwhale.core.recipe.pretrain import Pretrain
from redwhale.training.estimate.cards import Card
from redwhale.training.estimate.memory import memory_of
from redwhale.training.estimate.shape import StageShape
from redwhale.training.schedule import Course

MOST_TOKENS = 16_384
"""Tokens in a pass above which products of matrices of 1,000 columns and more get no faster (ours)."""


def fitting(settings: Pretrain, index: int, *, shape: StageShape, devices: int, card: Card | None) -> list[int]:
    """Return the micro-batches of stage ``index`` (from 0) that the card holds by plan, the largest first.

    They are powers of two, of at most ``MOST_TOKENS`` tokens and no more than a device's share of a step; 1 is always
    among them. Without a card all are.
    """
    rows = -(-Course.of(settings, index).sequences_per_step // devices)
    most = max(min(rows, MOST_TOKENS // settings.sequence_length), 1)
    return [size for size in _halves(most) if size == 1 or card is None or _peak(
        settings, size, shape=shape, devices=devices) <= card.usable_bytes]  # fmt: skip


def resolve(settings: Pretrain, index: int, *, shape: StageShape, devices: int, card: Card | None) -> Pretrain:
    """Return the settings with the largest micro-batch that fits in place of ``auto``."""
    if settings.micro_batch != "auto":
        return settings
    return with_size(settings, fitting(settings, index, shape=shape, devices=devices, card=card)[0])


def with_size(settings: Pretrain, size: int) -> Pretrain:
    """Return the settings with a micro-batch."""
    return settings.model_copy(update={"micro_batch": size})


def _halves(most: int) -> Iterator[int]:
    size = 1 << (most.bit_length() - 1)
    while size:
        yield size
        size //= 2


def _peak(settings: Pretrain, size: int, *, shape: StageShape, devices: int) -> int:
    return memory_of(shape, with_size(settings, size), devices=devices).peak
