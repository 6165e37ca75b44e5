"""Count n-grams of pieces by sorting, in parts of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit

from redwhale.corpus.perplexity.pieces import BEGIN, END

WORD_BITS = 16
_PART = 1 << 19


@dataclass(frozen=True)
class Grams:
    """The different n-grams of one order, sorted by (prefix, word); numbers refer to the order below.

    ``prefix``: (g,) int32, the n-gram without its last piece; ``word``: (g,) uint16, that piece; ``suffix``: (g,)
    int32, the n-gram without its first piece; ``counts``: (g,) uint32, occurrences; ``documents``: (g,) uint8,
    documents with it, at most 255; ``begins``: (g,) bool, the first piece begins a sentence.
    """

    prefix: np.ndarray
    word: np.ndarray
    suffix: np.ndarray
    counts: np.ndarray
    documents: np.ndarray
    begins: np.ndarray

    def __len__(self) -> int:
        return len(self.word)


def count_grams(pieces: np.ndarray, document_ends: np.ndarray, *, order: int) -> Iterator[Grams]:
    """Yield the n-grams of orders 2 to ``order`` inside sentences.

    ``pieces``: (m,) uint16, sentences as ``Pieces.cut`` gives them; ``document_ends``: (d,) int64, where
    each document ends in it. N-grams of order 1 are the pieces themselves.
    """
    numbers = pieces.astype(np.int32)  # of the n-gram of the order below that starts at each place, -1: none
    begins = np.arange(1 << WORD_BITS) == BEGIN
    for length in range(2, order + 1):
        following = np.full(len(pieces) if length < order else 0, -1, dtype=np.int32)
        columns: list[list[np.ndarray]] = [[], [], [], [], []]
        found = 0
        for low, high in _prefix_ranges(numbers, len(begins)):
            part = _count_part((pieces, document_ends, numbers, following), (low, high), length, found)
            found += len(part[0])
            for column, values in zip(columns, part, strict=True):
                column.append(values)
        prefix, word, suffix, counts, seen = (np.concatenate(columns.pop(0)) for _ in range(5))
        begins = begins[prefix]
        numbers = following
        yield Grams(prefix, word, suffix, counts, seen, begins)
        del prefix, word, suffix, counts, seen


def _prefix_ranges(numbers: np.ndarray, count: int) -> Iterator[tuple[int, int]]:
    """Cut the numbers of prefixes into ranges [low, high) that occur about ``_PART`` times each."""
    ends = np.cumsum(np.bincount(numbers[numbers >= 0], minlength=count))
    low = 0
    while low == 0 or low < count:
        reached = int(ends[low - 1]) if low else 0
        high = max(low + 1, int(np.searchsorted(ends, reached + _PART, side="right")))
        yield low, high
        low = high


def _count_part(
    columns: tuple[np.ndarray, ...], prefixes: tuple[int, int], length: int, first: int
) -> tuple[np.ndarray, ...]:
    """Count the n-grams whose prefix is in a range, and number them from ``first`` at the places where they start."""
    pieces, document_ends, numbers, following = columns
    places = np.flatnonzero((numbers >= prefixes[0]) & (numbers < prefixes[1]))
    places = places[pieces[places + (length - 2)] != END]  # nothing follows the end of a sentence
    keys = numbers[places].astype(np.int64) << WORD_BITS | pieces[places + (length - 1)]
    by_key = np.argsort(keys, kind="stable")
    keys, places = keys[by_key], places[by_key]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    sizes = np.diff(np.append(starts, len(keys)))
    if len(following):
        following[places] = np.repeat(np.arange(first, first + len(starts), dtype=np.int32), sizes)
    distinct = keys[starts]
    return (
        (distinct >> WORD_BITS).astype(np.int32),
        (distinct & ((1 << WORD_BITS) - 1)).astype(np.uint16),
        numbers[places[starts] + 1],
        sizes.astype(np.uint32),
        _distinct_documents(document_ends, places, starts),
    )


@njit(cache=True, nogil=True)
def _distinct_documents(document_ends: np.ndarray, places: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Count the documents of each run of places, of which each ascends: (runs,) uint8, at most 255."""
    counts = np.zeros(len(starts), dtype=np.uint8)
    for run in range(len(starts)):
        stop = starts[run + 1] if run + 1 < len(starts) else len(places)
        end = 0
        for i in range(starts[run], stop):
            if places[i] >= end:
                end = document_ends[np.searchsorted(document_ends, places[i], side="right")]
                if counts[run] < 255:
                    counts[run] += 1
    return counts
