"""Kernels for what static sites put around text: YAML front matter, kramdown and Liquid marks."""

from __future__ import annotations

import numpy as np
from numba import njit

_LONGEST_KEY = 80
_LONGEST_MARK = 200


@njit(cache=True, nogil=True)
def line_end(text: np.ndarray, i: int) -> int:
    """Return where the line with ``i`` ends, its newline left out."""
    while i < len(text) and text[i] != 0x0A:
        i += 1
    return i


@njit(cache=True, nogil=True)
def front_matter_end(text: np.ndarray) -> int:
    """Return where a YAML block between ``---`` lines at the very beginning ends, 0 where there is none.

    Every line must look like YAML, and one at least like a key.
    """
    start = 3 if len(text) > 3 and text[0] == 0xEF and text[1] == 0xBB and text[2] == 0xBF else 0
    i = start
    if not _is_rule(text, i) or i + 3 == len(text):
        return start
    i += 4
    keys = 0
    while i < len(text):
        stop = line_end(text, i)
        if _is_rule(text, i):
            return min(stop + 1, len(text)) if keys else start
        if _is_key(text[i:stop]):
            keys += 1
        elif not _is_indented_or_item(text[i:stop]):
            return start
        i = stop + 1
    return start


@njit(cache=True, nogil=True)
def _is_rule(text: np.ndarray, i: int) -> bool:
    is_rule = i + 3 <= len(text) and text[i] == 0x2D and text[i + 1] == 0x2D and text[i + 2] == 0x2D
    return is_rule and (i + 3 == len(text) or text[i + 3] == 0x0A)


@njit(cache=True, nogil=True)
def _is_key(line: np.ndarray) -> bool:
    if not len(line) or line[0] == 0x20 or line[0] == 0x09 or line[0] == 0x3A or line[0] == 0x23:
        return False
    chars, i = 0, 0
    while i < len(line) and line[i] != 0x3A:
        chars += line[i] & 0xC0 != 0x80
        i += 1
    return (
        chars <= _LONGEST_KEY + 1 and i < len(line) and (i + 1 == len(line) or line[i + 1] == 0x20 or line[i + 1] == 9)
    )


@njit(cache=True, nogil=True)
def _is_indented_or_item(line: np.ndarray) -> bool:
    if not len(line) or line[0] == 0x20 or line[0] == 0x09 or line[0] == 0x23:
        return True
    return line[0] == 0x2D and (len(line) == 1 or line[1] == 0x20 or line[1] == 0x09)


@njit(cache=True, nogil=True)
def line_mark_end(text: np.ndarray, i: int) -> int:
    """Return the end of a mark that begins a line at ``i``, ``i`` for none: ``{:toc}``, ``{% raw %}``, ``* TOC``.

    Blanks around it go as well, and the newline after it.
    """
    at = _after_blanks(text, i)
    if at + 3 > len(text):
        return i
    if text[at] == 0x7B:
        stop = _mark_end(text, at)
    else:
        is_contents = (text[at] == 0x2A or text[at] == 0x2D) and text[at + 1] == 0x20 and at + 5 <= len(text)
        is_contents = is_contents and text[at + 2] == 0x54 and text[at + 3] == 0x4F and text[at + 4] == 0x43
        stop = at + 5 if is_contents and line_end(text, at) == _after_blanks(text, at + 5) else at
    if stop == at:
        return i
    stop = _after_blanks(text, stop)
    return stop + 1 if stop < len(text) and text[stop] == 0x0A else stop


@njit(cache=True, nogil=True)
def _mark_end(text: np.ndarray, i: int) -> int:
    """Return the end of ``{: … }`` or ``{% … %}`` at ``i``, ``i`` for none."""
    if i + 2 >= len(text) or (text[i + 1] != 0x3A and text[i + 1] != 0x25):
        return i
    is_liquid = text[i + 1] == 0x25
    chars = 0
    for k in range(i + 2, len(text)):
        byte = text[k]
        if is_liquid and byte == 0x25:
            return k + 2 if k + 1 < len(text) and text[k + 1] == 0x7D else i
        if byte == 0x7D and not is_liquid:
            return k + 1
        chars += byte & 0xC0 != 0x80
        if byte == 0x0A or chars > _LONGEST_MARK or (byte == 0x7B and not is_liquid):
            return i
    return i


@njit(cache=True, nogil=True)
def attribute_mark_end(text: np.ndarray, i: int) -> int:
    """Return the end of ``{: … }``, or in a heading of ``{#name}``, that ends a line, ``i`` where there is none."""
    if i + 2 >= len(text) or (text[i + 1] != 0x3A and text[i + 1] != 0x23):
        return i
    stop = i + 2
    while stop < len(text) and stop - i <= _LONGEST_MARK and text[stop] != 0x7D and text[stop] != 0x0A:
        stop += 1
    if stop == len(text) or text[stop] != 0x7D or _after_blanks(text, stop + 1) != line_end(text, stop):
        return i
    if text[i + 1] == 0x23:
        start = i
        while start and text[start - 1] != 0x0A:
            start -= 1
        if text[start] != 0x23:
            return i
    return stop + 1


@njit(cache=True, nogil=True)
def _after_blanks(text: np.ndarray, i: int) -> int:
    while i < len(text) and (text[i] == 0x20 or text[i] == 0x09):
        i += 1
    return i
