"""The merge tree of a new token: which two pieces the tokenizer joins last, and so on down to base pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redwhale.tokenizer.merges import last_merge
from redwhale.weights.methods.mixtures import Mixture, mixture_of, uniform


def tree_mixtures(
    document: Mapping[str, Any], pieces: Sequence[str], decomposition: Sequence[Sequence[int]], *, base_ids: int
) -> list[Mixture]:
    """Return for every piece the mean of its two halves' mixtures, down to base tokens (arXiv 2406.11477, "Merge").

    ``document`` is the extended tokenizer.json; ids below ``base_ids`` are the base's own. A piece that no merge
    makes, as a syllable new to a SentencePiece vocabulary, counts as the mean of its ``decomposition``.
    """
    vocabulary: Mapping[str, int] = document["model"]["vocab"]
    ranks = {(merge[0], merge[1]): rank for rank, merge in enumerate(document["model"]["merges"])}
    spelling = dict(zip(pieces, decomposition, strict=True))
    known: dict[str, Mixture] = {}

    def mixture(piece: str) -> Mixture:
        if piece not in known:
            known[piece] = made(piece)
        return known[piece]

    def made(piece: str) -> Mixture:
        if piece not in spelling:
            return {vocabulary[piece]: 1.0}
        halves = last_merge(piece, ranks)
        if halves is None or any(half not in spelling and vocabulary[half] >= base_ids for half in halves):
            return uniform(spelling[piece])
        sides = [mixture(half) for half in halves]
        totals = [sum(side.values()) for side in sides]
        return mixture_of(
            (identifier, weight / total / 2)
            for side, total in zip(sides, totals, strict=True)
            for identifier, weight in side.items()
        )

    return [mixture(piece) for piece in pieces]
