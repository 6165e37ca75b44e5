"""Score how much of a text is the vocabulary of adult, gambling and advert pages."""

from __future__ import annotations

import numpy as np
from numba import njit

from redwhale.corpus.filters.characters import DIGIT, HAN, JAMO, KIND_BITS, LATIN, SPACE, SYLLABLE
from redwhale.corpus.filters.vocabulary import CERTAIN, GENERIC, TELLING, slot_of, start_of

WINDOW_WORDS = 5
LEAST_TERMS, LEAST_WORDS = 2, 3
_SPACED_CHARS = 4
_ODD = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True)
def find_terms(bounds: np.ndarray, characters: tuple, tables: tuple, hits: np.ndarray) -> int:
    """Write word and entry of every term that begins an eojeol to ``hits`` (words, 2) int32; return how many."""
    points, kinds, _ = characters
    starts = tables[3]
    count = 0
    word = -1
    while word + 1 < len(bounds):
        word += 1
        first, stop = bounds[word, 0], bounds[word, 1]
        while first < stop and not _is_word(kinds[first]):
            first += 1
        if first + 1 < stop and starts[start_of(points[first], points[first + 1])]:
            entry, spaced = _longest_term(points[first:], kinds[first:], tables)
            if entry >= 0:
                hits[count, 0], hits[count, 1] = word, entry
                count += 1
                word += spaced
    return count


@njit(cache=True, nogil=True)
def _is_word(kind: int) -> bool:
    return (kind & KIND_BITS) in (SYLLABLE, LATIN, DIGIT, JAMO, HAN)


@njit(cache=True, nogil=True)
def _longest_term(points: np.ndarray, kinds: np.ndarray, tables: tuple) -> tuple[int, int]:
    """Return the entry of the longest term here, or -1, and the spaces in it.

    One space may stand in a term of four characters or more.
    """
    keys, entries, particles, _ = tables
    value, length, spaces, best, best_spaces, i = np.uint64(0), 0, 0, -1, 0, 0
    while i < len(points):
        if (kinds[i] & KIND_BITS) == SPACE:
            if spaces:
                break
            spaces = 1
            i += 1
            continue
        value = (value + np.uint64(points[i] + 1)) * _ODD
        length += 1
        place = slot_of(value, keys)
        if place < 0:
            break
        i += 1
        long_enough = not spaces or length >= _SPACED_CHARS
        if entries[place, 0] and long_enough and (entries[place, 1] or _ends_here(points[i:], kinds[i:], particles)):
            best, best_spaces = place, spaces
    return best, best_spaces


@njit(cache=True, nogil=True)
def _ends_here(points: np.ndarray, kinds: np.ndarray, particles: np.ndarray) -> bool:
    """Return whether the eojeol ends, or goes on with nothing but a particle."""
    value, i = np.uint64(0), 0
    while i < len(points) and (kinds[i] & KIND_BITS) == SYLLABLE:
        value = (value + np.uint64(points[i] + 1)) * _ODD
        i += 1
    if i < len(points) and _is_word(kinds[i]):
        return False
    place = np.searchsorted(particles, value)
    return bool(i == 0 or (place < len(particles) and particles[place] == value))


@njit(cache=True, nogil=True)
def score_terms(hits: np.ndarray, entries: np.ndarray, category: int, words: int) -> float:
    """Return the words of a category's vocabulary for 100 words.

    A certain term counts; a telling one near another such term; a generic one near a certain one, or near a telling
    one that counts. Near is within five words. 0 unless two different terms count and three words in all.
    """
    total, first, terms = 0, -1, 0
    for i in range(len(hits)):
        term = entries[hits[i, 1], 0]
        if not _counts(hits, entries, i, category):
            continue
        total += 1
        if entries[hits[i, 1], 2 + category] >= TELLING:
            if first < 0:
                first, terms = term, 1
            elif term != first:
                terms = 2
    return 100.0 * total / words if terms >= LEAST_TERMS and total >= LEAST_WORDS else 0.0


@njit(cache=True, nogil=True)
def _counts(hits: np.ndarray, entries: np.ndarray, place: int, category: int) -> bool:
    level = entries[hits[place, 1], 2 + category]
    if level == CERTAIN:
        return True
    if level == TELLING:
        return _near_telling(hits, entries, place, category)
    return level == GENERIC and _near_counted(hits, entries, place, category)


@njit(cache=True, nogil=True)
def _near_counted(hits: np.ndarray, entries: np.ndarray, place: int, category: int) -> bool:
    for step in (-1, 1):
        other = place + step
        while 0 <= other < len(hits) and abs(hits[other, 0] - hits[place, 0]) <= WINDOW_WORDS:
            level = entries[hits[other, 1], 2 + category]
            different = level >= TELLING and entries[hits[other, 1], 0] != entries[hits[place, 1], 0]
            if different and (level == CERTAIN or _near_telling(hits, entries, other, category)):
                return True
            other += step
    return False


@njit(cache=True, nogil=True)
def _near_telling(hits: np.ndarray, entries: np.ndarray, place: int, category: int) -> bool:
    for step in (-1, 1):
        other = place + step
        while 0 <= other < len(hits) and abs(hits[other, 0] - hits[place, 0]) <= WINDOW_WORDS:
            if entries[hits[other, 1], 2 + category] >= TELLING and (
                entries[hits[other, 1], 0] != entries[hits[place, 1], 0]
            ):
                return True
            other += step
    return False
