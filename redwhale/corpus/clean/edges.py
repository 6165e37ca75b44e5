"""Headers and footers: lines that many documents of one source begin or end with."""

from __future__ import annotations

import numpy as np
from numba import njit

from redwhale.core.recipe.cleaning import RepeatedLines
from redwhale.corpus.clean.characters import decode, is_syllable, zero
from redwhale.corpus.clean.splice import splice
from redwhale.corpus.clean.tidy import tidy
from redwhale.corpus.texts import Texts

EDGE_LINES = 3
_FEWEST_LINES = 4
_FEWEST_LETTERS, _MOST_BYTES = 4, 480


def edge_line_hashes(texts: Texts) -> np.ndarray:
    """Return hashes of the first three and the last three lines of each text: (n, 6) uint64, blank lines left out.

    0 stands for a line that cannot be boilerplate: too short, too long, without letters, a heading, a rule, a
    fence, the number of an article; for a line that has its hash further left; for all of a text under four lines.
    """
    hashes, _ = _edges(texts)
    for later in range(1, 2 * EDGE_LINES):
        hashes[(hashes[:, :later] == hashes[:, later : later + 1]).any(axis=1), later] = 0
    return hashes


def _edges(texts: Texts) -> tuple[np.ndarray, np.ndarray]:
    """Return the hashes of edge lines, (n, 6) uint64, and where each begins and ends in ``data``, (n, 6, 2) int64."""
    hashes = np.zeros((len(texts), 2 * EDGE_LINES), dtype=np.uint64)
    spans = np.zeros((len(texts), 2 * EDGE_LINES, 2), dtype=np.int64)
    _hash_edges(texts.data, texts.offsets, hashes, spans)
    return hashes, spans


def frequent_lines(hashes: np.ndarray, counts: np.ndarray, documents: int, options: RepeatedLines) -> np.ndarray:
    """Return the hashes, (k,) uint64 in rising order, of lines that are boilerplate in a source.

    ``hashes``: (m,) uint64, different ones; ``counts``: (m,) int64, in how many of the source's ``documents`` each is.
    """
    fewest = max(options.documents, options.share * documents)
    return np.sort(hashes[(counts >= fewest) & (hashes != 0)])


def remove_edge_lines(texts: Texts, frequent: np.ndarray) -> Texts:
    """Return texts without the lines at their edges whose hashes are in ``frequent``, and without blank lines there."""
    hashes, spans = _edges(texts)
    chosen = np.isin(hashes, frequent) & (hashes != 0)
    cut = [(int(start), int(stop)) for start, stop in spans[chosen]]
    return tidy(splice(texts, cut, [b""] * len(cut)), chosen.any(axis=1))


@njit(cache=True, nogil=True)
def _hash_edges(data, offsets, hashes, spans):  # type: ignore[no-untyped-def]
    for text in range(len(offsets) - 1):
        first, last = offsets[text], offsets[text + 1]
        lines, start = 0, first
        while start < last and lines < _FEWEST_LINES:
            stop = _line_stop(data, start, last)
            if _content(data[start:stop])[1]:
                if lines < EDGE_LINES:
                    spans[text, lines, 0], spans[text, lines, 1] = start, min(stop + 1, last)
                lines += 1
            start = stop + 1
        if lines < _FEWEST_LINES:
            continue
        column, stop = 2 * EDGE_LINES - 1, last
        while stop > spans[text, EDGE_LINES - 1, 1] and column >= EDGE_LINES:
            start = stop
            while start > first and data[start - 1] != 0x0A:
                start -= 1
            if _content(data[start:stop])[1]:
                spans[text, column, 0], spans[text, column, 1] = start, min(stop + 1, last)
                column -= 1
            stop = start - 1
        for k in range(2 * EDGE_LINES):
            if spans[text, k, 1]:
                hashes[text, k] = _line_hash(data[spans[text, k, 0] : spans[text, k, 1]])


@njit(cache=True, nogil=True)
def _line_stop(data: np.ndarray, start: int, last: int) -> int:
    while start < last and data[start] != 0x0A:
        start += 1
    return start


@njit(cache=True, nogil=True)
def _content(line: np.ndarray) -> tuple[int, int]:
    """Return where a line begins and ends without white space; 0 and 0 for a blank line."""
    start, stop = 0, len(line)
    while stop > 0 and line[stop - 1] <= 0x20:
        stop -= 1
    while start < stop and line[start] <= 0x20:
        start += 1
    return (start, stop) if stop > start else (0, 0)


@njit(cache=True, nogil=True)
def _line_hash(line: np.ndarray) -> np.uint64:
    """Return the 64-bit FNV-1a hash of a line without white space around it, 0 for one that is no boilerplate."""
    start, stop = _content(line)
    if stop - start > _MOST_BYTES or _is_structure(line[start:stop]):
        return np.uint64(0)
    value = np.uint64(14695981039346656037)
    for byte in line[start:stop]:
        value = (value ^ np.uint64(byte)) * np.uint64(1099511628211)
    return value


@njit(cache=True, nogil=True)
def _is_structure(line: np.ndarray) -> bool:
    """Tell headings, rules, fences, numbers of articles and lines with fewer than four letters."""
    first = line[0]
    if first == 0x23 or first == 0x60 or first == 0x7E or first == 0x7C:
        return True
    letters, i = 0, zero()
    while i < len(line) and letters < _FEWEST_LETTERS:
        code, length = decode(line, i)
        letters += is_syllable(code) or 0x61 <= code | 0x20 <= 0x7A
        i += length
    return letters < _FEWEST_LETTERS or _is_article(line)


@njit(cache=True, nogil=True)
def _is_article(line: np.ndarray) -> bool:
    """Tell 제1장, 제2조 and their like at the beginning of a line."""
    if len(line) < 7 or decode(line, 0)[0] != 0xC81C:  # 제
        return False
    i = zero() + 3
    while i < len(line) and (0x30 <= line[i] <= 0x39 or line[i] == 0x20):
        i += 1
    if i == 3 or i >= len(line):
        return False
    unit = decode(line, i)[0]
    return unit == 0xC7A5 or unit == 0xC870 or unit == 0xC808 or unit == 0xD3B8 or unit == 0xAD00  # 장 조 절 편 관
