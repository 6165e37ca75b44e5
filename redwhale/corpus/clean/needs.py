"""Kernels that tell what each text of a buffer needs to be in normal form: most need nothing."""

from __future__ import annotations

import numpy as np
from numba import njit

from redwhale.corpus.clean.characters import (
    ARAEA,
    CARE,
    DOT,
    DROP,
    FILLER,
    JAMO,
    JOINED,
    NEWLINE,
    SPACE,
    before,
    character_classes,
    class_of,
    decode,
    is_syllable,
    zero,
)
from redwhale.corpus.texts import Texts

# What a text needs; bits of its flags.
REWRITE, FILLED, COMPOSE, UNTIDY = (1 << bit for bit in range(4))


def flags_of(texts: Texts, *, of: np.ndarray | None = None) -> np.ndarray:
    """Say what each text, or each of some (n,) bool, needs: (n,) uint8 of ``REWRITE | FILLED | COMPOSE | UNTIDY``.

    ``FILLED`` has a syllable spelt after U+3164, ``COMPOSE`` characters that only Unicode's rules or the
    parse of jamo settle, ``UNTIDY`` white space to cut or a middle dot to judge.
    """
    flags = np.zeros(len(texts), dtype=np.uint8)
    chosen = np.ones(len(texts), dtype=np.bool_) if of is None else of
    _scan(texts.data, texts.offsets, character_classes(), chosen, flags)
    return flags


def have_other_newlines(texts: Texts) -> np.ndarray:
    """Tell which texts have line ends other than ``\\n``: (n,) bool."""
    found = np.zeros(len(texts), dtype=np.bool_)
    _find_newlines(texts.data, texts.offsets, found)
    return found


def lines_to_compose(texts: Texts, chosen: np.ndarray) -> list[tuple[int, int]]:
    """Return start and end in ``data`` of each line that has cause for ``COMPOSE``, in ``chosen`` (n,) bool texts."""
    return _lines(texts.data, texts.offsets, character_classes(), chosen) if chosen.any() else []


@njit(cache=True, nogil=True)
def _scan(data: np.ndarray, offsets: np.ndarray, classes: np.ndarray, chosen: np.ndarray, flags: np.ndarray) -> None:
    for text in range(len(chosen)):
        if chosen[text]:
            part = data[offsets[text] : offsets[text + 1]]
            found, i, telling = 0, zero(), _telling_bytes(part)
            while i < len(part):
                i, need = _next_need(part, i, classes, telling)
                found |= need
            if len(part) and (part[0] == 0x0A or part[-1] == 0x0A or part[-1] == 0x20 or part[-1] == 0x09):
                found |= UNTIDY
            flags[text] = found


@njit(cache=True, nogil=True)
def _next_need(text: np.ndarray, i: int, classes: np.ndarray, telling: np.ndarray) -> tuple[int, int]:
    """Return the end of the first character from ``i`` that needs something and what, or the end of the text and 0."""
    size = len(text)
    while True:
        while i < size and not telling[text[i]]:
            i += 1
        if i == size:
            return size, 0
        lead = text[i]
        if 0xEA <= lead <= 0xED and is_syllable(decode(text, i)[0]):
            i += 3
        elif lead == 0x0A:
            i += 1
            spare = i > 3 and text[i - 2] == 0x0A and text[i - 3] == 0x0A and text[i - 4] == 0x0A
            if spare or (i > 1 and (text[i - 2] == 0x20 or text[i - 2] == 0x09)):
                return i, UNTIDY
        else:
            code, length = decode(text, i)
            need = _need(text, i, code, classes)
            i += length
            if need:
                return i, need


