"""Prove early that what should train does, that what is frozen is, and that numbers stay finite.

A head that never trains, a frozen row that drifts and a loss of NaN all look like a run that works. By the
second applied update every trainable master must have changed (after the first, LoRA's A has not: B starts
at 0) and every frozen tensor must not.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from redwhale.core.errors import FAILED, RedwhaleError
from redwhale.core.recipe.pretrain import Spikes
from redwhale.training.engine import Engine, Update
from redwhale.training.partition import TrainedTensor

UPDATES_BEFORE_CHECK = 2
MOST_SKIPPED_IN_ROW = 5
_CHUNK_ELEMENTS = 2**22
_PERIOD = 65_521
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def fingerprint(tensor: Tensor) -> tuple[int, int]:
    """Return two sums over all bits of a tensor, the second weighted by place, exact in int64 (modulo 2^64)."""
    flat = tensor.detach().contiguous().view(-1)
    plain = weighted = 0
    for start in range(0, flat.numel(), _CHUNK_ELEMENTS):
        bits = flat[start : start + _CHUNK_ELEMENTS].view(_INTEGERS[flat.element_size()]).to(torch.int64)
        places = torch.arange(start, start + bits.numel(), device=bits.device) % _PERIOD + 1
        plain += int(bits.sum())
        weighted += int((bits * places).sum())
    return plain, weighted


class MovementGuard:
    """Compare every tensor before the first and after the second applied update."""

    def __init__(self, engine: Engine, *, trained: Sequence[TrainedTensor], frozen: Sequence[str]) -> None:
        self._engine = engine
        self._shares = 0.0
        self._peaks = {tensor.name: tensor.learning_rate for tensor in trained}
        self._trained = {tensor.name: fingerprint(engine.master(tensor.name)) for tensor in trained}
        self._frozen = {name: fingerprint(engine.frozen(name)) for name in frozen}

    def moved_by(self, share: float) -> None:
        """Note an update at a share of the peak rates: Adam moves an element by about its learning rate at most."""
        self._shares += share

    def check(self) -> None:
        """Raise, naming tensors, where one that trains stands still or one that is frozen has moved."""
        still = [name for name, before in self._trained.items() if self._stands_still(name, before)]
        if still:
            raise RedwhaleError(
                f"{len(still)} trainable tensors did not change in {UPDATES_BEFORE_CHECK} updates: {some(still)}",
                where="pretrain.stages.train",
                fix="their gradient does not reach them; check the stage's `train` against the data", exit_code=FAILED,
            )  # fmt: skip
        self.check_frozen()

    def _stands_still(self, name: str, before: tuple[int, int]) -> bool:
        """Tell whether a master has not changed although its updates were large enough to show in float32.

        Early in a long warm-up they may not be; then it counts that a gradient has arrived.
        """
        master = self._engine.master(name)
        if fingerprint(master) != before:
            return False
        too_small = self._peaks[name] * self._shares < float(master.abs().min()) * torch.finfo(torch.float32).eps
        return not (too_small and bool(self._engine.moments(name)["exp_avg"].any()))

    def check_frozen(self) -> None:
        """Raise, naming tensors, where one that is frozen has moved."""
        moved = [name for name, before in self._frozen.items() if fingerprint(self._engine.frozen(name)) != before]
        if moved:
            raise RedwhaleError(
                f"{len(moved)} frozen tensors have changed: {some(moved)}", where="pretrain.stages.train",
                fix="this is a fault of redwhale; please report it with log.txt", exit_code=FAILED,
            )  # fmt: skip


def some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def is_spike(loss: float, recent: Sequence[float], spikes: Spikes | None) -> bool:
    """Tell whether a loss lies so many deviations above the mean of the last ones; never before there are enough."""
    if spikes is None or len(recent) < spikes.window or not math.isfinite(loss):
        return False
    return loss > statistics.fmean(recent) + spikes.deviations * statistics.pstdev(recent)


def english_over(measured: dict[str, Any], base: float | None) -> float | None:
    """Return how far English bits per byte are above the base's, as a share; None where either is not known."""
    now = measured["bits_per_byte"]["language"].get("en")
    return None if now is None or not base else now / base - 1


def refuse_skips(in_row: int, *, step: int, update: Update, loss: float) -> None:
    """Raise after too many updates in a row were skipped; the checkpoints of before them stay."""
    if in_row >= MOST_SKIPPED_IN_ROW:
        raise RedwhaleError(
            f"loss ({loss:g}) or gradient ({update.gradient_norm:g}) was a spike or not finite in {in_row} steps in a "
            f"row, up to step {step}",
            where="pretrain.stages.learning_rate",
            fix="look at what they read (metrics.jsonl) and at the model it starts from, or begin anew with a lower "
            "`learning_rate` or `clip_norm`; the checkpoints of before them are kept", exit_code=FAILED,
        )  # fmt: skip
