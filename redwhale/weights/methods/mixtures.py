"""Rows as weighted means of base rows: which pieces count how much, and the sum.

A mixture maps base ids to weights and is sorted by id, so that two tokens of the same pieces in another
order give the same bits, and are found to be tied. Sums run id by id, element by element: a result does not
depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch

Mixture = Mapping[int, float]
_CHUNK_TOKENS = 1024


def mixture_of(weighted: Iterable[tuple[int, float]]) -> Mixture:
    """Return the mixture of (base id, weight) pairs, weights of one id added up."""
    weights: dict[int, float] = {}
    for piece, weight in weighted:
        weights[piece] = weights.get(piece, 0.0) + weight
    return dict(sorted(weights.items()))


def uniform(pieces: Sequence[int]) -> Mixture:
    """Weigh all pieces alike (RedWhale paper, arXiv 2408.11294, section 3; FVT)."""
    return mixture_of((piece, 1.0) for piece in pieces)


def by_position(pieces: Sequence[int], *, last_heaviest: bool) -> Mixture:
    """Weigh pieces 1, 2, 3 … by place: the last heaviest, or the first.

    When the base reads a word, its last piece stands where the whole word is known; when it writes one, it
    is the first piece that it has to find. So embeddings take ``last_heaviest`` and heads do not.
    """
    places = range(1, len(pieces) + 1)
    return mixture_of(zip(pieces, places if last_heaviest else reversed(places), strict=True))


def first_nonspace(pieces: Sequence[int], spaces: frozenset[int]) -> Mixture:
    """Take the first piece that is not one of the bare space marks, or the only piece."""
    return {next((piece for piece in pieces if piece not in spaces), pieces[0]): 1.0}


def combine(base: torch.Tensor, mixtures: Sequence[Mixture]) -> torch.Tensor:
    """Return the weighted means of rows as ``(N, d) float32``; ``base: (B, d)`` in the checkpoint's dtype."""
    rows = torch.empty(len(mixtures), base.shape[1], dtype=torch.float32)
    for start in range(0, len(mixtures), _CHUNK_TOKENS):
        chunk = [list(mixture.items()) for mixture in mixtures[start : start + _CHUNK_TOKENS]]
        totals = torch.tensor([[sum(weight for _, weight in parts)] for parts in chunk], dtype=torch.float32)
        rows[start : start + len(chunk)] = _sums(base, chunk) / totals
    return rows


def _sums(base: torch.Tensor, parts: Sequence[Sequence[tuple[int, float]]]) -> torch.Tensor:
    """Add up the first part of every token, then the second of those that have one, and so on."""
    total = torch.zeros(len(parts), base.shape[1], dtype=torch.float32)
    for place in range(max(map(len, parts))):
        having = [token for token, own in enumerate(parts) if len(own) > place]
        weights = torch.tensor([[parts[token][place][1]] for token in having], dtype=torch.float32)
        total[having] += weights * base[[parts[token][place][0] for token in having]].float()
    return total
