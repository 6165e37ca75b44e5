"""Score all choices of a question in one row, so that the prompt they share is read once.

A row holds the prompt and after it the choices side by side. A 4D attention mask lets each choice see
the prompt and itself, and its positions go on from the prompt: the same sums as one row a choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from redwhale.measure.likelihood import check_ids, length_sorted_batches
from redwhale.measure.readout import Readout

# Architectures that take positions and a 4D mask as given; elsewhere (ALiBi, hybrid attention) a row a choice is read.
_TAKES_MASK = ("llama", "mistral", "qwen2", "qwen3")


@dataclass(frozen=True)
class SharedRow:
    """A prompt and the tokens of each choice that may follow it; each has at least one."""

    context: Sequence[int]
    continuations: Sequence[Sequence[int]]

    @property
    def length(self) -> int:
        """Return the tokens that the model reads: a choice's last one is only ever predicted."""
        return len(self.context) + sum(len(ids) - 1 for ids in self.continuations)

    @property
    def span(self) -> int:
        """Return how far back the farthest attention reaches."""
        return len(self.context) + max(map(len, self.continuations)) - 1


def can_share(model: Any, row: SharedRow) -> bool:
    """Tell whether a model scores ``row`` exactly as it scores the choices one by one."""
    config = getattr(model, "config", None)
    if getattr(config, "model_type", None) not in _TAKES_MASK:
        return False
    window = getattr(config, "sliding_window", None)
    return window is None or row.span <= window


@torch.no_grad()
def shared_nats(
    model: Any,
    rows: Sequence[SharedRow],
    *,
    batch_tokens: int,
    device: str | torch.device,
    on_batch: Callable[[int], None] | None = None,
) -> list[list[float]]:
    """Return the negative log-likelihood in nats of every choice of every row.

    ``on_batch`` hears how many choices each forward pass finished.
    """
    nats: list[list[float]] = [[] for _ in rows]
    dtype = next(model.parameters()).dtype
    readout = Readout(model)
    check_ids(model, (ids for row in rows for ids in (row.context, *row.continuations)))
    for batch in length_sorted_batches([row.length for row in rows], batch_tokens=batch_tokens):
        chosen = [rows[index] for index in batch]
        tokens, positions, segments = _lay_out(chosen)
        inputs = {
            "input_ids": tokens.to(device), "position_ids": positions.to(device),
            "attention_mask": _mask(segments.to(device), dtype),
        }  # fmt: skip
        scored = _choice_nats(readout, inputs, chosen)
        for index, values in zip(batch, scored, strict=True):
            nats[index] = values
        if on_batch is not None:
            on_batch(sum(map(len, scored)))
    return nats


def _lay_out(rows: list[SharedRow]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return tokens, positions and segments, each (B, T) int64: 0 the prompt, 1.. its choices, -1 padding."""
    shape = (len(rows), max(row.length for row in rows))
    tokens, positions = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    segments = torch.full(shape, -1)
    for index, row in enumerate(rows):
        place = len(row.context)
        tokens[index, :place] = torch.tensor(row.context)
        positions[index, :place] = torch.arange(place)
        segments[index, :place] = 0
        for number, ids in enumerate(row.continuations, start=1):
            end = place + len(ids) - 1
            tokens[index, place:end] = torch.tensor(ids[:-1], dtype=torch.long)
            positions[index, place:end] = torch.arange(len(row.context), len(row.context) + len(ids) - 1)
            segments[index, place:end] = number
            place = end
    return tokens, positions, segments


def _mask(segments: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the additive mask (B, 1, T, T): a token sees earlier ones of the prompt and of its own segment."""
    earlier = torch.ones(segments.shape[1], segments.shape[1], dtype=torch.bool, device=segments.device).tril()
    seen = earlier & ((segments[:, None, :] == 0) | (segments[:, None, :] == segments[:, :, None]))
    hidden = torch.zeros(seen.shape, dtype=dtype, device=segments.device)
    return hidden.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


def _choice_nats(readout: Readout, inputs: dict[str, torch.Tensor], rows: list[SharedRow]) -> list[list[float]]:
    """Sum each choice's nats; its first token is predicted at the prompt's last position."""
    row_of: list[int] = []
    position_of: list[int] = []
    target: list[int] = []
    choice_of: list[int] = []
    choices = 0
    for index, row in enumerate(rows):
        place = len(row.context)
        for ids in row.continuations:
            end = place + len(ids) - 1
            position_of += [len(row.context) - 1, *range(place, end)]
            row_of += [index] * len(ids)
            target += ids
            choice_of += [choices] * len(ids)
            choices += 1
            place = end
    per_token = readout.nats(inputs, row_of, position_of, target)
    sums = iter(np.bincount(choice_of, weights=per_token, minlength=choices))
    return [[float(next(sums)) for _ in row.continuations] for row in rows]
