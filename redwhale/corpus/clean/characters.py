"""Classes of code points, and the kernels that read characters and take rare ones out of a buffer of texts."""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
from numba import njit

from redwhale.corpus.clean.splice import sealed
from redwhale.corpus.texts import Texts

# What a code point is to normalisation; bits of one table.
DROP, SPACE, NEWLINE, CARE, JOINED, WORD, DOT, JAMO = (1 << bit for bit in range(8))
_TABLE_SIZE = 0x30000
_TAGS = 0xE0000  # language tags, U+E0000 to U+E007F
FILLER, ARAEA = 0x3164, 0x318D
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
