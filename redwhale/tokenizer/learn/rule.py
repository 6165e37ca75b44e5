"""The rule for new pieces (hangul.py), compiled: how many characters of Hangul a string of bytes is."""

from __future__ import annotations

import numpy as np
from numba import njit

from redwhale.tokenizer.hangul import HANGUL_BEGINNINGS


def _beginnings() -> np.ndarray:
    """Return which first two bytes certainly begin Hangul: (256, 256) bool; column 0 is for the first byte alone."""
    table = np.zeros((256, 256), dtype=np.bool_)
    for beginning in HANGUL_BEGINNINGS:
        table[beginning[0], beginning[1] if len(beginning) > 1 else 0] = True
    return table


_BEGINNINGS = _beginnings()


@njit(cache=True, nogil=True)
def is_hangul(character: int) -> bool:
    """Tell whether a code point is a Hangul syllable or jamo; U+318D is not."""
    return (
        0xAC00 <= character <= 0xD7A3
        or 0x1100 <= character <= 0x11FF
        or (0x3131 <= character <= 0x318E and character != 0x318D)
    )


@njit(cache=True, nogil=True)
def piece_characters(data: np.ndarray, start: int, stop: int, partial: bool) -> int:
    """Return the characters of ``data[start:stop]``, (…,) uint8, after at most one space; 0: it may not be added.

    ``partial`` allows an incomplete character at the end whose completions are all Hangul.
    """
    i, count = start, 0
    if i < stop and data[i] == 0x20:
        i += 1
    while i < stop:
        lead = data[i]
        if not 0xE1 <= lead <= 0xED:
            return 0
        if stop - i < 3:
            second = data[i + 1] if stop - i == 2 else 0
            return count + 1 if partial and _BEGINNINGS[lead, second] else 0
        if data[i + 1] & 0xC0 != 0x80 or data[i + 2] & 0xC0 != 0x80:
            return 0
        if not is_hangul((lead & 0x0F) << 12 | (data[i + 1] & 0x3F) << 6 | (data[i + 2] & 0x3F)):
            return 0
        i, count = i + 3, count + 1
    return count
