"""Classes of code points, and the kernels that look for rare ones and take them out of a buffer of texts."""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
from numba import njit

from redwhale.corpus.clean.splice import sealed
from redwhale.corpus.texts import Texts

# What a code point is to normalisation; bits of one table.
DROP, SPACE, NEWLINE, CARE, JOINED, WORD, DOT, JAMO = (1 << bit for bit in range(8))
# What a text needs; bits of its flags.
REWRITE, FILLED, COMPOSE, UNTIDY = (1 << bit for bit in range(4))
_TABLE_SIZE = 0x30000
_TAGS = 0xE0000  # language tags, U+E0000 to U+E007F
_FILLER = 0x3164
_DROPPED = (
    "\x00-\x08\x0e-\x1b\x1f-\x1f\x7f-\x84\x86-\x9f\xad-\xad\u034f-\u034f\u061c-\u061c\u180e-\u180e\u200b-\u200b"
    "\u200e-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff-\ufeff\ufff9-\ufffb"
)
_SPACES = "\xa0-\xa0\u1680-\u1680\u2000-\u200a\u202f-\u202f\u205f-\u205f\u3000-\u3000\u3164-\u3164\uffa0-\uffa0"
# NEL, vertical tab, form feed and the two Unicode separators are line ends as well.
_NEWLINES = "\x0b-\x0d\x1c-\x1e\x85-\x85\u2028-\u2029"
# Joiners shape emoji and Indic and Arabic letters; everywhere else they are invisible noise.
_JOINED_RANGES = (
    "\u0600-\u0dff\u203c-\u203c\u2049-\u2049\u20e3-\u20e3\u2139-\u2139\u2190-\u2bff\u3030-\u3030\u303d-\u303d"
    "\u3297-\u3299\ufe0f-\ufe0f\U0001f000-\U0001faff"
)
_JOINERS = "\u200c-\u200d"
_HALF_WIDTH = "\uff61-\uff9f\uffa1-\uffdc"
_DOTS = "\u318d-\u318d\u2027-\u2027\u30fb-\u30fb"
_JAMO_RANGES = "\u1100-\u11ff\u3131-\u3163\u3165-\u318e\ua960-\ua97f\ud7b0-\ud7fb"


@cache
def character_classes() -> np.ndarray:
    """Return the class bits of each code point below U+30000: (0x30000,) uint8."""
    table = np.zeros(_TABLE_SIZE, dtype=np.uint8)
    for ranges, bit in (
        (_DROPPED, DROP),
        (_SPACES, SPACE),
        (_NEWLINES, NEWLINE),
        (_JOINERS, CARE),
        (_HALF_WIDTH, CARE),
        (_JOINED_RANGES, JOINED),
        (_DOTS, DOT),
        (_JAMO_RANGES, JAMO),
    ):
        for first, last in zip(ranges[::3], ranges[2::3], strict=True):
            table[ord(first) : ord(last) + 1] |= bit
    for code in range(_TABLE_SIZE):
        if 0xAC00 <= code <= 0xD7A3:
            continue
        character = chr(code)
        if character.isalnum() or code == 0x5F:
            table[code] |= WORD
        parts = unicodedata.decomposition(character)
        if unicodedata.combining(character) or (parts and parts[0] != "<" and _recomposes(character)):
            table[code] |= CARE
        if parts and parts[0] != "<" and " " in parts:
            table[int(parts.split()[1], 16)] |= CARE
    table[0xAC00:0xD7A4] |= WORD
    table[0x1161:0x1176] |= CARE
    table[0x11A8:0x11C3] |= CARE
    return table


def _recomposes(character: str) -> bool:
    """Tell whether NFC exchanges a character for others."""
    return unicodedata.normalize("NFC", character) != character


@cache
def newline_classes() -> np.ndarray:
    """Return the table that knows line ends only."""
    return character_classes() & np.uint8(NEWLINE)


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


