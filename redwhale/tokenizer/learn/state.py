"""The arrays of learning: strings by number, their joins with counts and places, words, and the queue.

The kernels never allocate. They stop where an array is nearly full, and ``grow`` makes room.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NONE = -1
"""No string: the join is not wanted. Also the end of a list."""
UNRANKED = np.int32(2**31 - 1)
UNKNOWN, ALLOWED, FORBIDDEN, WALL = 0, 1, 2, 3
"""What a string may become: not yet judged, a new piece, no new piece; a wall joins with nothing."""
# What ``fill`` counts.
STRINGS, POOL, NODES, HEAP, TOUCHED, STAMP, RANK, TARGET, NODE, WORD = range(10)
ROOM = 4096
"""Free entries that a kernel wants of every array before it changes a word: words have at most 512 bytes."""
_POOL_ROOM = 1 << 20


class State(NamedTuple):
    """All arrays; a string is a symbol, a join or both, by its number.

    ``pool``: (…,) uint8, the strings' bytes, string i at ``starts[i]``, ``lengths[i]`` long; ``table``: (2^b,)
    int32, open addressing by ``hashes``; ``status`` as above; ``ranks``: the order in which pieces merge, lowest
    first; ``counts``: occurrences of the join now; ``heads``: the first node of its places; ``stamps`` and
    ``deltas`` serve the change of one word and one join.
    Word w is ``symbols[word_starts[w]:][:word_lengths[w]]``, ``joins`` is what each symbol makes with the next.
    It occurs ``weights[w]`` times, and its bytes from ``byte_starts[w]`` on may have ``boundaries`` that no join
    counts across. ``node_words`` and ``node_next`` are lists of places; ``heap_counts`` and ``heap_strings`` the
    queue, largest count first.
    """

    pool: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    hashes: np.ndarray
    status: np.ndarray
    ranks: np.ndarray
    counts: np.ndarray
    heads: np.ndarray
    stamps: np.ndarray
    deltas: np.ndarray
    table: np.ndarray
    symbols: np.ndarray
    joins: np.ndarray
    word_starts: np.ndarray
    word_lengths: np.ndarray
    weights: np.ndarray
    byte_starts: np.ndarray
    boundaries: np.ndarray
    node_words: np.ndarray
    node_next: np.ndarray
    heap_counts: np.ndarray
    heap_strings: np.ndarray
    touched: np.ndarray
    fill: np.ndarray
    longest: int
    partial: bool


PER_STRING = {
    "starts": np.int64, "lengths": np.int32, "hashes": np.uint64, "status": np.uint8, "ranks": np.int32,
    "counts": np.int64, "heads": np.int32, "stamps": np.int32, "deltas": np.int64,
}  # fmt: skip
"""The arrays with one entry per string; an entry is written when its string is stored."""


def new_state(words: Words, *, strings: int, longest: int, partial: bool) -> State:
    """Return a state without strings. ``longest``: most characters of a new piece.

    What is not written yet takes no memory.
    """
    size = 1 << int(strings + 4 * ROOM).bit_length()
    arrays = {name: np.empty(size, dtype=dtype) for name, dtype in PER_STRING.items()}
    nodes = len(words.symbols) + 2 * ROOM
    return State(
        pool=np.empty(16 * size + 2 * _POOL_ROOM, dtype=np.uint8),
        **arrays,
        table=np.full(2 * size, NONE, dtype=np.int32),
        symbols=words.symbols,
        joins=np.empty(len(words.symbols), dtype=np.int32),
        word_starts=words.starts,
        word_lengths=words.lengths,
        weights=words.weights,
        byte_starts=words.byte_starts,
        boundaries=words.boundaries,
        node_words=np.empty(nodes, dtype=np.int32),
        node_next=np.empty(nodes, dtype=np.int32),
        heap_counts=np.empty(2 * ROOM, dtype=np.int64),
        heap_strings=np.empty(2 * ROOM, dtype=np.int32),
        touched=np.empty(2 * ROOM, dtype=np.int32),
        fill=np.array([0] * TARGET + [NONE, NONE, 0], dtype=np.int64),
        longest=longest,
        partial=partial,
    )


class Words(NamedTuple):
    """The words that are learnt from, as symbols.

    ``symbols``: (s,) int32; ``starts``: (w,) int64; ``lengths``: (w,) int32; ``weights``: (w,) int64, occurrences;
    ``byte_starts``: (w,) int64 into ``boundaries``: (b,) bool, empty where nothing guides the joins.
    """

    symbols: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    weights: np.ndarray
    byte_starts: np.ndarray
    boundaries: np.ndarray
