"""Kernels that tell HTML from text in angle brackets and find where a tag, a script or a comment ends."""

from __future__ import annotations

import numpy as np
from numba import njit

from redwhale.corpus.clean.code import FENCED
from redwhale.corpus.clean.elements import BOOLEAN, HIDDEN, KIND, LONGEST_NAME, UNMISTAKABLE, name_hash, place_of

_LONGEST_ATTRIBUTES = 4000
_LONGEST_DECLARATION = 500
_LT, _GT, _SLASH, _EQUALS = 0x3C, 0x3E, 0x2F, 0x3D


@njit(cache=True, nogil=True)
def is_blank(byte: int) -> bool:
    """Tell a space, tab or newline."""
    return byte == 0x20 or byte == 0x09 or byte == 0x0A


@njit(cache=True, nogil=True)
def is_letter(byte: int) -> bool:
    """Tell an ASCII letter."""
    return 0x61 <= byte | 0x20 <= 0x7A


@njit(cache=True, nogil=True)
def is_name_byte(byte: int) -> bool:
    """Tell an ASCII letter or digit."""
    return is_letter(byte) or 0x30 <= byte <= 0x39


@njit(cache=True, nogil=True)
def name_at(text: np.ndarray, i: int, hashes: np.ndarray) -> tuple[int, int]:
    """Return the index of the known name that begins at ``i``, -1 for none, and the end of the name."""
    stop = i
    while stop < len(text) and stop - i <= LONGEST_NAME and is_name_byte(text[stop]):
        stop += 1
    if stop == i or stop - i > LONGEST_NAME or not is_letter(text[i]):
        return -1, stop
    return place_of(hashes, name_hash(text[i:stop])), stop


