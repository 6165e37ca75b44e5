"""Names of HTML elements and what stands in the text in their place."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit

BLOCK, CELL, INLINE, BREAK = 1, 2, 3, 4
KIND, UNMISTAKABLE, HIDDEN, BOOLEAN = 0x07, 0x08, 0x10, 0x20
LONGEST_NAME = 16

_BLOCKS = """
p div table tr thead tbody tfoot ul ol li dl dt dd h1 h2 h3 h4 h5 h6 blockquote pre hr html head body title
article aside section header footer nav main figure figcaption form option center address details summary
caption legend fieldset iframe select textarea
"""
_INLINES = """
a b i u q em strong small big sub sup span font code kbd samp var mark time data cite abbr label img map area
input button link meta base object embed param source track video audio canvas dialog menu output picture strike
del ins tt nobr wbr ruby rt rp col colgroup dfn bdi bdo acronym
"""
# Names that no prose or program text uses in angle brackets: tags even without attributes or a partner.
_UNMISTAKABLE_NAMES = """
p br hr div span strong em table tr td th thead tbody tfoot ul ol li dl dt dd h1 h2 h3 h4 h5 h6 img sup sub
blockquote pre iframe html head body meta nobr font center strike tt figcaption colgroup wbr
"""
_HIDDEN_NAMES = "script style noscript template svg"  # what stands in these is not text
_BOOLEAN_ATTRIBUTES = """
allowfullscreen async autofocus autoplay checked compact controls default defer disabled hidden ismap loop
multiple muted noshade nowrap open readonly required reversed selected
"""


@cache
def element_names() -> tuple[np.ndarray, np.ndarray]:
    """Return the hashes of names in rising order, (n,) uint64, and what each is, (n,) uint8."""
    kinds: dict[str, int] = {}
    for names, kind in ((_BLOCKS, BLOCK), ("td th", CELL), (_INLINES, INLINE), ("br", BREAK)):
        kinds |= dict.fromkeys(names.split(), kind)
    for names, bit in (
        (_UNMISTAKABLE_NAMES, UNMISTAKABLE),
        (_HIDDEN_NAMES, HIDDEN),
        (_BOOLEAN_ATTRIBUTES, BOOLEAN),
    ):
        kinds |= {name: kinds.get(name, 0) | bit for name in names.split()}
    hashes = {int(name_hash(np.frombuffer(name.encode(), dtype=np.uint8))): kind for name, kind in kinds.items()}
    order = sorted(hashes)
    return np.array(order, dtype=np.uint64), np.array([hashes[value] for value in order], dtype=np.uint8)


@cache
def declarations() -> np.ndarray:
    """Return how declarations begin, in capitals: (3, 9) uint8, 0 after a shorter one."""
    return np.array([list(b"<!DOCTYPE"), list(b"<?XML\0\0\0\0"), list(b"<![CDATA[")], dtype=np.uint8)


@njit(cache=True, nogil=True)
def name_hash(name: np.ndarray) -> np.uint64:
    """Return a 64-bit hash of an ASCII name whatever its case."""
    value = np.uint64(14695981039346656037)
    for byte in name:
        lower = byte | 0x20 if 0x41 <= byte <= 0x5A else byte
        value = (value ^ np.uint64(lower)) * np.uint64(1099511628211)
    return value


@njit(cache=True, nogil=True)
def place_of(keys: np.ndarray, key: int | np.uint64) -> int:
    """Return the place of ``key`` among rising ``keys``, -1 where it is not among them."""
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low if low < len(keys) and keys[low] == key else -1
