"""Learning on the whole sample: the compiled kernels with room made where they want it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from redwhale.tokenizer.learn import joins, strings
from redwhale.tokenizer.learn.state import (
    ALLOWED,
    FORBIDDEN,
    HEAP,
    NODES,
    NONE,
    PER_STRING,
    POOL,
    RANK,
    STRINGS,
    TARGET,
    TOUCHED,
    UNRANKED,
    WALL,
    State,
    Words,
    new_state,
)

_STEPS = 256


class Joiner:
    """Words as symbols, and for every join that may be a piece its count and the words that hold it.

    ``symbols`` are the strings of the words' symbols by number, None for one that joins with nothing;
    ``allowed`` and ``forbidden`` strings are judged so whatever the rule for Hangul says; ``earlier`` are pieces
    of the base by rank, lowest first, which join wherever they can.
    """

    def __init__(
        self,
        words: Words,
        symbols: Sequence[bytes | None],
        *,
        max_chars: int,
        partial: bool,
        allowed: Iterable[bytes] = (),
        forbidden: Iterable[bytes] = (),
        earlier: Mapping[bytes, float] | None = None,
    ) -> None:
        judged = dict.fromkeys((s for s in symbols if s is not None), FORBIDDEN)
        others = {string: FORBIDDEN for string in (*(earlier or {}), *forbidden) if string not in judged}
        others |= {string: ALLOWED for string in allowed if string not in judged and string not in others}
        # One that joins with nothing spells a byte, and counts as one where the bytes of a word are counted.
        self._names = [b"?" if symbol is None else symbol for symbol in symbols] + list(others)
        status = [WALL if symbol is None else FORBIDDEN for symbol in symbols] + list(others.values())
        self._state = new_state(words, strings=len(self._names), longest=max_chars, partial=partial)
        self._numbers: dict[bytes, int] = {}
        self._store(status)
        self._rank(earlier or {})
        self._run(lambda: joins.count_words(self._state, bool(earlier)))

    def _store(self, status: list[int]) -> None:
        data = np.frombuffer(b"".join(self._names), dtype=np.uint8)
        offsets = np.zeros(len(self._names) + 1, dtype=np.int64)
        np.cumsum([len(name) for name in self._names], out=offsets[1:])
        while len(self._state.pool) < 2 * len(data):
            self._state = _with_room(self._state, POOL)
        strings.store(self._state, data, offsets, np.array(status, dtype=np.uint8))

    def _rank(self, earlier: Mapping[bytes, float]) -> None:
        """Rank the base's pieces; equal ranks stay equal, and the leftmost of them merges first."""
        order = {rank: position for position, rank in enumerate(sorted(set(earlier.values())))}
        for piece, rank in earlier.items():
            self._state.ranks[self._number(piece)] = order[rank]
        self._state.fill[RANK] = len(order)

    @property
    def distinct_words(self) -> int:
        """Return the number of different words of two or more symbols."""
        return len(self._state.weights)

    def count(self, piece: bytes) -> int:
        """Return how often a join stands in the sample now."""
        number = self._number(piece)
        return 0 if number == NONE else int(self._state.counts[number])

    def is_piece(self, piece: bytes) -> bool:
        """Tell whether a piece was joined before, or is one of the base that joins by itself."""
        number = self._number(piece)
        return number != NONE and bool(self._state.ranks[number] != UNRANKED)

    def join(self, piece: bytes) -> None:
        """Make ``piece``, a join that stands in the sample, the latest of the pieces and merge it everywhere."""
        joins.begin_join(self._state, self._number(piece))
        self._run(lambda: joins.go_on(self._state))
        self._state.fill[TARGET] = NONE

    def join_most_frequent(
        self, count: int, *, at_least: int, advance: Callable[[int], object] = lambda joined: None
    ) -> list[tuple[bytes, int]]:
        """Join ``count`` times the most frequent join, the first in code point order of equals.

        Returns pieces and counts, fewer where none is left that occurs ``at_least`` times.
        """
        while joins.queue_all(self._state, at_least) == joins.FULL:
            self._state = _with_room(self._state, HEAP)
        found: list[tuple[bytes, int]] = []
        while len(found) < count:
            pieces, counts = (np.zeros(min(_STEPS, count - len(found)), dtype=np.int64) for _ in range(2))
            done = np.zeros(1, dtype=np.int64)
            outcome = self._run(lambda: joins.join_most_frequent(self._state, at_least, pieces, counts, done))  # noqa: B023
            found += [(self._bytes(number), int(n)) for number, n in zip(pieces[: done[0]], counts, strict=False)]
            advance(int(done[0]))
            if outcome == joins.EMPTY:
                break
        return found

    def _run(self, kernel: Callable[[], int]) -> int:
        while (outcome := kernel()) == joins.FULL:
            for what in (STRINGS, POOL, NODES, HEAP, TOUCHED):
                if joins.nearly_full(self._state, what):
                    self._state = _with_room(self._state, what)
        return outcome

    def _number(self, piece: bytes) -> int:
        return int(strings.find_bytes(self._state, np.frombuffer(piece, dtype=np.uint8)))

    def _bytes(self, number: int) -> bytes:
        start = self._state.starts[number]
        return self._state.pool[start : start + self._state.lengths[number]].tobytes()


def _with_room(state: State, what: int) -> State:
    """Return the state with twice the room for strings, their bytes, places, the queue or what has changed."""

    def doubled(array: np.ndarray) -> np.ndarray:
        larger = np.empty(2 * len(array), dtype=array.dtype)
        larger[: len(array)] = array
        return larger

    if what == STRINGS:
        arrays: dict[str, Any] = {name: doubled(getattr(state, name)) for name in PER_STRING}
        state = state._replace(table=np.full(2 * len(state.table), NONE, dtype=np.int32), **arrays)
        strings.fill_table(state)
        return state
    names = {
        POOL: ("pool",),
        NODES: ("node_words", "node_next"),
        HEAP: ("heap_counts", "heap_strings"),
        TOUCHED: ("touched",),
    }[what]
    larger: dict[str, Any] = {name: doubled(getattr(state, name)) for name in names}
    return state._replace(**larger)
