"""Strings by number: every symbol and every join is stored once, and found by what it would be made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from redwhale.tokenizer.learn.rule import piece_characters
from redwhale.tokenizer.learn.state import ALLOWED, FORBIDDEN, NONE, POOL, STRINGS, UNKNOWN, UNRANKED, WALL

LONGEST_BYTES = 2048
"""Joins of more bytes are never looked up."""
_BASE = np.uint64(0x100000001B3)  # the prime of FNV-1a, here the base of a polynomial hash
_MIX = np.uint64(0x9E3779B97F4A7C15)


def _powers() -> np.ndarray:
    powers = [1]
    for _ in range(1, LONGEST_BYTES):
        powers.append(powers[-1] * int(_BASE) % 2**64)
    return np.array(powers, dtype=np.uint64)


_POWERS = _powers()


@njit(cache=True, nogil=True)
def hash_bytes(data: np.ndarray, start: int, stop: int) -> Any:
    """Return the polynomial hash of bytes; a join's follows from those of its halves."""
    value = np.uint64(0)
    for i in range(start, stop):
        value = value * _BASE + np.uint64(data[i]) + np.uint64(1)
    return value


@njit(cache=True, nogil=True)
def _slot(state: Any, value: Any) -> Any:
    return np.int64((value * _MIX) >> np.uint64(20)) & np.int64(len(state.table) - 1)


@njit(cache=True, nogil=True)
def find_join(state: Any, left: int, right: int, value: Any) -> int:
    """Return the number of the string ``left`` + ``right`` with hash ``value``, or -1 - its free slot."""
    size, first = state.lengths[left] + state.lengths[right], state.lengths[left]
    slot = _slot(state, value)
    while True:
        found = state.table[slot]
        if found == NONE:
            return -1 - slot
        if state.hashes[found] == value and state.lengths[found] == size:
            a, b, c = state.starts[found], state.starts[left], state.starts[right]
            same = True
            for i in range(size):
                other = state.pool[b + i] if i < first else state.pool[c + i - first]
                if state.pool[a + i] != other:
                    same = False
                    break
            if same:
                return found
        slot = (slot + 1) & np.int64(len(state.table) - 1)


@njit(cache=True, nogil=True)
def join_of(state: Any, left: int, right: int) -> int:
    """Return the string that two neighbours make, new ones stored and judged; NONE where no piece may be that."""
    if state.status[left] == WALL or state.status[right] == WALL:
        return NONE
    size = state.lengths[left] + state.lengths[right]
    if size >= LONGEST_BYTES:
        return NONE
    value = state.hashes[left] * _POWERS[state.lengths[right]] + state.hashes[right]
    found = find_join(state, left, right, value)
    if found < 0:
        slot = -1 - found
        if size > 3 * state.longest + 1:
            return NONE  # too long for a new piece, and no old one
        found = state.fill[STRINGS]
        _copy(state, left, right)
        state.hashes[found] = value
        state.table[slot] = found
    if state.status[found] == UNKNOWN:
        start = state.starts[found]
        count = piece_characters(state.pool, start, start + size, state.partial)
        state.status[found] = ALLOWED if 1 <= count <= state.longest else FORBIDDEN
    return found if state.status[found] == ALLOWED or state.ranks[found] != UNRANKED else NONE


@njit(cache=True, nogil=True)
def _copy(state: Any, left: int, right: int) -> None:
    """Store the bytes of two strings as the next one."""
    string, position = state.fill[STRINGS], state.fill[POOL]
    state.starts[string] = position
    for half in (left, right):
        start = state.starts[half]
        for i in range(state.lengths[half]):
            state.pool[position + i] = state.pool[start + i]
        position += state.lengths[half]
    state.lengths[string] = position - state.fill[POOL]
    state.fill[POOL] = position
    _begin(state, string, UNKNOWN)


@njit(cache=True, nogil=True)
def _begin(state: Any, string: int, status: int) -> None:
    """Give a new string its first entries."""
    state.status[string], state.ranks[string], state.heads[string] = status, UNRANKED, NONE
    state.counts[string], state.stamps[string], state.deltas[string] = 0, 0, 0
    state.fill[STRINGS] = string + 1


@njit(cache=True, nogil=True)
def store(state: Any, data: np.ndarray, offsets: np.ndarray, status: np.ndarray) -> None:
    """Store distinct strings in order: string i is ``data[offsets[i]:offsets[i + 1]]``; walls are not found again."""
    for i in range(len(offsets) - 1):
        string, position, size = state.fill[STRINGS], state.fill[POOL], offsets[i + 1] - offsets[i]
        state.pool[position : position + size] = data[offsets[i] : offsets[i + 1]]
        state.starts[string], state.lengths[string] = position, size
        state.hashes[string] = hash_bytes(data, offsets[i], offsets[i + 1])
        state.fill[POOL] = position + size
        _begin(state, string, status[i])
        if status[i] != WALL:
            slot = _slot(state, state.hashes[string])
            while state.table[slot] != NONE:
                slot = (slot + 1) & np.int64(len(state.table) - 1)
            state.table[slot] = string


@njit(cache=True, nogil=True)
def find_bytes(state: Any, data: np.ndarray) -> int:
    """Return the number of a string of bytes, or NONE."""
    value = hash_bytes(data, 0, len(data))
    slot = _slot(state, value)
    while True:
        found = state.table[slot]
        if found == NONE:
            return NONE
        start = state.starts[found]
        if state.hashes[found] == value and state.lengths[found] == len(data):
            same = True
            for i in range(len(data)):
                same = same and state.pool[start + i] == data[i]
            if same:
                return found
        slot = (slot + 1) & np.int64(len(state.table) - 1)


@njit(cache=True, nogil=True)
def fill_table(state: Any) -> None:
    """Enter all strings into an empty table."""
    for string in range(state.fill[STRINGS]):
        if state.status[string] != WALL:
            slot = _slot(state, state.hashes[string])
            while state.table[slot] != NONE:
                slot = (slot + 1) & np.int64(len(state.table) - 1)
            state.table[slot] = string


@njit(cache=True, nogil=True)
def before(state: Any, left: int, right: int) -> bool:
    """Tell whether one string stands before another in the order of bytes, which is that of code points."""
    a, b = state.starts[left], state.starts[right]
    size = min(state.lengths[left], state.lengths[right])
    for i in range(size):
        if state.pool[a + i] != state.pool[b + i]:
            return state.pool[a + i] < state.pool[b + i]
    return state.lengths[left] < state.lengths[right]