@njit(cache=True, nogil=True)
def _telling_bytes(text: np.ndarray) -> np.ndarray:
    """Return which bytes may begin a character that needs something: (256,) bool.

    Most text is printing ASCII and modern syllables. Of those that begin with EA and ED in UTF-8 the others are
    counted first, by loops without an exit, which compile to vector instructions.
    """
    telling = np.zeros(256, dtype=np.bool_)
    telling[:0x20], telling[0x7F], telling[0xC0:] = True, True, True
    telling[0x09] = telling[0xEB] = telling[0xEC] = False
    before, behind = 0, 0
    for k in range(len(text) - 1):
        before += (text[k] == 0xEA) & (text[k + 1] < 0xB0)
        behind += (text[k] == 0xED) & (text[k + 1] >= 0x9E)
    telling[0xEA], telling[0xED] = before > 0, behind > 0
    return telling


@njit(cache=True, nogil=True)
def _need(text: np.ndarray, i: int, code: int, classes: np.ndarray) -> int:
    """Return what a text needs on account of the rare character at ``i``."""
    kind = class_of(code, classes)
    if kind & (DROP | NEWLINE):
        return REWRITE
    if kind & SPACE:
        return FILLED | REWRITE if code == FILLER and _begins_syllable(text, i + 3) else REWRITE
    if kind & DOT:
        return UNTIDY
    if kind & CARE:
        if (code == 0x200C or code == 0x200D) and i + 3 < len(text) and class_of(before(text, i), classes) & JOINED:
            return 0 if class_of(decode(text, i + 3)[0], classes) & JOINED else COMPOSE
        return COMPOSE
    if 0x3131 <= code <= 0x314E and _is_vowel_at(text, i + 3) and _begins_run(text, i, classes):
        return COMPOSE
    return 0


@njit(cache=True, nogil=True)
def _find_newlines(data: np.ndarray, offsets: np.ndarray, found: np.ndarray) -> None:
    for text in range(len(found)):
        part = data[offsets[text] : offsets[text + 1]]
        newlines = 0
        for byte in part:  # loops without an exit compile to vector instructions
            newlines += byte < 0x20 and byte != 0x0A and byte != 0x09
        for k in range(len(part) - 1):
            newlines += part[k] == 0xC2 and part[k + 1] == 0x85
        for k in range(len(part) - 2):
            newlines += part[k] == 0xE2 and part[k + 1] == 0x80 and part[k + 2] & 0xFE == 0xA8
        found[text] = newlines > 0


@njit(cache=True, nogil=True)
def _lines(data: np.ndarray, offsets: np.ndarray, classes: np.ndarray, chosen: np.ndarray) -> list[tuple[int, int]]:
    """Return start and end of each line with a character that needs composing, in ``chosen`` texts."""
    lines = [(0, 0) for _ in range(0)]
    for text in range(len(chosen)):
        if not chosen[text]:
            continue
        first, part = offsets[text], data[offsets[text] : offsets[text + 1]]
        i, telling = zero(), _telling_bytes(part)
        while i < len(part):
            i, need = _next_need(part, i, classes, telling)
            if need & COMPOSE:
                start = i - 1
                while start and part[start - 1] != 0x0A:
                    start -= 1
                while i < len(part) and part[i] != 0x0A:
                    i += 1
                lines.append((first + start, first + i))
    return lines


@njit(cache=True, nogil=True)
def _is_vowel_at(text: np.ndarray, i: int) -> bool:
    return i < len(text) and 0x314F <= decode(text, i)[0] <= 0x3163


@njit(cache=True, nogil=True)
def _begins_run(text: np.ndarray, i: int, classes: np.ndarray) -> bool:
    """Tell whether no jamo stands before ``i``: a dot behind a syllable is none, as in ``compose_jamo``."""
    previous = before(text, i)
    return not class_of(previous, classes) & JAMO or (previous == ARAEA and is_syllable(before(text, i - 3)))


@njit(cache=True, nogil=True)
def _begins_syllable(text: np.ndarray, i: int) -> bool:
    return i < len(text) and 0x3131 <= decode(text, i)[0] <= 0x314E and _is_vowel_at(text, i + 3)
