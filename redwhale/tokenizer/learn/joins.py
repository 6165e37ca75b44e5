"""The kernels of learning: count the joins of words, merge words as at runtime, keep the counts exact.

A join is the concatenation of two neighbours, whatever its halves: that is how SentencePiece merges, and how
a merge list with every split merges. Overlapping occurrences (ㅋㅋㅋ holds ㅋㅋ once) count once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from redwhale.tokenizer.learn.heap import pop, push
from redwhale.tokenizer.learn.state import (
    HEAP,
    NODE,
    NODES,
    NONE,
    POOL,
    RANK,
    ROOM,
    STAMP,
    STRINGS,
    TARGET,
    TOUCHED,
    UNRANKED,
    WORD,
)
from redwhale.tokenizer.learn.strings import join_of

DONE, FULL, EMPTY = 0, 1, 2
"""A kernel did all it was asked, wants more room, or finds no join that is frequent enough."""
_POOL_ROOM = 1 << 20


@njit(cache=True, nogil=True)
def nearly_full(state: Any, what: int) -> bool:
    """Tell whether an array, named by what ``fill`` counts of it, has less room than one word may want."""
    used = state.fill[what]
    if what == STRINGS:
        return used + ROOM > len(state.starts)
    if what == POOL:
        return used + _POOL_ROOM > len(state.pool)
    if what == NODES:
        return used + ROOM > len(state.node_words)
    if what == TOUCHED:
        return used + ROOM > len(state.touched)
    return used + state.fill[TOUCHED] + ROOM > len(state.heap_counts)


@njit(cache=True, nogil=True)
def _full(state: Any) -> bool:
    return (
        nearly_full(state, STRINGS)
        or nearly_full(state, POOL)
        or nearly_full(state, NODES)
        or nearly_full(state, TOUCHED)
        or nearly_full(state, HEAP)
    )


@njit(cache=True, nogil=True)
def _set_join(state: Any, word: int, at: int) -> None:
    """Look up what the symbols at ``at`` and after make; nothing where one of them does not exist."""
    if 0 <= at < state.word_lengths[word] - 1:
        first = state.word_starts[word] + at
        state.joins[first] = join_of(state, state.symbols[first], state.symbols[first + 1])


@njit(cache=True, nogil=True)
def _add_place(state: Any, join: int, word: int) -> None:
    node = state.fill[NODES]
    state.node_words[node], state.node_next[node] = word, state.heads[join]
    state.heads[join] = node
    state.fill[NODES] = node + 1


@njit(cache=True, nogil=True)
def count_words(state: Any, merge_first: bool) -> int:
    """Count all joins of the words from ``fill[WORD]`` on; ``merge_first`` joins what the base joins already."""
    while state.fill[WORD] < len(state.weights):
        if _full(state):
            return FULL
        word = state.fill[WORD]
        for at in range(state.word_lengths[word] - 1):
            _set_join(state, word, at)
        if merge_first:
            merge_all(state, word)
        state.fill[STAMP] += 1
        _note_joins(state, word, 1)
        for i in range(state.fill[TOUCHED]):
            join = state.touched[i]
            state.counts[join] += state.deltas[join]
            state.deltas[join] = 0
        state.fill[TOUCHED] = 0
        state.fill[WORD] = word + 1
    return DONE


@njit(cache=True, nogil=True)
def _note_joins(state: Any, word: int, sign: int) -> None:
    """Add the word's joins, times ``sign``, to the deltas; remember the word as a place of those not stamped yet."""
    start, stamp = state.word_starts[word], state.fill[STAMP]
    last, free, byte = NONE, True, state.byte_starts[word] if len(state.boundaries) else 0
    for at in range(start, start + state.word_lengths[word] - 1):
        join = state.joins[at]
        byte += state.lengths[state.symbols[at]]
        if join == NONE:
            last = NONE
            continue
        if state.stamps[join] != stamp:
            state.stamps[join] = stamp
            if sign > 0:
                _add_place(state, join, word)
        if len(state.boundaries) and state.boundaries[byte]:  # a place of it all the same: it merges there too
            last = NONE
            continue
        free = join != last or not free
        last = join
        if free:
            if state.deltas[join] == 0:  # noted again where it has come back to 0; the second time changes nothing
                state.touched[state.fill[TOUCHED]] = join
                state.fill[TOUCHED] += 1
            state.deltas[join] += sign * state.weights[word]


@njit(cache=True, nogil=True)
def merge_all(state: Any, word: int) -> None:
    """Merge what is a piece, the best first and the leftmost of equals, as at runtime."""
    start = state.word_starts[word]
    while True:
        best, place = UNRANKED, 0
        for at in range(state.word_lengths[word] - 1):
            join = state.joins[start + at]
            if join != NONE and state.ranks[join] < best:
                best, place = state.ranks[join], at
        if best == UNRANKED:
            return
        _merge_at(state, word, place)


