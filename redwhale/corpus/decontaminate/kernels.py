"""Find the texts of an index in the texts of a chunk: hash every 8 characters, compare where the hash is a seed's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from redwhale.corpus.decontaminate.fold import LINE, SENTENCE, fold_text, folded_at

SEED_CHARS = 8
RUN_CHARS = 24
"""Shortest run found of a long text; a text below this length is found as a whole or not at all."""
HIT_COLUMNS = 6

_BASE = np.uint64(0x9E3779B97F4A7C15)
_SPREAD = np.uint64(0xD6E8FEB86659FD93)
_OLDEST = np.uint64(pow(0x9E3779B97F4A7C15, SEED_CHARS, 1 << 64))


class Tables(NamedTuple):
    """What is searched for, as arrays: folded texts, and ``s`` seeds of them sorted by hash.

    ``codes``: all texts end to end, uint16; ``bounds``: (texts + 1,) int64; ``edges``: (texts,) uint8, the gap needed
    on both sides of a whole text; ``hashes``: (s,) uint64; ``texts`` and ``places``: (s,) int32, the text and the
    character a seed is from; ``directory``: (65537,) int32, where the hashes with these 16 upper bits begin;
    ``bits``: uint64 words, bit ``hash >> shift`` set for each hash; ``folding``: see `fold.folding`.
    """

    codes: np.ndarray
    bounds: np.ndarray
    edges: np.ndarray
    hashes: np.ndarray
    texts: np.ndarray
    places: np.ndarray
    directory: np.ndarray
    bits: np.ndarray
    shift: int
    folding: np.ndarray


class Page(NamedTuple):
    """One folded document and its bytes: see `fold.fold_text`."""

    data: np.ndarray
    codes: np.ndarray
    gaps: np.ndarray
    marks: np.ndarray


class Sink(NamedTuple):
    """Where hits go: ``rows`` (capacity, 6) int64; ``free``: per text, where its last hit ends."""

    rows: np.ndarray
    free: np.ndarray


@njit(cache=True, nogil=True)
def seed_hashes(codes, starts, chars):  # type: ignore[no-untyped-def]
    """Return the hash of ``chars[i]`` characters from ``starts[i]``: a polynomial mod 2^64, spread; (n,) uint64."""
    hashes = np.empty(len(starts), dtype=np.uint64)
    for i in range(len(starts)):
        value = np.uint64(0)
        for place in range(starts[i], starts[i] + chars[i]):
            value = value * _BASE + np.uint64(codes[place])
        hashes[i] = value * _SPREAD
    return hashes


@njit(cache=True, nogil=True)
def fold_all(data, offsets, folding):  # type: ignore[no-untyped-def]
    """Return the folded texts end to end, uint16, and their bounds, (n + 1,) int64."""
    codes = np.empty(len(data) + 1, dtype=np.uint16)
    gaps = np.empty(len(data) + 1, dtype=np.uint8)
    marks = np.empty((len(data) >> 6) + 1, dtype=np.int64)
    bounds = np.zeros(len(offsets), dtype=np.int64)
    for i in range(len(offsets) - 1):
        count = fold_text(data, offsets[i], offsets[i + 1], folding, codes[bounds[i] :], gaps, marks)
        bounds[i + 1] = bounds[i] + count
    return codes[: bounds[-1]].copy(), bounds


@njit(cache=True, nogil=True)
def _span(page, folding, first, count):  # type: ignore[no-untyped-def]
    """Return the bytes of ``count`` folded characters: the first one and the one after the last."""
    place = page.marks[first >> 6]
    begin = place
    skipped = first & 63
    number = 0
    while True:
        folded, width = folded_at(page.data, place, folding)
        if folded > LINE:
            if number == skipped:
                begin = place
            number += 1
            if number == skipped + count:
                return begin, place + width
        place += width


@njit(cache=True, nogil=True)
def _is_seed(tables, value):  # type: ignore[no-untyped-def]
    """Say whether a hash may be a seed's; 1 of 16 or fewer others pass."""
    bit = value >> np.uint64(tables.shift)
    return tables.bits[bit >> np.uint64(6)] >> (bit & np.uint64(63)) & np.uint64(1)