@njit(cache=True, nogil=True)
def names_in(text: np.ndarray, mask: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Return for each known name whether it is opened (1), closed (2) or both (3) in prose: (names,) uint8."""
    seen = np.zeros(len(hashes), dtype=np.uint8)
    for i in range(len(text) - 1):
        if text[i] == _LT and not mask[i]:
            closes = text[i + 1] == _SLASH
            index, stop = name_at(text, i + 1 + closes, hashes)
            if index >= 0 and stop < len(text) and (is_blank(text[stop]) or text[stop] == _SLASH or text[stop] == _GT):
                seen[index] |= 1 + closes
    return seen


@njit(cache=True, nogil=True)
def tag_at(text: np.ndarray, i: int, mask: np.ndarray, names) -> tuple[int, int]:  # type: ignore[no-untyped-def]
    """Return kind and end of the tag that begins at ``i``; kind 0 where it is text.

    ``names``: hashes, what they are, and how they occur in the text.
    """
    hashes, kinds, seen, _ = names
    closes = i + 1 < len(text) and text[i + 1] == _SLASH
    first = i + 1 + closes
    index, stop = name_at(text, first, hashes)
    if index < 0 or not kinds[index] & KIND or not _of_one_case(text[first:stop]):
        return 0, i
    end, limit = stop, stop + _LONGEST_ATTRIBUTES
    while end < len(text) and end <= limit and text[end] != _GT and text[end] != _LT and mask[end] != FENCED:
        limit += text[end] & 0xC0 == 0x80
        end += 1
    if end >= len(text) or end > limit or text[end] != _GT:
        return 0, i
    attributes = _attributes(text[stop:end], hashes, kinds)
    if attributes < 0 or not (attributes or seen[index] == 3 or kinds[index] & UNMISTAKABLE):
        return 0, i
    return kinds[index] & KIND, end + 1


@njit(cache=True, nogil=True)
def _of_one_case(name: np.ndarray) -> bool:
    lower, upper = False, False
    for byte in name:
        lower |= 0x61 <= byte <= 0x7A
        upper |= 0x41 <= byte <= 0x5A
    return not (lower and upper)


@njit(cache=True, nogil=True)
def _attributes(part: np.ndarray, hashes: np.ndarray, kinds: np.ndarray) -> int:
    """Return 0 for no attributes, 1 where the first one is an attribute's, -1 where it is not."""
    size, i = len(part), 0
    if size and not is_blank(part[0]) and part[0] != _SLASH:
        return -1
    while i < size and (is_blank(part[i]) or part[i] == _SLASH):
        i += 1
    if i == size:
        return 0
    first = i
    while i < size and (is_name_byte(part[i]) or part[i] == 0x2D or part[i] == 0x5F or part[i] == 0x3A):
        i += 1
    if i == first:
        return -1
    if i + 1 < size and part[i] == _EQUALS:
        return -1 if part[i + 1] == _EQUALS else 1
    index, stop = name_at(part, first, hashes)
    if index >= 0 and stop == i and kinds[index] & BOOLEAN:
        return 1
    while i < size and is_blank(part[i]):
        i += 1
    is_value = i + 1 < size and part[i] == _EQUALS
    i += 1
    while i < size and is_blank(part[i]):
        i += 1
    return 1 if is_value and i < size and (part[i] == 0x22 or part[i] == 0x27) else -1


@njit(cache=True, nogil=True)
def hidden_end(text: np.ndarray, i: int, mask: np.ndarray, names, unclosed) -> int:  # type: ignore[no-untyped-def]
    """Return where the comment or element without text that begins at ``i`` ends, ``i`` if none does.

    ``unclosed`` (names + 1,) int64 remembers up to where nothing ends, so that a text is searched once for each.
    """
    hashes, kinds, _, _ = names
    if i + 3 < len(text) and text[i + 1] == 0x21 and text[i + 2] == 0x2D and text[i + 3] == 0x2D:
        index, stop = len(hashes), i + 4
    else:
        index, stop = name_at(text, i + 1, hashes)
        if index < 0 or not kinds[index] & HIDDEN or stop >= len(text):
            return i
        if not is_blank(text[stop]) and text[stop] != _SLASH and text[stop] != _GT:
            return i
    if unclosed[index] > i:
        return i
    k = stop
    while k < len(text) and mask[k] != FENCED:
        if index == len(hashes):
            if text[k] == _GT and k >= stop + 2 and text[k - 1] == 0x2D and text[k - 2] == 0x2D:
                return k + 1
        elif text[k] == _LT and k + 1 < len(text) and text[k + 1] == _SLASH:
            other, end = name_at(text, k + 2, hashes)
            while other == index and end < len(text) and is_blank(text[end]):
                end += 1
            if other == index and end < len(text) and text[end] == _GT:
                return end + 1
        k += 1
    unclosed[index] = k
    return i


@njit(cache=True, nogil=True)
def declaration_end(text: np.ndarray, i: int, declarations: np.ndarray) -> int:
    """Return where ``<!DOCTYPE …>``, ``<?xml …?>`` or ``<![CDATA[`` at ``i`` ends, ``i`` where there is none.

    ``declarations``: (3, 9) uint8, how they begin.
    """
    if i + 9 >= len(text) or (text[i + 1] != 0x21 and text[i + 1] != 0x3F):
        return i
    if _starts(text, i, declarations[2]):
        return i + 9
    is_xml = _starts(text, i, declarations[1])
    if not is_xml and not _starts(text, i, declarations[0]):
        return i
    if is_name_byte(text[i + 5 if is_xml else i + 9]):
        return i
    for k in range(i + 5, min(len(text), i + _LONGEST_DECLARATION)):
        if text[k] == _LT:
            break
        if text[k] == _GT:
            return k + 1 if not is_xml or text[k - 1] == 0x3F else i
    return i


@njit(cache=True, nogil=True)
def _starts(text: np.ndarray, i: int, beginning: np.ndarray) -> bool:
    for k in range(len(beginning)):
        if beginning[k] and beginning[k] != text[i + k] and beginning[k] != text[i + k] & 0xDF:
            return False
    return True
