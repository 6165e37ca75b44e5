"""A queue of joins, the most frequent first and equals in code point order."""

from __future__ import annotations

from typing import Any

from numba import njit

from redwhale.tokenizer.learn.state import HEAP
from redwhale.tokenizer.learn.strings import before


@njit(cache=True, nogil=True)
def _ahead(state: Any, one: int, other: int) -> bool:
    if state.heap_counts[one] != state.heap_counts[other]:
        return state.heap_counts[one] > state.heap_counts[other]
    return before(state, state.heap_strings[one], state.heap_strings[other])


@njit(cache=True, nogil=True)
def _swap(state: Any, one: int, other: int) -> None:
    counts, strings = state.heap_counts, state.heap_strings
    counts[one], counts[other] = counts[other], counts[one]
    strings[one], strings[other] = strings[other], strings[one]


@njit(cache=True, nogil=True)
def push(state: Any, string: int, count: int) -> None:
    """Add a string with its count of now."""
    at = state.fill[HEAP]
    state.heap_counts[at], state.heap_strings[at] = count, string
    state.fill[HEAP] = at + 1
    while at > 0 and _ahead(state, at, (at - 1) // 2):
        _swap(state, at, (at - 1) // 2)
        at = (at - 1) // 2


@njit(cache=True, nogil=True)
def pop(state: Any) -> tuple[int, int]:
    """Take the first string and the count it was added with."""
    string, count = state.heap_strings[0], state.heap_counts[0]
    last = state.fill[HEAP] - 1
    state.heap_counts[0], state.heap_strings[0] = state.heap_counts[last], state.heap_strings[last]
    state.fill[HEAP] = last
    at = 0
    while True:
        first = at
        for child in (2 * at + 1, 2 * at + 2):
            if child < last and _ahead(state, child, first):
                first = child
        if first == at:
            return string, count
        _swap(state, at, first)
        at = first
