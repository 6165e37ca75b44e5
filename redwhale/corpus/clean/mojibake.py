"""Count the characters of Korean text that was decoded with the wrong encoding."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit

from redwhale.corpus.clean.characters import decode, zero
from redwhale.corpus.texts import Texts

# UTF-8 read as Latin-1 or Windows-1252: a lead byte, then continuation bytes or what 1252 makes of them.
_CONTINUATIONS = "\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u20ac\u2122\ufffd"
_LEAD, _CONTINUATION, _UPPER, _SIGN, _HAN, _SPACE = (1 << bit for bit in range(6))
_SHORTEST_UPPER = 4
_SHORTEST_RUN, _LONGEST_RUN = 3, 40
_REPLACEMENT = 0xFFFD


def count_mojibake(texts: Texts) -> tuple[np.ndarray, np.ndarray]:
    """Return for each text how many characters are mojibake and how many are no white space: (n,) int32 each.

    Mojibake are U+FFFD, UTF-8 or CP949 read as Latin-1, and UTF-8 read as CP949, whose runs give Hangul again.
    """
    counts = np.zeros((len(texts), 2), dtype=np.int32)
    _count(texts.data, texts.offsets, _kinds(), _cp949(), counts)
    return counts[:, 0], counts[:, 1]


@cache
def _kinds() -> np.ndarray:
    kinds = np.zeros(0x10000, dtype=np.uint8)
    kinds[0xC2:0xF5] |= _LEAD
    kinds[0x80:0xC0] |= _CONTINUATION
    kinds[0x2013:0x203B] |= _CONTINUATION
    kinds[[ord(character) for character in _CONTINUATIONS]] |= _CONTINUATION
    kinds[0xA1:0xFF] |= _UPPER
    kinds[0xA1:0xC0] |= _SIGN  # CP949 read as Latin-1 has signs among the letters
    kinds[[0xD7, 0xF7]] |= _SIGN
    kinds[0x4E00:0xA000] |= _HAN
    kinds[0xF900:0xFB00] |= _HAN
    kinds[[code for code in range(0x3001) if chr(code).isspace()]] |= _SPACE
    return kinds


@cache
def _cp949() -> np.ndarray:
    """Return the two bytes of each character in CP949, 0 for those it has not: (65536,) uint16."""
    table = np.zeros(0x10000, dtype=np.uint16)
    for lead in range(0x81, 0xFE):
        for trail in range(0x41, 0xFF):
            character = bytes([lead, trail]).decode("cp949", "ignore")
            if len(character) == 1 and ord(character) > 0x7F:
                table[ord(character)] = lead << 8 | trail
    return table


@njit(cache=True, nogil=True)
def _count(data, offsets, kinds, cp949, counts):  # type: ignore[no-untyped-def]
    telling = np.zeros(256, dtype=np.bool_)  # first bytes of characters beyond ASCII that are no syllables
    telling[0xC0:0xEA] = telling[0xEE:] = True
    for text in range(len(offsets) - 1):
        part = data[offsets[text] : offsets[text + 1]]
        ascii_spaces, characters, others = 0, 0, 0
        for byte in part:
            ascii_spaces += byte == 0x20 or 0x09 <= byte <= 0x0D or 0x1C <= byte <= 0x1F
            characters += byte & 0xC0 != 0x80
            others += byte >= 0x80
        spaces = 0
        if others:
            mojibake, spaces, has_han = _mojibake(part, kinds, telling)
            # Hangul's UTF-8 bytes give Chinese characters in CP949.
            counts[text, 0] = mojibake + (_korean_runs(part, cp949) if has_han else 0)
        counts[text, 1] = characters - ascii_spaces - spaces


@njit(cache=True, nogil=True)
def _mojibake(text: np.ndarray, kinds: np.ndarray, telling: np.ndarray) -> tuple[int, int, bool]:
    """Return the characters read as Latin-1 or replaced, those that are space beyond ASCII, and whether any is Han."""
    size, i = len(text), zero()
    replaced, latin, signs, spaces, has_han = 0, 0, 0, 0, False
    group_end, allowed, group = -1, 0, 0  # of a lead and its continuations: how many more there may be, how many are
    upper_end, upper, upper_signs = -1, 0, 0  # of a run of Latin-1's upper half
    while True:
        while i < size and not telling[text[i]]:
            i += 1
        if i == size:
            break
        code, length = decode(text, i)
        kind = kinds[code] & 0xFF if code < 0x10000 else 0
        if kind:
            replaced += code == _REPLACEMENT
            has_han |= kind & _HAN != 0
            spaces += kind & _SPACE != 0
            if kind & _LEAD:
                group_end, allowed, group = i + length, 3, 1
            elif kind & _CONTINUATION and allowed and group_end == i:
                latin += (1 if group > 1 else 2) - (code == _REPLACEMENT)
                group_end, allowed, group = i + length, allowed - 1, group + 1
            if kind & _UPPER:
                if upper_end != i:
                    signs += upper if upper >= _SHORTEST_UPPER and upper_signs else 0
                    upper = upper_signs = 0
                upper_end, upper, upper_signs = i + length, upper + 1, upper_signs + (kind & _SIGN != 0)
        i += length
    signs += upper if upper >= _SHORTEST_UPPER and upper_signs else 0
    return replaced + max(latin, signs), spaces, has_han


@njit(cache=True, nogil=True)
def _korean_runs(text: np.ndarray, cp949: np.ndarray) -> int:
    """Count characters in runs beyond ASCII, 40 at a time, whose CP949 bytes are UTF-8 with Hangul."""
    count, i = 0, zero()
    while i < len(text):
        if text[i] < 0x80:
            i += 1
            continue
        characters, first = 0, i
        while i < len(text) and text[i] >= 0x80 and (characters < _LONGEST_RUN or text[i] & 0xC0 == 0x80):
            characters += text[i] & 0xC0 != 0x80
            i += 1
        if characters >= _SHORTEST_RUN and _spells_hangul(text[first:i], cp949):
            count += characters
    return count


@njit(cache=True, nogil=True)
def _spells_hangul(run: np.ndarray, cp949: np.ndarray) -> bool:
    """Tell whether the CP949 bytes of a run are UTF-8 with Hangul."""
    i, code, pending, hangul = zero(), 0, 0, False
    while i < len(run):
        character, length = decode(run, i)
        i += length
        pair = cp949[character] & 0xFFFF if character < 0x10000 else 0
        for byte in (pair >> 8, pair & 0xFF):
            if pending:
                if byte & 0xC0 != 0x80:
                    return False
                code, pending = code << 6 | byte & 0x3F, pending - 1
            elif 0xC2 <= byte < 0xF5:
                pending = 1 + (byte >= 0xE0) + (byte >= 0xF0)
                code = byte & (0x3F >> pending)
            else:
                return False
            hangul |= pending == 0 and 0xAC00 <= code <= 0xD7A3
    return hangul and not pending