@njit(cache=True, nogil=True)
def _merge_at(state: Any, word: int, at: int) -> None:
    """Put the join of two symbols in their place."""
    start, length = state.word_starts[word], state.word_lengths[word]
    state.symbols[start + at] = state.joins[start + at]
    for i in range(start + at + 1, start + length - 1):
        state.symbols[i] = state.symbols[i + 1]
        state.joins[i] = state.joins[i + 1]
    state.word_lengths[word] = length - 1
    _set_join(state, word, at - 1)
    _set_join(state, word, at)


@njit(cache=True, nogil=True)
def _merge_target(state: Any, word: int, target: int) -> None:
    """Merge the latest piece; no other can be merged before, but merging it may bring two halves together."""
    at, start = 0, state.word_starts[word]
    while at < state.word_lengths[word] - 1:
        if state.joins[start + at] == target:
            _merge_at(state, word, at)
            for i in range(max(at - 1, 0), min(at + 1, state.word_lengths[word] - 1)):
                join = state.joins[start + i]
                if join != NONE and state.ranks[join] != UNRANKED:
                    merge_all(state, word)
                    return
        at += 1


@njit(cache=True, nogil=True)
def begin_join(state: Any, target: int) -> None:
    """Make ``target`` the latest of the pieces; ``go_on`` then merges it."""
    state.ranks[target] = state.fill[RANK]
    state.fill[RANK] += 1
    state.fill[TARGET], state.fill[NODE] = target, state.heads[target]
    state.heads[target] = NONE


@njit(cache=True, nogil=True)
def go_on(state: Any) -> int:
    """Merge the begun piece wherever it stands and set the counts right."""
    target = state.fill[TARGET]
    while state.fill[NODE] != NONE:
        if _full(state):
            return FULL
        word = state.node_words[state.fill[NODE]]
        state.fill[NODE] = state.node_next[state.fill[NODE]]
        _update_word(state, word, target)
    if nearly_full(state, HEAP):
        return FULL
    for i in range(state.fill[TOUCHED]):
        join = state.touched[i]
        delta = state.deltas[join]
        state.deltas[join] = 0
        state.counts[join] += delta
        if delta > 0 and join != target and state.ranks[join] == UNRANKED:
            push(state, join, state.counts[join])
    state.fill[TOUCHED] = 0
    state.counts[target] = 0
    return DONE


@njit(cache=True, nogil=True)
def _update_word(state: Any, word: int, target: int) -> None:
    start = state.word_starts[word]
    for at in range(start, start + state.word_lengths[word] - 1):
        if state.joins[at] == target:
            state.fill[STAMP] += 1
            _note_joins(state, word, -1)
            _merge_target(state, word, target)
            _note_joins(state, word, 1)
            return
    # Listed twice, or merged into something else since.


@njit(cache=True, nogil=True)
def queue_all(state: Any, at_least: int) -> int:
    """Fill the queue anew with all joins that occur ``at_least`` times."""
    wanted = 0
    for string in range(state.fill[STRINGS]):
        wanted += state.counts[string] >= at_least and state.ranks[string] == UNRANKED
    if wanted + 2 * ROOM > len(state.heap_counts):
        return FULL
    state.fill[HEAP] = 0
    for string in range(state.fill[STRINGS]):
        if state.counts[string] >= at_least and state.ranks[string] == UNRANKED:
            push(state, string, state.counts[string])
    return DONE


@njit(cache=True, nogil=True)
def most_frequent(state: Any, at_least: int) -> int:
    """Take the most frequent join from the queue, the first in code point order of equals; NONE: there is none."""
    while state.fill[HEAP]:
        string, queued = pop(state)
        count = state.counts[string]
        if state.ranks[string] != UNRANKED or count < at_least:
            continue
        if count == queued:
            return string
        if count < queued:  # grown counts were pushed when they grew
            push(state, string, count)
    return NONE


@njit(cache=True, nogil=True)
def join_most_frequent(state: Any, at_least: int, pieces: np.ndarray, counts: np.ndarray, done: np.ndarray) -> int:
    """Join again and again the most frequent join, ``pieces`` and ``counts`` filled from ``done[0]`` on."""
    if state.fill[TARGET] != NONE:
        if go_on(state) == FULL:
            return FULL
        state.fill[TARGET] = NONE
    while done[0] < len(pieces):
        if _full(state):
            return FULL
        string = most_frequent(state, at_least)
        if string == NONE:
            return EMPTY
        pieces[done[0]], counts[done[0]] = string, state.counts[string]
        done[0] += 1
        begin_join(state, string)
        if go_on(state) == FULL:
            return FULL
        state.fill[TARGET] = NONE
    return DONE
