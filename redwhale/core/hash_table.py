"""Open-addressing tables from 64-bit keys to records, read in place from a mapped file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

EMPTY = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_MULTIPLIER = np.uint64(0x9E37_79B9_7F4A_7C15)
_HIGHEST_LOAD = 0.75


def table_bits(entries: int) -> int:
    """Return the smallest power of two, as its exponent, that holds ``entries`` at a load of at most 3/4."""
    return max(1, int(np.ceil(np.log2(max(1, entries) / _HIGHEST_LOAD))))


def empty_table(slots: int, dtype: np.dtype) -> np.ndarray:
    """Return a table of empty records: (slots,) of a structured dtype with a uint64 field ``key``."""
    table = np.zeros(slots, dtype=dtype)
    table["key"] = EMPTY
    return table


@njit(cache=True, nogil=True)
def find(table: Any, first: int, bits: int, key: int) -> int:
    """Return the slot of ``key`` in the 2^bits slots from ``first``, or -1 - slot of the free one where it belongs."""
    mask = (np.int64(1) << bits) - np.int64(1)
    wanted = np.uint64(key)
    slot: Any = np.int64((wanted * _MULTIPLIER) >> np.uint64(64 - bits))
    while True:
        found = table[first + slot].key
        if found == wanted:
            return first + slot
        if found == EMPTY:
            return -1 - first - slot
        slot = (slot + np.int64(1)) & mask


@njit(cache=True, nogil=True)
def insert(table: Any, first: int, bits: int, keys: np.ndarray, slots: np.ndarray) -> None:
    """Insert distinct ``keys``, (n,) uint64, in order; their slots go to ``slots``, (n,) int64."""
    for i in range(len(keys)):
        slot = -1 - find(table, first, bits, keys[i])
        table[slot].key = keys[i]
        slots[i] = slot
