"""Cut each step's sequences into micro-batches, the same sequences whatever the number of processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from redwhale.training.sequences import IGNORED_LABEL, Sequence


@dataclass(frozen=True)
class Batch:
    """One micro-batch, all ``(B, T)``: ids, shifted labels, positions (int64); ``documents`` (int32) where masked."""

    input_ids: Tensor
    labels: Tensor
    positions: Tensor
    documents: Tensor | None

    @property
    def valid_tokens(self) -> int:
        """Return how many labels count."""
        return int((self.labels != IGNORED_LABEL).sum())

    def to(self, device: torch.device) -> Batch:
        """Move all tensors."""
        documents = None if self.documents is None else self.documents.to(device)
        return Batch(self.input_ids.to(device), self.labels.to(device), self.positions.to(device), documents)


@dataclass(frozen=True)
class Batcher:
    """Give process ``rank`` of ``world`` its share of a step: every ``world``-th sequence of it.

    All processes make the same number of micro-batches, as collective operations need; where the sequences
    do not come out even, a repeated sequence without labels fills up and adds nothing to loss or gradient.
    """

    sequence: Callable[[int], Sequence]
    sequences_per_step: int
    micro_batch: int
    own_documents: bool
    rank: int = 0
    world: int = 1

    @property
    def rows(self) -> int:
        """Return the sequences that this process handles per step."""
        return -(-self.sequences_per_step // self.world)

    @property
    def micro_batches(self) -> int:
        """Return the forward passes of one step."""
        return -(-self.rows // self.micro_batch)

    def step(self, number: int) -> list[Batch]:
        """Return the micro-batches of step ``number``, counted from 0."""
        first, end = number * self.sequences_per_step, (number + 1) * self.sequences_per_step
        places = [first + self.rank + self.world * row for row in range(self.rows)]
        rows = [(self.sequence(place), True) if place < end else (self.sequence(first), False) for place in places]
        return [self._stack(rows[i : i + self.micro_batch]) for i in range(0, len(rows), self.micro_batch)]

    def _stack(self, rows: list[tuple[Sequence, bool]]) -> Batch:
        labels = [row.labels if counts else np.full_like(row.labels, IGNORED_LABEL) for row, counts in rows]
        positions = [row.position_ids if self.own_documents else np.arange(len(row.labels)) for row, _ in rows]
        documents = torch.from_numpy(np.stack([row.document_ids for row, _ in rows])) if self.own_documents else None
        return Batch(
            torch.from_numpy(np.stack([row.input_ids for row, _ in rows])), torch.from_numpy(np.stack(labels)),
            torch.from_numpy(np.stack(positions)), documents,
        )  # fmt: skip


def blank_batch(rows: int, tokens: int, *, own_documents: bool) -> Batch:
    """Return a micro-batch ``(rows, tokens)`` in which nothing is to be learnt."""
    ids = torch.zeros(rows, tokens, dtype=torch.long)
    documents = torch.zeros(rows, tokens, dtype=torch.int32) if own_documents else None
    return Batch(ids, torch.full_like(ids, IGNORED_LABEL), torch.arange(tokens).expand(rows, -1), documents)