@njit(cache=True, nogil=True)
def _run(tables, seed, page, count, place):  # type: ignore[no-untyped-def]
    """Return how far text and document agree around a seed: the first character in the text, and how many."""
    text = tables.texts[seed]
    start, end = tables.bounds[text], tables.bounds[text + 1]
    origin = start + tables.places[seed]
    before = 0
    while before < min(origin - start, place) and tables.codes[origin - before - 1] == page.codes[place - before - 1]:
        before += 1
    after = 0
    while after < min(end - origin, count - place) and tables.codes[origin + after] == page.codes[place + after]:
        after += 1
    return origin - before - start, before + after


@njit(cache=True, nogil=True)
def _collect(page, tables, sink, where, value, place):  # type: ignore[no-untyped-def]
    """Add the hits of one seed hash at a place to the sink and return how many there are by now."""
    document, base, count, found = where
    bucket = np.int64(value >> np.uint64(48))
    for seed in range(tables.directory[bucket], tables.directory[bucket + 1]):
        text = np.int64(tables.texts[seed])
        if tables.hashes[seed] != value or base + place < sink.free[text]:
            continue
        origin, chars = _run(tables, seed, page, count, place)
        size = tables.bounds[text + 1] - tables.bounds[text]
        if chars < min(size, RUN_CHARS):
            continue
        begin = place - (tables.places[seed] - origin)
        if chars == size and min(page.gaps[begin], page.gaps[begin + chars]) < tables.edges[text]:
            continue
        sink.free[text] = base + begin + chars
        if found < len(sink.rows):
            start, end = _span(page, tables.folding, begin, chars)
            row = sink.rows[found]
            row[0], row[1], row[2], row[3], row[4], row[5] = document, text, origin, chars, start, end
        found += 1
    return found


@njit(cache=True, nogil=True)
def _collect_short(page, tables, sink, where, place):  # type: ignore[no-untyped-def]
    """Add the hits of texts shorter than a seed that begin a sentence at a place and end one."""
    document, base, count, found = where
    value = np.uint64(0)
    for end in range(place + 1, min(place + SEED_CHARS, count + 1)):
        value = value * _BASE + np.uint64(page.codes[end - 1])
        if page.gaps[end] >= SENTENCE and _is_seed(tables, value * _SPREAD):
            found = _collect(page, tables, sink, (document, base, count, found), value * _SPREAD, place)
    return found


@njit(cache=True, nogil=True)
def find(data, offsets, tables, rows):  # type: ignore[no-untyped-def]
    """Write the hits to ``rows``, (capacity, 6) int64, and return their number, which may be above the capacity.

    Columns: document, text, the run's first character in the text, characters, first byte and the one after the
    last. Seeds within the last hit of their text are passed over, so there is at most one hit of a text for 8
    characters. Takes 3 bytes of memory for each byte of the longest document.
    """
    longest = 0
    for document in range(len(offsets) - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    codes = np.empty(longest + 1, dtype=np.uint16)
    gaps = np.empty(longest + 1, dtype=np.uint8)
    page = Page(data, codes, gaps, np.empty((longest >> 6) + 1, dtype=np.int64))
    sink = Sink(rows, np.zeros(len(tables.bounds), dtype=np.int64))
    base = 0
    found = 0
    for document in range(len(offsets) - 1):
        count = fold_text(data, offsets[document], offsets[document + 1], tables.folding, codes, gaps, page.marks)
        value = np.uint64(0)
        for place in range(count):
            value = value * _BASE + np.uint64(codes[place])
            if place >= SEED_CHARS:
                value -= np.uint64(codes[place - SEED_CHARS]) * _OLDEST
            if place >= SEED_CHARS - 1 and _is_seed(tables, value * _SPREAD):
                where = (document, base, count, found)
                found = _collect(page, tables, sink, where, value * _SPREAD, place - SEED_CHARS + 1)
            if gaps[place] >= SENTENCE:
                found = _collect_short(page, tables, sink, (document, base, count, found), place)
        base += count
    return found
