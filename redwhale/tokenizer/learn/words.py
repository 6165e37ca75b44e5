"""Count the words and the characters of much text, in memory that grows with the different words alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit

from redwhale.corpus.clean.characters import decode

WORD_CHARACTERS = 128
"""Longer runs are counted in parts of this length."""
INSIDE, WANTED = 1, 2
"""What a character is: part of words; such that its word is counted."""
CODE_POINTS = 0x110000
_BUFFER_BYTES, _MOST_ROWS = 1 << 22, 1 << 22


@dataclass(frozen=True)
class WordCounts:
    """Different words with their counts, each with the space before it where there was one.

    Word i is ``data[offsets[i]:offsets[i + 1]]``; ``data``: (b,) uint8, UTF-8; ``offsets``: (n + 1,) int64;
    ``counts``: (n,) int64.
    """

    data: np.ndarray
    offsets: np.ndarray
    counts: np.ndarray

    @staticmethod
    def of(words: Mapping[bytes, int]) -> WordCounts:
        """Return counted words as arrays."""
        return _as_counts(pa.array(words.keys(), pa.binary()), np.array(list(words.values()), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.counts)

    def items(self) -> Iterable[tuple[bytes, int]]:
        """Yield words and counts."""
        raw, bounds = self.data.tobytes(), self.offsets.tolist()
        for i, count in enumerate(self.counts.tolist()):
            yield raw[bounds[i] : bounds[i + 1]], count


class WordCounter:
    """Counts words: runs of characters that are ``INSIDE``, with at least one ``WANTED``, and a space before.

    ``classes``: (0x110000,) uint8 by code point.
    """

    def __init__(self, classes: np.ndarray) -> None:
        self._classes = classes
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._words: list[pa.Array] = []
        self._counts: list[np.ndarray] = []
        self._rows = 0
        self.characters = np.zeros(CODE_POINTS, dtype=np.int64)
        """Occurrences of every code point in the text so far: (0x110000,) int64."""

    def add(self, text: str) -> None:
        """Count one more text."""
        data = text.encode(errors="replace")
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= _BUFFER_BYTES:
            self._count()

    def finish(self) -> WordCounts:
        """Return the words of all texts, in the order of their first places."""
        self._count()
        counts = _as_counts(*_summed(self._words, self._counts))
        self._words, self._counts = [], []
        pa.default_memory_pool().release_unused()  # of text and parts that are gone; over a gigabyte for one of text
        return counts

    def _count(self) -> None:
        data = np.frombuffer(b"\n".join([*self._waiting, b""]), dtype=np.uint8)
        out = np.empty(len(data), dtype=np.uint8)
        ends = np.zeros(len(data) // 2 + 2, dtype=np.int32)
        found = _find_words(data, self._classes, out, ends[1:], self.characters)
        arrow = pa.Array.from_buffers(pa.binary(), found, [None, pa.py_buffer(ends), pa.py_buffer(out)])
        counted = arrow.value_counts()
        self._words.append(counted.field(0))
        self._counts.append(counted.field(1).to_numpy())
        self._rows += len(counted)
        self._waiting, self._waiting_bytes = [], 0
        if self._rows > _MOST_ROWS:
            self._gather()

    def _gather(self) -> None:
        """Add up equal words of the parts."""
        words, counts = _summed(self._words, self._counts)
        self._words, self._counts = [words], [counts]
        # Twice as many again before the next time, so that the work stays linear.
        self._rows = 0 if len(words) < _MOST_ROWS else -len(words)


def join_counts(parts: Sequence[WordCounts]) -> WordCounts:
    """Add up the counts of equal words; they stand in the order of their first places."""
    words = [
        pa.Array.from_buffers(pa.large_binary(), len(part), [None, pa.py_buffer(part.offsets), pa.py_buffer(part.data)])
        for part in parts
    ]
    return _as_counts(*_summed(words, [part.counts for part in parts]))


def _summed(words: Sequence[pa.Array], counts: Sequence[np.ndarray]) -> tuple[pa.Array, np.ndarray]:
    """Return the different words in the order of their first places, and the sum of the counts of each, int64."""
    encoded = pa.chunked_array(words, words[0].type).dictionary_encode()
    if not encoded.num_chunks:  # of no words
        return words[0], np.zeros(0, dtype=np.int64)
    different = encoded.chunk(0).dictionary  # that of all chunks
    places = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])
    sums = np.zeros(len(different), dtype=np.int64)
    np.add.at(sums, places, np.concatenate(counts))
    return different, sums


def _as_counts(words: pa.Array, counts: np.ndarray) -> WordCounts:
    _, offsets, data = words.cast(pa.large_binary()).buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[: len(words) + 1] if len(words) else np.zeros(1, dtype=np.int64)
    return WordCounts(
        data=np.frombuffer(data, dtype=np.uint8) if data is not None else np.zeros(0, dtype=np.uint8),
        offsets=bounds,
        counts=counts.astype(np.int64),
    )


@njit(cache=True, nogil=True)
def _find_words(
    data: np.ndarray, classes: np.ndarray, out: np.ndarray, ends: np.ndarray, characters: np.ndarray
) -> int:
    """Write the wanted words end to end into ``out`` and their ends into ``ends``; return how many."""
    i, filled, found, start, length, wanted, after_space = 0, 0, 0, 0, 0, False, False
    while i < len(data):
        character, size = decode(data, i)
        characters[character] += 1
        kind = classes[character]
        if length and (not kind & INSIDE or length == WORD_CHARACTERS):
            if wanted:
                ends[found] = filled
                start, found = filled, found + 1
            filled, length, wanted = start, 0, False
        if kind & INSIDE:
            if after_space:
                out[filled] = 0x20
                filled += 1
            for _ in range(size):
                out[filled] = data[i]
                filled, i = filled + 1, i + 1
            length += 1
            wanted = wanted or kind & WANTED != 0
        else:
            i += size
        after_space = character == 0x20
    return found
