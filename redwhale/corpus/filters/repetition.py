"""Repeated lines, sentences and n-grams, counted in open-addressing tables that are as large as the text needs."""

from __future__ import annotations

import numpy as np
from numba import njit

LARGEST_N = 10
LARGEST_TOP_N = 4
_ODD = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True)
def count_repeats(hashes: np.ndarray, lengths: np.ndarray, table: tuple) -> tuple[int, int, int]:
    """Return how many pieces repeat an earlier one, their characters, and the characters of all that have a twin."""
    keys, counts, _ = table
    mask = _clear(counts, len(hashes))
    repeats, repeated, twins = 0, 0, 0
    for i in range(len(hashes)):
        slot = _slot(keys, counts, hashes[i], mask)
        if counts[slot]:
            repeats += 1
            repeated += lengths[i]
            twins += lengths[i] * (2 if counts[slot] == 1 else 1)
        else:
            keys[slot] = hashes[i]
        counts[slot] += 1
    return repeats, repeated, twins


@njit(cache=True, nogil=True)
def _clear(counts: np.ndarray, pieces: int) -> int:
    """Empty as much of the table as ``pieces`` need; return the mask of slots, a power of two less 1."""
    size = 16
    while size < 2 * pieces:
        size *= 2
    counts[:size] = 0
    return size - 1


@njit(cache=True, nogil=True)
def _mixed(key: np.uint64) -> int:
    return np.int64((key ^ key >> np.uint64(32)) * _ODD >> np.uint64(33))  # type: ignore[return-value]


@njit(cache=True, nogil=True)
def _slot(keys: np.ndarray, counts: np.ndarray, key: np.uint64, mask: int) -> int:
    slot = _mixed(key) & mask
    while counts[slot] and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@njit(cache=True, nogil=True)
def count_ngrams(words: tuple, least: int, memory: tuple, out: np.ndarray) -> None:
    """Write characters of the most frequent 2- to 4-gram and of repeated 5- to 10-grams to ``out``: (9,) int64.

    The first is length times count, as in Gopher, with spaces and 0 below ``least`` occurrences; the second is
    counted from left to right and passes over what it counted. An n-gram can only occur twice where both of its
    (n-1)-grams do, so each pass looks only at what the pass before left.
    """
    hashes, lengths, _ = words
    grams, _, _, ends, _ = memory
    total = 0
    for i in range(len(hashes)):
        grams[i] = hashes[i]
        total += lengths[i]
        ends[i] = total
    left = _keep_frequent(hashes, memory)
    for n in range(2, min(LARGEST_N, len(hashes)) + 1):
        left = _advance(hashes, n, left, memory)
        if n <= LARGEST_TOP_N:
            out[n - 2] = _top(n, left, least, memory)
        elif left:
            out[n - 2] = _repeated(n, left, memory)
        if left == 0 and least > 1:
            return


@njit(cache=True, nogil=True)
def _keep_frequent(hashes: np.ndarray, memory: tuple) -> int:
    """Keep the places of words that occur twice, and few others that share a slot with one; return how many."""
    _, places, slots, _, table = memory
    seen, size = table[2], 16
    while size < 4 * len(hashes):
        size *= 2
    size = min(size, len(seen))
    seen[:size] = 0
    for i in range(len(hashes)):
        slot = _mixed(hashes[i]) & (size - 1)
        slots[i] = slot
        seen[slot] = 2 if seen[slot] else 1
    left = 0
    for i in range(len(hashes)):
        places[left] = i
        left += seen[slots[i]] > 1
    return left


@njit(cache=True, nogil=True)
def _advance(hashes: np.ndarray, n: int, count: int, memory: tuple) -> int:
    """Turn the (n-1)-grams at ``places[:count]`` into n-grams; keep the places of those that occur twice."""
    grams, places, slots, _, table = memory
    keys, counts, _ = table
    candidates = 0
    for k in range(count - 1):
        if places[k + 1] == places[k] + 1:
            places[candidates] = places[k]
            candidates += 1
    mask = _clear(counts, candidates)
    for k in range(candidates):
        place = places[k]
        gram = (grams[place] ^ grams[place] >> np.uint64(29)) * _ODD + hashes[place + n - 1]
        grams[place] = gram
        slot = _slot(keys, counts, gram, mask)
        keys[slot] = gram
        counts[slot] += 1
        slots[k] = slot
    left = 0
    for k in range(candidates):
        if counts[slots[k]] > 1:
            places[left], slots[left] = places[k], slots[k]
            left += 1
    return left


@njit(cache=True, nogil=True)
def _top(n: int, left: int, least: int, memory: tuple) -> int:
    """Return length times count of the most frequent n-gram; of several, of the first."""
    _, places, slots, ends, table = memory
    counts = table[1]
    best, place = 1, 0
    for k in range(left):
        if counts[slots[k]] > best:
            best, place = counts[slots[k]], places[k]
    if best < least:
        return 0
    length = ends[place + n - 1] - (ends[place - 1] if place else 0) + n - 1
    return length * best


@njit(cache=True, nogil=True)
def _repeated(n: int, left: int, memory: tuple) -> int:
    """Return the characters in n-grams that occurred before, from left to right, each character once."""
    _, places, slots, ends, table = memory
    seen = table[2]
    for k in range(left):
        seen[slots[k]] = 0
    total, free = 0, 0
    for k in range(left):
        place = places[k]
        if place < free:
            continue
        if seen[slots[k]]:
            total += ends[place + n - 1] - (ends[place - 1] if place else 0)
            free = place + n
        else:
            seen[slots[k]] = 1
    return total
