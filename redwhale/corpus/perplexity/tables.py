"""The n-grams of a model as tables that a kernel walks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from redwhale.core.hash_table import empty_table, find, insert, table_bits
from redwhale.corpus.perplexity.counts import WORD_BITS
from redwhale.corpus.perplexity.kneser_ney import Order
from redwhale.corpus.perplexity.pieces import BEGIN

GRAM = np.dtype([("key", np.uint64), ("log10_probability", np.float32), ("log10_backoff", np.float32)])
"""16 bytes an n-gram: a look-up touches one cache line. ``key`` is the prefix's slot << 16 | the last piece."""
MAX_ORDER = 5


@dataclass(frozen=True)
class Tables:
    """N-grams of orders 1 to ``len(bits)`` in one array: (slots,) ``GRAM``.

    Order 1 comes first, piece p in slot p. ``first`` is the first slot of each order above, ``bits`` the
    exponent of its number of slots: (order - 1,) int64 each.
    """

    grams: np.ndarray
    first: np.ndarray
    bits: np.ndarray

    @staticmethod
    def of(orders: Iterable[Order]) -> Tables:
        """Lay out the orders of a model from the lowest on."""
        parts: list[np.ndarray] = []
        first: list[int] = []
        bits: list[int] = []
        slots = np.empty(0, dtype=np.int64)  # of the n-grams of the order below
        for order in orders:
            size = len(order.word)
            if not parts:
                table, own = empty_table(size, GRAM), np.arange(size)
                table["key"] = own
            else:
                first.append(sum(map(len, parts)))
                bits.append(table_bits(size))
                table, own = empty_table(1 << bits[-1], GRAM), np.empty(size, dtype=np.int64)
                keys = (slots[order.prefix] << WORD_BITS | order.word).astype(np.uint64)
                insert(table, 0, bits[-1], keys, own)
            with np.errstate(divide="ignore"):
                table["log10_probability"][own] = np.log10(order.probability)
            table["log10_backoff"][own] = np.log10(order.backoff)
            slots = own + (first[-1] if first else 0)
            parts.append(table)
        return Tables(np.concatenate(parts), np.array(first, dtype=np.int64), np.array(bits, dtype=np.int64))

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray]) -> Tables:
        """Read what ``arrays`` gives back."""
        return Tables(arrays["grams"].view(GRAM).reshape(-1), arrays["first"], arrays["bits"])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the tables as plain arrays for a file."""
        return {"grams": self.grams.view(np.uint64).reshape(-1, 2), "first": self.first, "bits": self.bits}

    def add_scores(self, pieces: np.ndarray, offsets: np.ndarray, chosen: np.ndarray, scores: np.ndarray) -> None:
        """Add to ``scores``, (n,) float64, the log10 probability of each chosen text, the sum over its sentences.

        ``pieces`` and ``offsets`` are as ``Pieces.cut`` gives them; ``chosen``: (n,) bool.
        """
        _add_scores((self.grams, self.first, self.bits), pieces, offsets, chosen, scores)


@njit(cache=True, nogil=True)
def _add_scores(tables: Any, pieces: np.ndarray, offsets: np.ndarray, chosen: np.ndarray, scores: np.ndarray) -> None:
    context = np.empty(MAX_ORDER + 1, dtype=np.int64)
    for text in range(len(scores)):
        if not chosen[text]:
            continue
        for i in range(offsets[text], offsets[text + 1]):
            piece: Any = np.int64(pieces[i])
            if piece == BEGIN:
                context[:] = -1
                context[1] = BEGIN
            else:
                scores[text] += log10_probability(tables, context, piece)


@njit(cache=True, nogil=True, inline="always")  # passing arrays for every piece would cost a third of the time
def log10_probability(tables: Any, context: np.ndarray, piece: int) -> float:
    """Return the log10 probability of ``piece``, and move ``context`` on by it.

    ``context``: (order + 1,) int64, at n the slot of the last n pieces, -1 where the model has no such n-gram.
    """
    grams, first, bits = tables
    order = len(bits) + 1
    slot, backoff = piece, 0.0
    ending = piece  # the slot of the last ``length`` pieces, the new one included
    for length in range(1, order):
        before = context[length]
        context[length] = ending
        found = -1
        if before >= 0:
            if ending >= 0:
                found = find(grams, first[length - 1], bits[length - 1], before << WORD_BITS | piece)
            if found >= 0:
                slot = found
            else:
                found = -1
                backoff += grams[before].log10_backoff
        ending = found
    return grams[slot].log10_probability + backoff
