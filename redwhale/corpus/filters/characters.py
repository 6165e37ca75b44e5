"""Characters of a text as numbers: code point, kind, and the region of the text it stands in."""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
from numba import njit

# Kinds of characters.
SYMBOL, PUNCTUATION, DIGIT, SPACE, SYLLABLE, JAMO, LATIN, HAN, KANA, CYRILLIC, OTHER_LETTER, MARK = range(12)
KINDS = 12
KIND_BITS = 15
TERMINAL = 16
NOTABLE = 32
"""Flags beside the kind: the character can end a sentence; it is one that ``lines.count_marks`` looks at."""
# Regions of a text; the first three are what `clean.code.code_mask` says.
PROSE, FENCED, INLINE, ADDRESS, TARGET = range(5)
REGIONS = 5
_LAST_CODE = 0x32400
_FIRST_SYLLABLE, _LAST_SYLLABLE = 0xAC00, 0xD7A3
_NEWLINE, _COLON, _OPEN, _CLOSE, _OPEN_SQUARE, _CLOSE_SQUARE, _SLASH = 0x0A, 0x3A, 0x28, 0x29, 0x5B, 0x5D, 0x2F
_TARGET_CHARS = 1000
# What datatrove counts as punctuation, a full-width 1 included, and the sentence ends that Korean text can hold.
_PUNCTUATION = "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
_TERMINAL = ".?!。！？．｡‼‽⁇⁈⁉﹒﹖﹗"
_NOTABLE = "\n#{.…jJlL"
_JAMO_BLOCKS = ((0x1100, 0x11FF), (0x3131, 0x318E), (0xA960, 0xA97C), (0xD7B0, 0xD7FB))


@cache
def kind_table() -> np.ndarray:
    """Return the kind and flags of each code point below U+32401 (uint8); the last entry serves all above."""
    table = np.zeros(_LAST_CODE + 1, dtype=np.uint8)
    for code in range(_LAST_CODE):
        if 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAD9 or code >= 0x20000:
            table[code] = HAN
        elif _FIRST_SYLLABLE <= code <= _LAST_SYLLABLE:
            table[code] = SYLLABLE
        else:
            table[code] = _kind(chr(code))
    for first, last in _JAMO_BLOCKS:
        table[first : last + 1] = JAMO
    for character in _PUNCTUATION:
        table[ord(character)] = PUNCTUATION
    for character in _TERMINAL:
        table[ord(character)] = PUNCTUATION | TERMINAL
    for character in _NOTABLE:
        table[ord(character)] |= NOTABLE
    return table


def _kind(character: str) -> int:
    if character.isspace():
        return SPACE
    category = unicodedata.category(character)
    if category[0] == "L":
        name = unicodedata.name(character, "")
        for script, kind in (("LATIN", LATIN), ("FULLWIDTH LATIN", LATIN), ("CYRILLIC", CYRILLIC), ("CJK", HAN)):
            if name.startswith(script):
                return kind
        return KANA if name.startswith(("HIRAGANA", "KATAKANA")) else OTHER_LETTER
    if category == "Cc":
        return PUNCTUATION
    return {"M": MARK, "N": DIGIT, "Z": SPACE}.get(category[0], SYMBOL)


@njit(cache=True, nogil=True)
def decode(text: np.ndarray, code: np.ndarray, table: np.ndarray, out: tuple) -> int:
    """Write code points (int32), kinds (uint8) and regions (uint8) of one text to ``out``; return how many."""
    points, kinds, regions = out
    # Unsigned indices spare the check for negative ones.
    n, i, one = np.uint64(0), np.uint64(0), np.uint64(1)
    two, three, size = np.uint64(2), np.uint64(3), np.uint64(len(text))
    while i < size:
        byte = text[i]
        regions[n] = code[i]
        if 0xE0 <= byte < 0xF0:
            point = (np.int32(byte) & 0xF) << 12 | (np.int32(text[i + one]) & 0x3F) << 6 | (text[i + two] & 0x3F)
            i += three
        elif byte < 0x80:
            point, i = np.int32(byte), i + one
        elif byte < 0xE0:
            point, i = (np.int32(byte) & 0x1F) << 6 | (text[i + one] & 0x3F), i + two
        else:
            point = (np.int32(byte) & 7) << 18 | (np.int32(text[i + one]) & 0x3F) << 12
            point |= (np.int32(text[i + two]) & 0x3F) << 6 | (text[i + three] & 0x3F)
            i += two + two
        points[n] = point
        kinds[n] = SYLLABLE if _FIRST_SYLLABLE <= point <= _LAST_SYLLABLE else table[min(point, _LAST_CODE)]
        n += one
    return int(n)


@njit(cache=True, nogil=True)
def mark_addresses(points: np.ndarray, kinds: np.ndarray, regions: np.ndarray) -> None:
    """Take addresses (``https://…``) and the targets of Markdown links out of the prose."""
    i = 1
    while i < len(points) - 2:
        if points[i] == _COLON and points[i + 1] == _SLASH and points[i + 2] == _SLASH and regions[i] == PROSE:
            start = i
            while start > 0 and kinds[start - 1] & KIND_BITS == LATIN and points[start - 1] < 0x80:
                start -= 1
            stop = i + 3
            while (
                stop < len(points) and points[stop] < 0x80 and points[stop] > 0x20 and not _ends_address(points[stop])
            ):
                stop += 1
            if start < i and stop > i + 3:
                regions[start:stop] = ADDRESS
            i = stop
        elif points[i] == _CLOSE_SQUARE and points[i + 1] == _OPEN and regions[i] == PROSE:
            stop = i + 2
            while (
                stop < min(len(points), i + 2 + _TARGET_CHARS) and points[stop] != _CLOSE and _in_target(points[stop])
            ):
                stop += 1
            if stop < len(points) and points[stop] == _CLOSE:
                regions[i + 1 : stop + 1] = TARGET
                i = stop
            i += 1
        else:
            i += 1


@njit(cache=True, nogil=True)
def _ends_address(point: int) -> bool:
    return point in (0x22, 0x27, 0x3C, 0x3E, _OPEN, _CLOSE)


@njit(cache=True, nogil=True)
def _in_target(point: int) -> bool:
    return point != _OPEN and point != _NEWLINE


@njit(cache=True, nogil=True)
def count_kinds(kinds: np.ndarray, regions: np.ndarray, counts: np.ndarray) -> None:
    """Add the number of characters of each kind in each region to ``counts`` (regions, kinds)."""
    # Equal neighbours would wait for each other: even and odd places are counted apart.
    even, odd = np.zeros(REGIONS * 16, dtype=np.int64), np.zeros(REGIONS * 16, dtype=np.int64)
    paired = len(kinds) - len(kinds) % 2
    for i in range(0, paired, 2):
        even[regions[i] << 4 | kinds[i] & KIND_BITS] += 1
        odd[regions[i + 1] << 4 | kinds[i + 1] & KIND_BITS] += 1
    if paired < len(kinds):
        even[regions[paired] << 4 | kinds[paired] & KIND_BITS] += 1
    for region in range(REGIONS):
        for kind in range(KINDS):
            counts[region, kind] += even[region << 4 | kind] + odd[region << 4 | kind]
