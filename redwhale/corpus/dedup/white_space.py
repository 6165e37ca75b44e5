"""White space in UTF-8, the characters on which ``str.split`` splits: hashes and shingles leave it out."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def space_width(data: np.ndarray, at: int) -> int:
    """Return the bytes of the white space character that begins at ``at`` of valid UTF-8, or 0."""
    byte = data[at]
    if byte <= 0x20:
        return 1 if byte == 0x20 or 0x09 <= byte <= 0x0D or 0x1C <= byte <= 0x1F else 0
    if byte < 0xC2 or byte > 0xE3:
        return 0
    second = data[at + 1]
    if byte == 0xC2:
        return 2 if second == 0x85 or second == 0xA0 else 0
    if byte < 0xE1:
        return 0
    third = data[at + 2]
    if byte == 0xE2 and second == 0x80:  # U+2000 to 200A, 2028, 2029, 202F
        return 3 if third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF else 0
    if byte == 0xE2 and second == 0x81:
        return 3 if third == 0x9F else 0
    if byte == 0xE1:
        return 3 if second == 0x9A and third == 0x80 else 0
    return 3 if byte == 0xE3 and second == 0x80 and third == 0x80 else 0


@njit(cache=True, nogil=True)
def squeeze(data: np.ndarray, offsets: np.ndarray, out: np.ndarray, out_offsets: np.ndarray) -> None:
    """Copy texts without their white space to ``out``, and where each begins and ends to ``out_offsets``."""
    place = 0
    for text in range(len(offsets) - 1):
        at, end = offsets[text], offsets[text + 1]
        while at < end:
            width = space_width(data, at)
            if width:
                at += width
            else:
                out[place] = data[at]
                place += 1
                at += 1
        out_offsets[text + 1] = place
