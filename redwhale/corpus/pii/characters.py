"""Compiled look-ups of single characters of a UTF-8 buffer; positions are those of first bytes."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def folded(data, i, end):  # type: ignore[no-untyped-def]
    """Return the ASCII code that the character at ``i`` stands for (0 for none) and its width; see ``context.FOLD``."""
    if i >= end:
        return 0, 0
    lead = data[i]
    if lead < 0x80:
        return np.int64(lead), 1
    if lead < 0xE0:
        return (0x20 if lead == 0xC2 and data[i + 1] == 0xA0 else 0), 2
    if lead >= 0xF0:
        return 0, 4
    second, third = data[i + 1], data[i + 2]
    if lead == 0xEF and second == 0xBC and third >= 0x81:
        return np.int64(third) - 0x60, 3
    if lead == 0xEF and second == 0xBD and third <= 0x9E:
        return np.int64(third) - 0x20, 3
    if lead == 0xE2 and (
        (second == 0x80 and 0x90 <= third <= 0x95)
        or (second == 0x88 and third == 0x92)
        or (second == 0x94 and third == 0x80)
    ):
        return 0x2D, 3
    return (0x20 if lead == 0xE3 and second == 0x80 and third == 0x80 else 0), 3


@njit(cache=True, nogil=True)
def previous(data, i, first):  # type: ignore[no-untyped-def]
    """Return the start of the character before ``i``, or -1."""
    if i <= first:
        return -1
    i -= 1
    while data[i] & 0xC0 == 0x80:
        i -= 1
    return i


@njit(cache=True, nogil=True)
def aligned(data, i, end):  # type: ignore[no-untyped-def]
    """Move a position inside a character to its end."""
    while i < end and data[i] & 0xC0 == 0x80:
        i += 1
    return i


@njit(cache=True, nogil=True)
def is_separator(code):  # type: ignore[no-untyped-def]
    return code == 0x20 or 0x28 <= code <= 0x29 or code == 0x2B or 0x2D <= code <= 0x2F


@njit(cache=True, nogil=True)
def is_letter(code):  # type: ignore[no-untyped-def]
    return 0x41 <= code & ~0x20 <= 0x5A or code == 0x5F


@njit(cache=True, nogil=True)
def is_hex(code):  # type: ignore[no-untyped-def]
    return 0x30 <= code <= 0x39 or 0x61 <= code | 0x20 <= 0x66


@njit(cache=True, nogil=True)
def is_mail_code(code):  # type: ignore[no-untyped-def]
    letter = code | 0x20
    alphanumeric = 0x61 <= letter <= 0x7A or 0x30 <= code <= 0x39
    return alphanumeric or code == 0x25 or code == 0x2B or 0x2D <= code <= 0x2E or code == 0x5F
