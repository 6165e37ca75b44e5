"""Lines, sentences and paragraphs of a text: what to find repeats by, and what lines begin and end with."""

from __future__ import annotations

import numpy as np
from numba import njit

from redwhale.corpus.filters.characters import FENCED, KIND_BITS, NOTABLE, PROSE, SPACE, TERMINAL

# Columns of the counts of lines.
LINES, ALL_LINES, TERMINAL_LINES, QUOTED_LINES, SHORT, BULLETS, ELLIPSIS_ENDS, JAVASCRIPT, NEWLINES = range(9)
LINE_CHARS, PARAGRAPHS, SENTENCES, SENTENCE_CHARS = range(9, 13)
LINE_COUNTS = 13
# Columns of the counts of marks.
HASHES, ELLIPSES, BRACES, LOREM_IPSUM = range(4)
MARK_COUNTS = 4
SHORT_LINE_CHARS = 30
_ODD = np.uint64(0xD6E8FEB86659FD93)
_NEWLINE, _DOT, _ELLIPSIS, _BULLET, _HYPHEN, _HASH, _BRACE = 0x0A, 0x2E, 0x2026, 0x2022, 0x2D, 0x23, 0x7B
_QUOTES = (0x22, 0x27, 0x201D, 0x2019)
_JAVASCRIPT = np.frombuffer(b"javascript", dtype=np.uint8)
_LOREM = np.frombuffer(b"lorem ipsum", dtype=np.uint8)


@njit(cache=True, nogil=True)
def split_lines(characters: tuple, pieces: tuple, counts: np.ndarray) -> tuple[int, int, int]:
    """Write hash and length of each line, paragraph and sentence outside fenced code; return how many of each.

    ``pieces``: three pairs of arrays (uint64, int32). A sentence ends with its line, or with a mark before a space.
    Lines that hold nothing but white space are paragraph breaks. ``counts``: (LINE_COUNTS,) int64, added to.
    """
    points, kinds, regions = characters
    (line_hashes, line_lengths), (block_hashes, block_lengths), unit_arrays = pieces
    lines, blocks, units, start = 0, 0, 0, 0
    block, block_length = np.uint64(0), 0
    while start < len(points):
        stop = start
        while stop < len(points) and points[stop] != _NEWLINE and (kinds[stop] & KIND_BITS) == SPACE:
            stop += 1
        blank = stop == len(points) or points[stop] == _NEWLINE
        while stop < len(points) and points[stop] != _NEWLINE:
            stop += 1
        newline = stop < len(points)
        if regions[start] == FENCED:
            start = stop + 1
            continue
        counts[ALL_LINES] += 1
        counts[NEWLINES] += newline
        counts[LINE_CHARS] += stop - start
        if not blank:
            found, units = _add_line(points[start:stop], kinds[start:stop], unit_arrays, units)
            line_hashes[lines], line_lengths[lines] = found, stop - start
            lines += 1
            block = (block ^ found) * _ODD
            block_length += stop - start + (block_length > 0)
            _describe_line(points[start:stop], kinds[start:stop], counts)
        if block_length and (blank or not newline or stop + 1 == len(points)):
            block_hashes[blocks], block_lengths[blocks] = block, block_length
            blocks += 1
            block, block_length = np.uint64(0), 0
        start = stop + 1
    if block_length:
        block_hashes[blocks], block_lengths[blocks] = block, block_length
        blocks += 1
    counts[LINES] += lines
    return lines, blocks, units


@njit(cache=True, nogil=True)
def _add_line(points: np.ndarray, kinds: np.ndarray, units: tuple, count: int) -> tuple[np.uint64, int]:
    """Add the sentences of one line to ``units``; return the hash of the line and the number of sentences so far."""
    hashes, lengths = units
    line, unit, length = np.uint64(0), np.uint64(0), 0
    for i in range(len(points)):
        if length == 0 and (kinds[i] & KIND_BITS) == SPACE:
            line = (line + np.uint64(1)) * _ODD  # what a line is indented by belongs to it, not to its sentence
            continue
        unit = (unit + np.uint64(points[i] + 1)) * _ODD
        length += 1
        ends = i + 1 == len(points)
        if ends or (kinds[i] & TERMINAL and (kinds[i + 1] & KIND_BITS) == SPACE):
            hashes[count], lengths[count] = unit, length
            count += 1
            line = (line ^ unit) * _ODD
            unit, length = np.uint64(0), 0
    return (line ^ unit) * _ODD, count


@njit(cache=True, nogil=True)
def _describe_line(points: np.ndarray, kinds: np.ndarray, counts: np.ndarray) -> None:
    first, last = 0, len(points) - 1
    while (kinds[first] & KIND_BITS) == SPACE:
        first += 1
    counts[TERMINAL_LINES] += (kinds[last] & TERMINAL) != 0
    counts[SHORT] += len(points) <= SHORT_LINE_CHARS
    counts[BULLETS] += points[first] == _BULLET or points[first] == _HYPHEN
    while (kinds[last] & KIND_BITS) == SPACE:
        last -= 1
    dots = last >= 2 and points[last] == _DOT and points[last - 1] == _DOT and points[last - 2] == _DOT
    counts[ELLIPSIS_ENDS] += dots or points[last] == _ELLIPSIS
    ends = points[last] == _DOT or points[last] == 0x3F or points[last] == 0x21
    for quote in _QUOTES:
        ends |= points[last] == quote
    counts[QUOTED_LINES] += ends and not dots


@njit(cache=True, nogil=True)
def count_marks(characters: tuple, marks: np.ndarray, counts: np.ndarray) -> None:
    """Add ``#``, ellipses, ``{`` and `lorem ipsum` of the prose to ``marks``, lines with `javascript` to ``counts``."""
    points, kinds, regions = characters
    in_line = False
    for i in range(len(points)):
        if not kinds[i] & NOTABLE:
            continue
        point = points[i]
        if point == _NEWLINE:
            in_line = False
        elif regions[i] != PROSE:
            continue
        elif point == _ELLIPSIS:
            marks[ELLIPSES] += 1
        elif point == _DOT:
            if i + 1 == len(points) or points[i + 1] != _DOT:
                marks[ELLIPSES] += _run_before(points, i) // 3
        elif point == _HASH:
            marks[HASHES] += 1
        elif point == _BRACE:
            marks[BRACES] += 1
        elif (point | 0x20) == 0x6A and not in_line and _stands_at(points, i, _JAVASCRIPT):
            counts[JAVASCRIPT] += 1
            in_line = True
        elif (point | 0x20) == 0x6C and _stands_at(points, i, _LOREM):
            marks[LOREM_IPSUM] += 1


@njit(cache=True, nogil=True)
def _run_before(points: np.ndarray, place: int) -> int:
    """Return the length of the run of equal characters that ends here."""
    start = place
    while start > 0 and points[start - 1] == points[place]:
        start -= 1
    return place - start + 1


@njit(cache=True, nogil=True)
def _stands_at(points: np.ndarray, place: int, word: np.ndarray) -> bool:
    matched = 0
    while matched < len(word) and place + matched < len(points) and (points[place + matched] | 0x20) == word[matched]:
        matched += 1
    return matched == len(word)
