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
    _mark_code(texts.data, texts.offsets, mask)
    return mask


@njit(cache=True, nogil=True)
def _mark_code(data: np.ndarray, offsets: np.ndarray, mask: np.ndarray) -> None:
    for text in range(len(offsets) - 1):
        start, stop = offsets[text], offsets[text + 1]
        ticks, tildes = 0, 0
        for i in range(start, stop):
            ticks += data[i] == _TICK
            tildes += data[i] == _TILDE
        if ticks >= 3 or tildes >= 3:
            _mark_fenced(data[start:stop], mask[start:stop], (ticks + tildes) // 3)
        if ticks >= 2:
            _mark_inline(data[start:stop], mask[start:stop])


@njit(cache=True, nogil=True)
def _mark_fenced(text: np.ndarray, mask: np.ndarray, most: int) -> None:
    """Mark closed fenced blocks of one text that has at most ``most`` fences."""
    fences = np.empty((most, 4), dtype=np.int64)  # start and end of the line, length of the mark, whether it is bare
    count, start = 0, 0
    while start < len(text):
        stop, marks = start, 0
        while stop < len(text) and text[stop] != _NEWLINE:
            marks += text[stop] == _TICK or text[stop] == _TILDE
            stop += 1
        length, bare = _fence(text[start:stop]) if marks >= 3 else (0, False)
        if length:
            fences[count, 0], fences[count, 1], fences[count, 2], fences[count, 3] = start, stop, length, bare
            count += 1
        start = stop + 1
    i = 0
    while i < count:
        mark = fences[i, 2]
        for j in range(i + 1, min(count, i + _FENCES_TO_CLOSE)):
            other = fences[j, 2]
            if fences[j, 3] and (other > 0) == (mark > 0) and abs(other) >= abs(mark):
                for k in range(fences[i, 0], fences[j, 1]):
                    mask[k] = FENCED
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
def _mark_inline(text: np.ndarray, mask: np.ndarray) -> None:
    """Mark spans between equal runs of backticks outside fenced blocks of one text."""
    opening, length = -1, 0  # the run before this one on the line, if it may open a span
    chars, i = 0, 0
    while i < len(text):
        byte = text[i]
        if byte != _TICK or mask[i]:
            if byte == _NEWLINE or mask[i]:
                opening = -1
            chars += byte & 0xC0 != 0x80
            i += 1
            continue
        start = i
        while i < len(text) and text[i] == _TICK:
            i += 1
        if opening >= 0 and i - start == length and chars <= _SPAN_CHARS:
            for k in range(opening, i):
                mask[k] = INLINE
            opening = -1
        else:
            opening, length = (start if i - start <= 2 else -1), i - start
        chars = 0
