"""Cap runs of one jamo, mark or emoji."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit

from redwhale.corpus.clean.characters import decode
from redwhale.corpus.clean.code import code_mask
from redwhale.corpus.clean.splice import sealed
from redwhale.corpus.texts import Texts

_FIRST_EMOJI, _LAST_EMOJI = 0x1F000, 0x1FAFF
# Signs that mark lines, tables and emphasis in Markdown are not among them.
_MARKS = "!?~^.,;:…·。、！？～〜♡♥❤★☆♪♬"


def cap_repeats(texts: Texts, longest: int) -> Texts:
    """Cut runs of one jamo, mark or emoji outside code to ``longest`` characters: ``ㅋㅋㅋㅋ`` to ``ㅋㅋ`` for 2."""
    out = np.empty(len(texts.data), dtype=np.uint8)
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    _cap(texts.data, texts.offsets, code_mask(texts), _capped(), longest, out, offsets)
    return sealed(out[: offsets[-1]], offsets)


@cache
def _capped() -> np.ndarray:
    """Return which code points are capped: (65536,) bool."""
    capped = np.zeros(0x10000, dtype=np.bool_)
    capped[0x3131:0x3164] = True
    capped[[ord(mark) for mark in _MARKS]] = True
    return capped


@njit(cache=True, nogil=True)
def _cap(data, offsets, mask, capped, longest, out, new_offsets):  # type: ignore[no-untyped-def]
    end = 0
    for text in range(len(offsets) - 1):
        i, run, previous = offsets[text], 0, -1
        while i < offsets[text + 1]:
            code, length = decode(data, i)
            is_capped = capped[code] if code < len(capped) else _FIRST_EMOJI <= code <= _LAST_EMOJI
            run = run + 1 if code == previous else 1
            if not is_capped or mask[i] or run <= longest:
                for k in range(length):
                    out[end + k] = data[i + k]
                end += length
            previous = code
            i += length
        new_offsets[text + 1] = end
