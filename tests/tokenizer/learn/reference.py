"""Counting and joining in plain Python: an obvious state that the compiled kernels are compared with."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise

_FORBIDDEN = -1


class PlainJoiner:
    """Words as lists of symbols, and for every allowed join its count and the words that hold it.

    A join is the concatenation of two neighbours, whatever its halves: that is how SentencePiece merges, and
    how a merge list with every split merges. Overlapping occurrences (ㅋㅋㅋ holds ㅋㅋ once) count once.
    """

    def __init__(self, words: Iterable[tuple[list[str], int]]) -> None:
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._words: list[list[int]] = []
        self._weights: list[int] = []
        merged: dict[tuple[int, ...], int] = defaultdict(int)
        for symbols, count in words:
            if len(symbols) > 1:
                merged[tuple(self._number(symbol) for symbol in symbols)] += count
        for word, count in merged.items():
            self._words.append(list(word))
            self._weights.append(count)
        self._joins: dict[tuple[int, int], int] = {}
        self._counts: dict[int, int] = defaultdict(int)
        self._places: dict[int, list[int]] = defaultdict(list)
        self._heap: list[tuple[int, str, int]] = []
        self._ranks: dict[int, float] = {}
        self._allowed: Callable[[str], bool] = bool
        self._joined = 0.0

    @property
    def distinct_words(self) -> int:
        """Return the number of different words of two or more symbols."""
        return len(self._words)

    def start(self, allowed: Callable[[str], bool], *, earlier: Mapping[str, float]) -> PlainJoiner:
        """Count all allowed joins; ``earlier`` are pieces of the base by rank, which join wherever they can."""
        self._allowed = allowed
        for piece, rank in earlier.items():
            self._ranks[self._number(piece)] = rank
        self._joined = max(earlier.values(), default=0.0)
        for index, word in enumerate(self._words):
            if earlier:
                self._merge(word)
            for join, weight in self._joins_of(word, self._weights[index]).items():
                self._counts[join] += weight
                self._places[join].append(index)
        self._heap = [(-count, self._names[join], join) for join, count in self._counts.items()]
        heapq.heapify(self._heap)
        return self

    def is_piece(self, piece: str) -> bool:
        """Tell whether a piece was joined before, or stands in ``earlier``."""
        return self._numbers.get(piece, _FORBIDDEN) in self._ranks

    def count(self, piece: str) -> int:
        """Return how often a join stands in the sample now."""
        return self._counts.get(self._numbers.get(piece, _FORBIDDEN), 0)

    def most_frequent(self, *, at_least: int) -> tuple[str, int] | None:
        """Return the most frequent join and its count; of equal ones the first in code point order."""
        while self._heap:
            negative, piece, join = heapq.heappop(self._heap)
            count = self._counts.get(join, 0)
            if join in self._ranks or count < at_least:
                continue
            if count == -negative:
                return piece, count
            if count < -negative:  # grown counts were pushed when they grew
                heapq.heappush(self._heap, (-count, piece, join))
        return None

    def join(self, piece: str) -> None:
        """Make ``piece`` the latest of the pieces and merge it wherever it stands."""
        target = self._numbers[piece]
        self._joined += 1.0
        self._ranks[target] = self._joined
        changes: dict[int, int] = defaultdict(int)
        for index in set(self._places.pop(target, ())):
            self._merge_word(index, target, changes)
        self._counts.pop(target, None)
        for join, change in changes.items():
            if change == 0 or join == target:
                continue
            self._counts[join] += change
            if change > 0:
                heapq.heappush(self._heap, (-self._counts[join], self._names[join], join))

    def _merge_word(self, index: int, target: int, changes: dict[int, int]) -> None:
        word, weight = self._words[index], self._weights[index]
        before = self._joins_of(word, weight)
        if not self._merge_target(word, target):
            return
        after = self._joins_of(word, weight)
        for join, count in before.items():
            changes[join] -= count
        for join, count in after.items():
            changes[join] += count
            if join not in before:
                self._places[join].append(index)

    def _merge_target(self, word: list[int], target: int) -> bool:
        """Merge the latest piece; no other can be merged before, but merging it may bring two halves together."""
        changed, i = False, 0
        while i < len(word) - 1:
            if self._join_of((word[i], word[i + 1])) == target:
                word[i : i + 2] = [target]
                changed = True
                sides = word[max(i - 1, 0) : i + 2]
                if any(self._join_of(pair) in self._ranks for pair in pairwise(sides)):
                    self._merge(word)
                    return True
            i += 1
        return changed

    def _merge(self, word: list[int]) -> bool:
        """Merge what is a piece, the best first and the leftmost of equals, as at runtime."""
        changed = False
        while True:
            best, at, into = None, 0, 0
            for i, pair in enumerate(pairwise(word)):
                join = self._join_of(pair)
                rank = self._ranks.get(join)
                if rank is not None and (best is None or rank < best):
                    best, at, into = rank, i, join
            if best is None:
                return changed
            word[at : at + 2] = [into]
            changed = True

    def _joins_of(self, word: list[int], weight: int) -> dict[int, int]:
        """Return the weighted counts of a word's joins, overlapping ones once."""
        joins: dict[int, int] = {}
        last, free = _FORBIDDEN, True
        for pair in pairwise(word):
            join = self._join_of(pair)
            if join == _FORBIDDEN:
                last = _FORBIDDEN
                continue
            free = join != last or not free
            last = join
            if free:
                joins[join] = joins.get(join, 0) + weight
        return joins

    def _join_of(self, pair: tuple[int, int]) -> int:
        join = self._joins.get(pair)
        if join is None:
            name = self._names[pair[0]] + self._names[pair[1]]
            wanted = self._numbers.get(name, _FORBIDDEN) in self._ranks or self._allowed(name)
            join = self._joins[pair] = self._number(name) if wanted else _FORBIDDEN
        return join

    def _number(self, symbol: str) -> int:
        number = self._numbers.get(symbol)
        if number is None:
            number = self._numbers[symbol] = len(self._names)
            self._names.append(symbol)
        return number
