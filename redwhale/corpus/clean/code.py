"""Find Markdown code in a buffer of texts: fenced blocks and inline spans."""

from __future__ import annotations

import numpy as np
from numba import njit

from redwhale.corpus.texts import Texts

PROSE, FENCED, INLINE = 0, 1, 2
_INDENT_BYTES = 40
_INFO_CHARS = 200
_LONGEST_MARK = 8
_FENCES_TO_CLOSE = 8
_SPAN_CHARS = 400
_NEWLINE, _SPACE, _TAB, _QUOTE, _TICK, _TILDE = 0x0A, 0x20, 0x09, 0x3E, 0x60, 0x7E


def code_mask(texts: Texts) -> np.ndarray:
    """Tell code from prose: (bytes,) uint8, ``PROSE``, ``FENCED`` (its fence lines included) or ``INLINE``.

    A fence opens only where one of the same kind, bare and as long, is among the next seven fences. A span
    stands between two equal runs of one or two backticks on a line, at most 400 characters apart.
    """
    mask = np.zeros(len(texts.data), dtype=np.uint8)
    marks = np.flatnonzero((texts.data == _TICK) | (texts.data == _TILDE))
    if len(marks) > 1:
        _mark_code(texts.data, texts.offsets, marks, mask)
    return mask


@njit(cache=True, nogil=True)
def _mark_code(data: np.ndarray, offsets: np.ndarray, marks: np.ndarray, mask: np.ndarray) -> None:
    """Mark the code of all texts, whose ticks and tildes stand at ``marks``: (m,) int64, rising."""
    mark = 0
    for text in range(len(offsets) - 1):
        start, stop = offsets[text], offsets[text + 1]
        first, ticks, tildes = mark, 0, 0
        while mark < len(marks) and marks[mark] < stop:
            ticks += data[marks[mark]] == _TICK
            tildes += data[marks[mark]] == _TILDE
            mark += 1
        if ticks >= 3 or tildes >= 3:
            _mark_fenced(data[start:stop], marks[first:mark] - start, mask[start:stop])
        if ticks >= 2:
            _mark_inline(data[start:stop], marks[first:mark] - start, mask[start:stop])


@njit(cache=True, nogil=True)
def _mark_fenced(text: np.ndarray, marks: np.ndarray, mask: np.ndarray) -> None:
    """Mark closed fenced blocks of one text; ``marks``: where its ticks and tildes stand, rising."""
    fences = np.empty((len(marks) // 3, 4), dtype=np.int64)  # start and end of the line, length of the mark, is it bare
    count, at = 0, 0
    while at < len(marks):
        start, stop = marks[at], marks[at]
        while start > 0 and text[start - 1] != _NEWLINE:
            start -= 1
        while stop < len(text) and text[stop] != _NEWLINE:
            stop += 1
        first = at
        while at < len(marks) and marks[at] < stop:
            at += 1
        length, bare = _fence(text[start:stop]) if at - first >= 3 else (0, False)
        if length:
            fences[count, 0], fences[count, 1], fences[count, 2], fences[count, 3] = start, stop, length, bare
            count += 1
    i = 0
    while i < count:
        mark = fences[i, 2]
        for j in range(i + 1, min(count, i + _FENCES_TO_CLOSE)):
            other = fences[j, 2]
            if fences[j, 3] and (other > 0) == (mark > 0) and abs(other) >= abs(mark):
                mask[fences[i, 0] : fences[j, 1]] = FENCED
                i = j
                break
        i += 1


@njit(cache=True, nogil=True)
def _fence(line: np.ndarray) -> tuple[int, bool]:
    """Return the length of the fence a line is, negative for tildes, 0 for none, and whether nothing else is there."""
    size, i = len(line), 0
    while i < size and (line[i] == _SPACE or line[i] == _TAB or line[i] == _QUOTE):
        i += 1
    if i > _INDENT_BYTES or i == size:
        return 0, False
    is_item = line[i] == 0x2D or line[i] == 0x2A or line[i] == 0x2B
    if is_item:
        i += 1
        first = i
        while i < size and (line[i] == _SPACE or line[i] == _TAB):
            i += 1
        if i in (first, size):
            return 0, False
    mark = line[i]
    if mark != _TICK and mark != _TILDE:
        return 0, False
    length = 0
    while i < size and length < _LONGEST_MARK and line[i] == mark:
        length, i = length + 1, i + 1
    if length < 3:
        return 0, False
    chars, bare = 0, not is_item
    while i < size:
        if line[i] == _TICK:
            return 0, False
        chars += line[i] & 0xC0 != 0x80
        bare = bare and (line[i] == _SPACE or line[i] == _TAB or line[i] == _QUOTE)
        i += 1
    if chars > _INFO_CHARS:
        return 0, False
    return (length if mark == _TICK else -length), bare


@njit(cache=True, nogil=True)
def _mark_inline(text: np.ndarray, marks: np.ndarray, mask: np.ndarray) -> None:
    """Mark spans between equal runs of backticks outside fenced blocks of one text."""
    opening, length, end = -1, 0, 0  # the run before this one on the line, if it may open a span, and where it ends
    at = 0
    while at < len(marks):
        start = marks[at]
        if mask[start]:
            opening = -1
        if mask[start] or text[start] != _TICK:
            at += 1
            continue
        stop = start
        while stop < len(text) and text[stop] == _TICK:
            stop, at = stop + 1, at + 1
        if opening >= 0 and stop - start == length and _is_span(text[end:start]):
            mask[opening:stop] = INLINE
            opening = -1
        else:
            opening, length = (start if stop - start <= 2 else -1), stop - start
        end = stop


@njit(cache=True, nogil=True)
def _is_span(text: np.ndarray) -> bool:
    """Tell whether what stands between two runs is on one line and short."""
    chars = 0
    if len(text) > 4 * _SPAN_CHARS:
        return False
    for byte in text:
        if byte == _NEWLINE:
            return False
        chars += byte & 0xC0 != 0x80
    return chars <= _SPAN_CHARS
