"""Interpolated modified Kneser-Ney smoothing (Chen and Goodman 1998), as pure functions on counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit

from redwhale.corpus.perplexity.counts import Grams
from redwhale.corpus.perplexity.pieces import BEGIN

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
"""Discounts where the counts of counts give none that is possible: too little or too regular text."""


@dataclass(frozen=True)
class Order:
    """The n-grams of one order that a model keeps; ``prefix`` and ``suffix`` number those of the order below.

    ``prefix``, ``suffix``: (g,) int32; ``word``: (g,) uint16; ``probability`` of the word behind the prefix and
    ``backoff``, what the n-gram as a context leaves to the order below: (g,) float64. Of order 1 there is one
    n-gram for each piece, and ``prefix`` and ``suffix`` are empty.
    """

    prefix: np.ndarray
    word: np.ndarray
    suffix: np.ndarray
    probability: np.ndarray
    backoff: np.ndarray


def estimate(grams: Iterable[Grams], *, vocabulary: int, min_documents: int) -> Iterator[Order]:
    """Yield order 1, 2, … of the model of these counts (``count_grams``), each once the next order is counted.

    Of orders 3 and above n-grams in fewer than ``min_documents`` documents are dropped; what they had goes to the
    order below, so that the probabilities behind any context still sum to 1.
    """
    order = Order(
        prefix=np.empty(0, np.int32),
        word=np.arange(vocabulary, dtype=np.uint16),
        suffix=np.empty(0, np.int32),
        probability=np.zeros(vocabulary),
        backoff=np.ones(vocabulary),
    )
    numbers = np.arange(vocabulary, dtype=np.int32)  # of the n-grams of the order below among those kept, -1: dropped
    for length, (current, above) in enumerate(_with_next(grams), 2):
        if length == 2:
            order.probability[:] = _unigram_probabilities(current, vocabulary)
        adjusted = adjusted_counts(current, above)
        taken = discounts(adjusted)
        kept = current.documents >= (min_documents if length > 2 else 1)
        total, left = _context_sums(current.prefix, adjusted, kept, taken, len(numbers))
        backoff = np.divide(left, total, out=np.ones_like(left), where=total > 0)
        order.backoff[numbers[numbers >= 0]] = backoff[numbers >= 0]
        yield order
        prefix = current.prefix[kept]
        suffix = numbers[current.suffix[kept]]
        adjusted = adjusted[kept]
        probability = (adjusted - taken[np.minimum(adjusted, 3)]) / total[prefix]
        probability += backoff[prefix] * order.probability[suffix]
        order = Order(numbers[prefix], current.word[kept], suffix, probability, np.ones(len(adjusted)))
        del current, total, left, backoff
        numbers = np.cumsum(kept, dtype=np.int32)
        numbers -= 1
        numbers[~kept] = -1
    yield order


def _with_next(grams: Iterable[Grams]) -> Iterator[tuple[Grams, Grams | None]]:
    orders = iter(grams)
    current = next(orders)
    for above in orders:
        yield current, above
        current = above
    yield current, None


def discounts(adjusted: np.ndarray) -> np.ndarray:
    """Return what is taken off counts of 0, 1, 2, and 3 or more: (4,) float64 (Chen and Goodman 1998, equation 26)."""
    n1, n2, n3, n4 = (int(np.count_nonzero(adjusted == count)) for count in range(1, 5))
    if n1 and n2 and n3 and n4:
        ratio = n1 / (n1 + 2 * n2)
        found = (1 - 2 * ratio * n2 / n1, 2 - 3 * ratio * n3 / n2, 3 - 4 * ratio * n4 / n3)
        if all(0 < value <= count for count, value in enumerate(found, 1)):
            return np.array([0.0, *found])
    return np.array([0.0, *FALLBACK_DISCOUNTS])


def adjusted_counts(grams: Grams, above: Grams | None) -> np.ndarray:
    """Return how many different pieces stand before each n-gram: (g,) int32.

    Where nothing can stand before it, and in the highest order (``above`` is None), it is how often it occurs.
    """
    if above is None:
        return grams.counts.astype(np.int32)
    preceded = np.bincount(above.suffix, minlength=len(grams))
    return np.where(grams.begins, grams.counts, preceded).astype(np.int32)


def _unigram_probabilities(bigrams: Grams, vocabulary: int) -> np.ndarray:
    """Return the probability of each piece: (v,) float64; ``BEGIN`` is never predicted.

    What the discounts leave goes to all pieces alike, those that the text does not have as well.
    """
    adjusted = np.bincount(bigrams.suffix, minlength=vocabulary)
    taken = discounts(adjusted)[np.minimum(adjusted, 3)]
    total = adjusted.sum()
    probability = (adjusted - taken + taken.sum() / (vocabulary - 1)) / total
    probability[BEGIN] = 0
    return probability


@njit(cache=True, nogil=True)
def _context_sums(
    prefix: np.ndarray, adjusted: np.ndarray, kept: np.ndarray, taken: np.ndarray, contexts: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sum, over the n-grams of each context, the counts, and what the discounts and the dropped n-grams leave."""
    total, left = np.zeros(contexts), np.zeros(contexts)
    for i in range(len(prefix)):
        total[prefix[i]] += adjusted[i]
        left[prefix[i]] += taken[min(adjusted[i], 3)] if kept[i] else adjusted[i]
    return total, left
