"""Merge lists that act as SentencePiece does.

SentencePiece has no merge list: it joins the adjacent pair whose concatenation is the best piece, the
leftmost first. A merge list says the same when it holds every split of every piece, better pieces first.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from itertools import pairwise

Merge = tuple[str, str]


def ordered_splits(piece: str, vocabulary: Container[str]) -> list[Merge]:
    """Return every split of a piece into two pieces of the vocabulary, in the order that acts leftmost first.

    Two splits (a, b) and (b, d) of one piece meet in the text a b d; SentencePiece joins the left pair,
    so (a, b) must rank first. This happens exactly where b is both beginning and end of the piece: the
    cut at n - len(b) then goes before the cut at len(b). Where both hold (a repeated unit) either will do,
    since a run of equal units never leaves a shorter join between two longer ones.
    """
    length = len(piece)
    overlaps = {size for size in range(1, length) if piece.endswith(piece[:size])}
    cuts = [cut for cut in range(1, length) if piece[:cut] in vocabulary and piece[cut:] in vocabulary]
    cuts.sort(key=lambda cut: ((cut in overlaps) - (length - cut in overlaps), -cut))
    return [(piece[:cut], piece[cut:]) for cut in cuts]


def merges_in_order(pieces: Iterable[str], vocabulary: Container[str]) -> list[Merge]:
    """Return the merges that make ``pieces``, the first piece first."""
    return [merge for piece in pieces for merge in ordered_splits(piece, vocabulary)]


def last_merge(piece: str, ranks: Mapping[Merge, int]) -> Merge | None:
    """Merge a piece's characters by rank, the leftmost first among equals; return the join that completed it.

    None where the merges do not end in the whole piece, or the piece is one symbol from the start. Characters
    that the vocabulary lacks stand for bytes, which no merge joins.
    """
    symbols = list(piece)
    last: Merge | None = None
    while len(symbols) > 1:
        pairs = list(pairwise(symbols))
        rank, place = min((ranks.get(pair, len(ranks)), place) for place, pair in enumerate(pairs))
        if rank == len(ranks):
            return None
        last = pairs[place]
        symbols[place : place + 2] = ["".join(last)]
    return last
