"""Initialise rows of new tokens from the base's rows: pure functions on tensors, one per method.

Each takes ``base: (B, d)`` in the checkpoint's dtype, the rows of the base's own tokens, and
``decomposition``, for each new token the base ids of its text (verbatim, without dummy prefix), and
returns ``(N, d) float32``. Sums run in the order of the pieces, element by element, so a result does
not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

Decomposition = Sequence[Sequence[int]]
_CHUNK_ROWS, _CHUNK_TOKENS = 8192, 1024


def decompose_mean(base: torch.Tensor, decomposition: Decomposition) -> torch.Tensor:
    """Return the mean of the rows of each token's pieces (RedWhale paper, arXiv 2408.11294, section 3; FVT)."""
    rows = torch.empty(len(decomposition), base.shape[1], dtype=torch.float32)
    for start in range(0, len(decomposition), _CHUNK_TOKENS):
        chunk = decomposition[start : start + _CHUNK_TOKENS]
        rows[start : start + len(chunk)] = _sums(base, chunk) / torch.tensor([[len(pieces)] for pieces in chunk])
    return rows


def _sums(base: torch.Tensor, decomposition: Decomposition) -> torch.Tensor:
    """Add up the first piece of every token, then the second of those that have one, and so on."""
    total = torch.zeros(len(decomposition), base.shape[1], dtype=torch.float32)
    for place in range(max(map(len, decomposition))):
        having = [token for token, pieces in enumerate(decomposition) if len(pieces) > place]
        total[having] += base[[decomposition[token][place] for token in having]].float()
    return total


def decompose_first(base: torch.Tensor, decomposition: Decomposition) -> torch.Tensor:
    """Return the row of each token's first piece (the head of EEVE, arXiv 2402.14714)."""
    ids = torch.tensor([pieces[0] for pieces in decomposition], dtype=torch.int64)
    return base[ids].float()


def mean_row(base: torch.Tensor) -> torch.Tensor:
    """Return the mean of all rows as ``(d,) float32``, summed in float64 row by row."""
    total = np.zeros(base.shape[1], dtype=np.float64)
    for start in range(0, len(base), _CHUNK_ROWS):
        total += base[start : start + _CHUNK_ROWS].float().numpy().sum(axis=0, dtype=np.float64)
    return torch.from_numpy(total / len(base)).float()


def mean(base: torch.Tensor, decomposition: Decomposition) -> torch.Tensor:
    """Return the mean of all base rows for every new token (Hewitt, "Initializing new word embeddings", 2021)."""
    return mean_row(base).expand(len(decomposition), -1)


METHODS: dict[str, Callable[[torch.Tensor, Decomposition], torch.Tensor]] = {
    "decompose-mean": decompose_mean,
    "decompose-first": decompose_first,
    "mean": mean,
}