def rewrite(texts: Texts, chosen: np.ndarray, classes: np.ndarray) -> Texts:
    """Unify line ends and spaces and drop the invisible, as far as ``classes`` say, in ``chosen`` (n,) bool texts."""
    if not chosen.any():
        return texts
    out = np.empty(len(texts.data), dtype=np.uint8)
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    _rewrite(texts.data, texts.offsets, chosen, classes, out, offsets)
    return sealed(out[: offsets[-1]], offsets)


@njit(cache=True, nogil=True)
def zero() -> int:
    """Return 0 as an integer of the machine: what is called with a literal first is compiled once more."""
    return np.int64(0)  # type: ignore[return-value]


@njit(cache=True, nogil=True)
def decode(data: np.ndarray, i: int) -> tuple[int, int]:
    """Return the code point at ``i`` of valid UTF-8 and its number of bytes."""
    lead = data[i]
    if lead < 0x80:
        return lead & 0x7F, 1
    if lead < 0xE0:
        return (lead & 0x1F) << 6 | data[i + 1] & 0x3F, 2
    if lead < 0xF0:
        return (lead & 0x0F) << 12 | (data[i + 1] & 0x3F) << 6 | data[i + 2] & 0x3F, 3
    code = (lead & 0x07) << 18 | (data[i + 1] & 0x3F) << 12
    return code | (data[i + 2] & 0x3F) << 6 | data[i + 3] & 0x3F, 4


@njit(cache=True, nogil=True)
def class_of(code: int, classes: np.ndarray) -> int:
    """Return the class bits of a code point."""
    if code < len(classes):
        return classes[code] & 0xFF
    return DROP if _TAGS <= code < _TAGS + 0x80 and classes[0] & DROP else 0


@njit(cache=True, nogil=True)
def is_syllable(code: int) -> bool:
    """Tell a modern Hangul syllable."""
    return 0xAC00 <= code <= 0xD7A3


@njit(cache=True, nogil=True)
def copied(part: np.ndarray, out: np.ndarray, end: int) -> int:
    """Write bytes at ``end`` of ``out`` and return where they end."""
    target = out[end : end + len(part)]
    for i in range(len(part)):
        target[i] = part[i]
    return end + len(part)


@njit(cache=True, nogil=True)
def before(text: np.ndarray, i: int) -> int:
    """Return the code point that ends at ``i``, 0 at the beginning."""
    if i == 0:
        return 0
    i -= 1
    while text[i] & 0xC0 == 0x80:
        i -= 1
    return decode(text, i)[0]


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
        return FILLED | REWRITE if code == _FILLER and _begins_syllable(text, i + 3) else REWRITE
    if kind & DOT:
        return UNTIDY
    if kind & CARE:
        if (code == 0x200C or code == 0x200D) and i + 3 < len(text) and class_of(before(text, i), classes) & JOINED:
            return 0 if class_of(decode(text, i + 3)[0], classes) & JOINED else COMPOSE
        return COMPOSE
    if 0x3131 <= code <= 0x314E and _is_vowel_at(text, i + 3) and not class_of(before(text, i), classes) & JAMO:
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
def _begins_syllable(text: np.ndarray, i: int) -> bool:
    return i < len(text) and 0x3131 <= decode(text, i)[0] <= 0x314E and _is_vowel_at(text, i + 3)


@njit(cache=True, nogil=True)
def _rewrite(data, offsets, chosen, classes, out, new_offsets):  # type: ignore[no-untyped-def]
    end = zero()
    for text in range(len(chosen)):
        i, stop = offsets[text], offsets[text + 1]
        if not chosen[text]:
            end = copied(data[i:stop], out, end)
            i = stop
        while i < stop:
            lead = data[i]
            if 0x20 <= lead < 0x7F or lead == 0x0A or lead == 0x09:
                out[end] = lead
                i, end = i + 1, end + 1
                continue
            code, length = decode(data, i)
            kind = class_of(code, classes)
            if kind & NEWLINE:
                out[end] = 0x0A
                end += 1
                if code == 0x0D and i + 1 < stop and data[i + 1] == 0x0A:
                    length = 2
            elif kind & SPACE:
                out[end] = 0x20
                end += 1
            elif not kind & DROP:
                for k in range(length):
                    out[end + k] = data[i + k]
                end += length
            i += length
        new_offsets[text + 1] = end
