"""Find the few places of a chunk where personal data can be: one pass over its bytes.

A region is a stretch of one text that holds every match of the patterns its cues name; the rules that judge
it (rules.py) look at nothing else but some characters around it. Regions are generous, never too small.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit

from redwhale.corpus.pii.characters import aligned, folded, is_hex, is_mail_code, previous
from redwhale.corpus.pii.digits import behind_plain_number, number
from redwhale.corpus.pii.regions import IPV6, MAIL, SPOKEN, SPOKEN_BYTES, emit
from redwhale.corpus.texts import Texts

_LOCAL_BYTES, _DOMAIN_BYTES = 3 * 66, 3 * 560  # of a mail address, full-width letters included
_IPV6_BYTES = 48


def find_regions(texts: Texts, *, places: bool) -> np.ndarray:
    """Return (regions, 4) int64 in order: text, first byte, byte after the last (both in ``data``), cues."""
    capacity = max(1024, len(texts.data) // 512)
    while True:
        regions = np.empty((capacity, 4), dtype=np.int64)
        count = _scan(texts.data, texts.offsets, _cues(), places, regions)
        if count >= 0:
            return regions[:count]
        capacity *= 4


@cache
def _cues() -> np.ndarray:
    """Return (256,) uint8: 1 for bytes at which to look closer."""
    cues = np.zeros(256, dtype=np.uint8)
    cues[list(b"0123456789@:([")] = 1
    cues[[0xEF, 0xE2]] = 1  # full-width forms, ⓐ
    cues[0xB3] = 1  # second byte of 공 (공일공) and 골 (골뱅이): rarer than their first
    return cues


@njit(cache=True, nogil=True)
def _scan(data, offsets, cue_bytes, places, regions):  # type: ignore[no-untyped-def]
    count = 0
    for text in range(len(offsets) - 1):
        first, last = offsets[text], offsets[text + 1]
        i = first
        while i < last:
            if cue_bytes[data[i]] == 0:
                i += 1
                continue
            lead = data[i]
            if lead <= 0x39 and not places:
                behind = behind_plain_number(data, i, last)
                if behind > i:
                    i = behind
                    continue
            if lead >= 0x80:
                if not _may_be_cue(data, i):
                    i += 1
                    continue
                i -= lead == 0xB3
            code, width = folded(data, i, last)
            if 0x30 <= code <= 0x39:
                i, count = number(data, (first, i, last), places, regions, text, count)
            else:
                start = stop = cues = 0
                if code == 0x3A:
                    start, stop, cues = _ipv6(data, first, i, last)
                else:
                    sign = _mail_sign(data, i, last)
                    if sign:
                        start, stop, cues = _mail(data, first, i, last, sign)
                    elif lead == 0xB3 and _is_spoken_010(data, i, last):
                        start, stop, cues = i, aligned(data, min(last, i + SPOKEN_BYTES), last), SPOKEN
                if cues:
                    count = emit(regions, count, text, start, stop, cues)
                i += width
            if count < 0:
                return count
    return count


@njit(cache=True, nogil=True)
def _may_be_cue(data, i):  # type: ignore[no-untyped-def]
    """Pass full-width forms, ⓐ, and the second byte of 공 and 골."""
    if i + 1 >= len(data):
        return False
    lead, second = data[i], data[i + 1]
    if lead == 0xB3:
        return (second == 0xB5 or second == 0xA8) and data[i - 1] == 0xEA
    return second == 0x93 if lead == 0xE2 else second == 0xBC or second == 0xBD


@njit(cache=True, nogil=True)
def _is_spoken_010(data, i, last):  # type: ignore[no-untyped-def]
    """Tell whether 공일공 stands at ``i``."""
    if i + 9 > last or data[i + 1] != 0xB3 or data[i + 2] != 0xB5 or data[i + 3] != 0xEC or data[i + 4] != 0x9D:
        return False
    return data[i + 5] == 0xBC and data[i + 6] == 0xEA and data[i + 7] == 0xB3 and data[i + 8] == 0xB5


@njit(cache=True, nogil=True)
def _mail_sign(data, i, last):  # type: ignore[no-untyped-def]
    """Return the width of an at sign at ``i``, written as @, ＠, ⓐ, [at], (at), [@], (@) or 골뱅이; else 0."""
    code, width = folded(data, i, last)
    if code == 0x40:
        return width
    if code == 0x5B or code == 0x28:
        inner, j = 0, i + width
        code, width = folded(data, j, last)
        if code == 0x40:
            inner = j + width
        elif code | 0x20 == 0x61:
            j += width
            code, width = folded(data, j, last)
            inner = j + width if code | 0x20 == 0x74 else 0
        if inner:
            code, width = folded(data, inner, last)
            if code == 0x5D or code == 0x29:
                return inner + width - i
        return 0
    if data[i] == 0xE2 and i + 3 <= last and data[i + 1] == 0x93 and data[i + 2] == 0x90:
        return 3
    if data[i] != 0xEA or i + 9 > last or data[i + 1] != 0xB3 or data[i + 2] != 0xA8 or data[i + 3] != 0xEB:
        return 0
    if data[i + 4] != 0xB1 or data[i + 5] != 0x85 or data[i + 6] != 0xEC or data[i + 7] != 0x9D:
        return 0
    return 9 if data[i + 8] == 0xB4 else 0


@njit(cache=True, nogil=True)
def _mail(data, first, i, last, sign):  # type: ignore[no-untyped-def]
    """Return start, stop and cue of a mail address around an at sign; cue 0 where there is none."""
    start = i
    before = previous(data, i, first)
    if before >= 0 and folded(data, before, last)[0] == 0x20:
        start, before = before, previous(data, before, first)
    local = start
    while before >= 0 and is_mail_code(folded(data, before, last)[0]) and i - before < _LOCAL_BYTES:
        local, before = before, previous(data, before, first)
    stop = i + sign
    code, width = folded(data, stop, last)
    if code == 0x20:
        stop += width
        code, width = folded(data, stop, last)
    domain, dots = stop, 0
    while is_mail_code(code) and stop - domain < _DOMAIN_BYTES:
        dots += code == 0x2E
        stop += width
        code, width = folded(data, stop, last)
    return local, stop, (MAIL if local < start and dots else 0)


@njit(cache=True, nogil=True)
def _ipv6(data, first, i, last):  # type: ignore[no-untyped-def]
    """Return start, stop and cue of four hexadecimal digits from 2 or 3 up, a colon and more."""
    start = i
    for _ in range(4):
        start = previous(data, start, first)
        if start < 0 or not is_hex(folded(data, start, last)[0]):
            return 0, 0, 0
    head = folded(data, start, last)[0]
    after, _ = folded(data, i + folded(data, i, last)[1], last)
    if not 0x32 <= head <= 0x33 or not (is_hex(after) or after == 0x3A):
        return 0, 0, 0
    stop = i
    code, width = folded(data, stop, last)
    while (is_hex(code) or code == 0x3A) and stop - start < 3 * _IPV6_BYTES:
        stop += width
        code, width = folded(data, stop, last)
    return start, stop, IPV6
