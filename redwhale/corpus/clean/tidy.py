"""Kernels for middle dots, white space and repeated marks: what Unicode's rules leave to be settled."""

from __future__ import annotations

import numpy as np
from numba import njit

from redwhale.corpus.clean.characters import (
    ARAEA,
    DOT,
    JAMO,
    before,
    character_classes,
    class_of,
    copied,
    decode,
    is_syllable,
    zero,
)
from redwhale.corpus.clean.splice import sealed
from redwhale.corpus.texts import Texts

_MOST_NEWLINES = 3


def tidy(texts: Texts, chosen: np.ndarray) -> Texts:
    """Unify middle dots beside modern Hangul and cut spare white space in the ``chosen`` (n,) bool texts.

    Blanks at line ends go, blank lines above two in a row, and blank lines at both ends of a text.
    """
    if not chosen.any():
        return texts
    out = np.empty(len(texts.data), dtype=np.uint8)
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    _tidy(texts.data, texts.offsets, chosen, character_classes(), out, offsets)
    return sealed(out[: offsets[-1]], offsets)


@njit(cache=True, nogil=True)
def _tidy(data, offsets, chosen, classes, out, new_offsets):  # type: ignore[no-untyped-def]
    end = zero()
    for text in range(len(chosen)):
        part = data[offsets[text] : offsets[text + 1]]
        if chosen[text]:
            end += _tidy_text(part, classes, out[end:])
        else:
            end = copied(part, out, end)
        new_offsets[text + 1] = end


@njit(cache=True, nogil=True)
def _tidy_text(text: np.ndarray, classes: np.ndarray, out: np.ndarray) -> int:
    size, i, end, newlines = len(text), zero(), zero(), 0
    while i < size:
        lead = text[i]
        if lead == 0x0A:
            end = _without_blanks(out, end)
            newlines = newlines + 1 if end and out[end - 1] == 0x0A else 1
            if end and newlines <= _MOST_NEWLINES:
                out[end] = lead
                end += 1
            i += 1
        elif lead < 0xE2 or lead >= 0xE4:
            out[end] = lead
            i, end = i + 1, end + 1
        else:
            code, _ = decode(text, i)
            if class_of(code, classes) & DOT:
                i, end = _dots(text, i, classes, out, end)
            else:
                out[end], out[end + 1], out[end + 2] = lead, text[i + 1], text[i + 2]
                i, end = i + 3, end + 3
    end = _without_blanks(out, end)
    while end and out[end - 1] == 0x0A:
        end = _without_blanks(out, end - 1)
    return end


@njit(cache=True, nogil=True)
def _without_blanks(out: np.ndarray, end: int) -> int:
    while end and (out[end - 1] == 0x20 or out[end - 1] == 0x09):
        end -= 1
    return end


@njit(cache=True, nogil=True)
def _dots(text: np.ndarray, i: int, classes: np.ndarray, out: np.ndarray, end: int) -> tuple[int, int]:
    """Write the run of dots at ``i`` and return where it ends in both buffers.

    A dot beside a modern syllable is a middle dot. U+318D is a jamo only among jamo; between digits,
    brackets and letters it is the keyboard's middle dot.
    """
    size, stop = len(text), i
    while stop + 2 < size and text[stop] & 0xF0 == 0xE0 and class_of(decode(text, stop)[0], classes) & DOT:
        stop += 3
    previous = before(text, i)
    after = decode(text, stop)[0] if stop < size else 0
    first, last = i, stop - 3
    if is_syllable(previous):
        end = _middle_dot(out, end)
        first, previous = i + 3, 0xB7
    if last >= first and is_syllable(after):
        last, after = last - 3, 0xB7
    at = first
    while at <= last:
        if decode(text, at)[0] != ARAEA:
            out[end], out[end + 1], out[end + 2] = text[at], text[at + 1], text[at + 2]
            at, end, previous = at + 3, end + 3, 0
            continue
        until = at
        while until <= last and decode(text, until)[0] == ARAEA:
            until += 3
        beyond = after if until > last else 0
        is_jamo = class_of(previous, classes) & JAMO or class_of(beyond, classes) & JAMO
        while at < until:
            if is_jamo:
                out[end], out[end + 1], out[end + 2] = text[at], text[at + 1], text[at + 2]
                end += 3
            else:
                end = _middle_dot(out, end)
            at += 3
    if last < stop - 3:
        end = _middle_dot(out, end)
    return stop, end


@njit(cache=True, nogil=True)
def _middle_dot(out: np.ndarray, end: int) -> int:
    out[end], out[end + 1] = 0xC2, 0xB7
    return end + 2
