"""Choose pieces that merging can make: what is unreachable or too rare goes, and the next ones take its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from redwhale.tokenizer.base import BaseTokenizer, tokenizer_of
from redwhale.tokenizer.extend import extended_document
from redwhale.tokenizer.merges import Merge, last_merge

_BATCH_WORDS = 1 << 16


def sound_pieces(
    base: BaseTokenizer, words: Mapping[str, int], candidates: Iterable[str], *, count: int, min_count: int
) -> dict[str, int]:
    """Return the first ``count`` candidates that hold together, in order, each with how often merging makes it.

    They hold together when each is what merging alone makes of its own text, and is made ``min_count`` times in
    ``words``. Dropping one can spoil another, so all are tried again until none is dropped.
    """
    waiting = iter(candidates)
    chosen: list[str] = []
    while True:
        chosen += islice(waiting, count - len(chosen))
        document = extended_document(base, chosen)
        kept = reachable(document, chosen)
        if len(kept) == len(chosen):
            counts = join_counts(document, chosen, words)
            kept = [piece for piece in chosen if counts[piece] >= min_count]
            if len(kept) == len(chosen):
                return counts
        chosen = kept


def reachable(document: dict[str, Any], pieces: Iterable[str]) -> list[str]:
    """Return the pieces that merging alone makes of their own text, whole words never looked up."""
    cut = tokenizer_of(document, merges_only=True).model.tokenize
    return [piece for piece in pieces if [token.value for token in cut(piece)] == [piece]]


def join_counts(document: dict[str, Any], pieces: Sequence[str], words: Mapping[str, int]) -> dict[str, int]:
    """Return how often merging makes each piece in the words, on its way to longer pieces too.

    A piece that stands in the end was made of two halves, the same wherever it stands, and so were they.
    """
    vocabulary = document["model"]["vocab"]
    totals = _token_counts(document, words)
    ranks: dict[Merge, int] = {}
    for rank, (left, right) in enumerate(document["model"]["merges"]):
        ranks.setdefault((left, right), rank)
    new = set(pieces)
    for piece in sorted(pieces, key=len, reverse=True):
        for half in last_merge(piece, ranks) or ():
            if half in new:
                totals[vocabulary[half]] += totals[vocabulary[piece]]
    return {piece: int(totals[vocabulary[piece]]) for piece in pieces}


def _token_counts(document: dict[str, Any], words: Mapping[str, int]) -> np.ndarray:
    """Return how often each token stands in the words: (V,) int64."""
    plain = document | {"normalizer": None, "pre_tokenizer": None, "post_processor": None, "added_tokens": []}
    tokenizer = tokenizer_of(plain, merges_only=True)
    totals = np.zeros(max(document["model"]["vocab"].values()) + 1, dtype=np.int64)
    items = iter(words.items())
    while batch := list(islice(items, _BATCH_WORDS)):
        encoded = tokenizer.encode_batch_fast([word for word, _ in batch], add_special_tokens=False)
        ids = [encoding.ids for encoding in encoded]
        weights = np.repeat([occurrences for _, occurrences in batch], [len(row) for row in ids])
        np.add.at(totals, np.fromiter((i for row in ids for i in row), dtype=np.int64), weights)
    return totals
