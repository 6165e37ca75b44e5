"""Fold text to what decides whether two writings say the same: letters and digits, whatever stands between them.

White space, punctuation, symbols and emoticons go (reposts differ in all of them), case and width are folded.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
from numba import njit

from redwhale.corpus.clean.characters import decode

JOINED, EOJEOL, SENTENCE, LINE = range(4)
"""What stands before a folded character: nothing, a gap between eojeols, the end of a sentence, of a line."""

_CODES = 0x10000
_NEWLINES = "\n\r\v\f\x85\u2028\u2029"
_SENTENCE_ENDS = '\t.?!…。．？！‼⁇⁈⁉:;：；|•‣▪■□▶▷※"“”„「」『』《》〈〉()[]{}<>（）［］｛｝＜＞~^*#_=♡♥★☆'
# Lone and conjoining jamo: ㅋㅋ and ㅠㅠ vary in length and are capped by cleaning, so they are not text here.
_JAMO = ((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xD7B0, 0xD7FF), (0xFFA0, 0xFFDC))
_MIDDLE_DOT = 0x318D


@cache
def folding() -> np.ndarray:
    """Return for each character of the basic plane what it folds to: (65536,) uint16.

    Values up to `LINE` mean that the character goes and what gap it leaves. Characters beyond the basic plane
    (emoji above all) count as character 0.
    """
    table = np.zeros(_CODES, dtype=np.uint16)
    for code in range(1, _CODES):
        table[code] = _folded(chr(code))
    table[0] = SENTENCE  # what the kernels read for emoji
    return table


def _folded(character: str) -> int:
    code = ord(character)
    if any(first <= code <= last for first, last in _JAMO):
        return EOJEOL if code == _MIDDLE_DOT else SENTENCE
    if character in _NEWLINES:
        return LINE
    if character in _SENTENCE_ENDS:
        return SENTENCE
    if unicodedata.category(character) in ("Cf", "Mn", "Me", "Cs"):
        return JOINED
    plain = unicodedata.normalize("NFKC", character).casefold()
    folded = plain if len(plain) == 1 else character
    return ord(folded) if folded.isalnum() and ord(folded) < _CODES else EOJEOL


@njit(cache=True, nogil=True)
def folded_at(data, place, table):  # type: ignore[no-untyped-def]
    """Return what the character at a byte is folded to, and its width in bytes; none beyond the basic plane stays."""
    code, width = decode(data, place)
    return np.int64(table[code if code < _CODES else 0]), width


@njit(cache=True, nogil=True)
def fold_text(data, start, end, table, codes, gaps, marks):  # type: ignore[no-untyped-def]
    """Fold ``data[start:end]`` and return the number n of characters that stay.

    Fills ``codes``, (n,) uint16; ``gaps``, (n + 1,) uint8, the strongest gap before each character and, last, the
    end; ``marks``, (n / 64 + 1,) int64, the byte of every 64th character.
    """
    count = 0
    gap = np.int64(LINE)
    place = start
    while place < end:
        folded, width = folded_at(data, place, table)
        if folded > LINE:
            codes[count] = folded
            gaps[count] = gap
            if count & 63 == 0:
                marks[count >> 6] = place
            count += 1
            gap = np.int64(JOINED)
        elif folded > gap:
            gap = folded
        place += width
    gaps[count] = LINE
    return count
