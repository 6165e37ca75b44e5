"""Compare the shingles of each pair of documents that share a band: sets on disk, pairs sorted on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np

from redwhale.core.recipe.deduplicate import NearDuplicates
from redwhale.corpus.dedup.clusters import CANDIDATE, KEPT, KIND, NEAR, NEIGHBOURS, fill_pairs, find_similar
from redwhale.corpus.dedup.keys import KeyFile, Partition, range_edges, sorted_partitions
from redwhale.corpus.dedup.ranks import Ranks
from redwhale.corpus.dedup.signatures import shingle_sets
from redwhale.corpus.texts import Texts

TextsOf = Callable[[np.ndarray], Iterable[tuple[int, bytes]]]
"""Read texts back: ascending document numbers (m,) to pairs of number and UTF-8 text, in that order."""

_PAIR_BLOCK = 1 << 16
_TEXT_BYTES = 1 << 22
_BINS = 4096


class Verification:
    """The exact check: ``collect`` the pairs, ``read`` the texts, ``decide``.

    A document goes where an earlier one that stays is similar enough, so every removed text has a near copy that
    was kept. It is compared with the first document and the NEIGHBOURS before it in each of its buckets, or with
    those that stay in their favour.
    """

    def __init__(self, folder: Path, near: NearDuplicates, ranks: Ranks, *, memory_bytes: int) -> None:
        self._near, self._ranks, self._memory_bytes = near, ranks, memory_bytes
        self._pairs, self._sets = KeyFile(folder / "pairs.u64"), folder / "shingles.u32"
        self._bins = np.zeros(_BINS, dtype=np.int64)  # pairs by their later document
        self._members = np.empty(0, dtype=np.uint32)  # numbers of the documents with a set, ascending
        self._offsets = np.zeros(1, dtype=np.int64)  # of their sets in the file, in hashes
        self._stack = ExitStack()

    def __enter__(self) -> Verification:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        for path in (self._pairs.path, self._sets):
            path.unlink(missing_ok=True)

    def collect(self, bands: Iterable[Partition], state: np.ndarray) -> None:
        """Write the pairs of documents that share a key, and mark them in ``state``."""
        out = np.empty(max(_PAIR_BLOCK, NEIGHBOURS + 1), dtype=np.uint64)
        with self._pairs.path.open("wb") as file:
            for part in bands:
                place, run, end = 0, 0, 0
                while place < len(part.keys):
                    place, run, end, count = fill_pairs(part.keys, part.ranks, state, out, place, run, end)
                    file.write(out[:count].data)
                    later = (out[:count] >> np.uint64(32)).astype(np.int64)
                    self._bins += np.bincount(later * _BINS // self._ranks.documents, minlength=_BINS)

    def read(self, texts_of: TextsOf, state: np.ndarray) -> None:
        """Write the sets of shingles of all marked documents."""
        members = [self._ranks.numbers(np.flatnonzero(part & CANDIDATE) + first) for first, part in _blocks(state)]
        self._members = np.sort(np.concatenate([np.empty(0, np.int64), *members]).astype(np.uint32))
        self._offsets = np.zeros(len(self._members) + 1, dtype=np.int64)
        done = 0
        with self._sets.open("wb") as file:
            for texts in _batched(texts_of(self._members), self._members):
                for hashes in shingle_sets(texts, self._near):
                    file.write(hashes.data)
                    self._offsets[done + 1] = self._offsets[done] + len(hashes)
                    done += 1
        assert done == len(self._members), "every text asked for is given"

    def decide(self, parent: np.ndarray, state: np.ndarray) -> None:
        """Compare the pairs, those of the first document in rank first, and note which documents go."""
        edges = range_edges(self._bins, self._ranks.documents, memory_bytes=self._memory_bytes // 2)
        pairs = sorted_partitions(
            self._pairs,
            lambda _, keys: np.ones(len(keys), dtype=bool),
            ranges=[(0, len(self._pairs))],
            memory_bytes=self._memory_bytes // 2,
            edges=edges,
        )
        with self._sets.open("rb") as file:
            for part in pairs:
                keys = part.keys[:, 0]
                keys = keys[np.append(True, keys[1:] != keys[:-1])] if len(keys) else keys
                self._decide_pairs(keys, parent, state, file.fileno())

    def _decide_pairs(self, pairs: np.ndarray, parent: np.ndarray, state: np.ndarray, file: int) -> None:
        """Decide window by window, each as many pairs as have their sets in the memory."""
        place = 0
        while place < len(pairs):
            window = pairs[place : place + _PAIR_BLOCK]
            ranks = np.stack([window >> np.uint64(32), parent[window.astype(np.uint32)]], axis=1).astype(np.int64)
            chosen = np.flatnonzero((state[ranks] & KIND == KEPT).all(axis=1))  # neither has gone
            ranks = ranks[chosen]
            slots = np.searchsorted(self._members, self._ranks.numbers(ranks))
            sizes = (self._offsets[slots + 1] - self._offsets[slots]).sum(axis=1)
            count = max(1, int(np.searchsorted(np.cumsum(sizes) * 4, self._memory_bytes // 4, side="right")))
            self._decide_window(ranks[:count], slots[:count], parent=parent, state=state, file=file)
            place += int(chosen[count]) if count < len(chosen) else _PAIR_BLOCK

    def _decide_window(
        self, ranks: np.ndarray, slots: np.ndarray, *, parent: np.ndarray, state: np.ndarray, file: int
    ) -> None:
        """Decide on pairs (m, 2) of documents, given by rank and by slot of their sets."""
        different, first, pairs = np.unique(slots, return_index=True, return_inverse=True)
        starts = self._offsets[different]
        offsets = np.zeros(len(different) + 1, dtype=np.int64)
        np.cumsum(self._offsets[different + 1] - starts, out=offsets[1:])
        hashes = np.empty(offsets[-1], dtype=np.uint32)
        view = hashes.view(np.uint8).data
        for start, begin, end in zip(starts.tolist(), offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            os.preadv(file, [view[4 * begin : 4 * end]], 4 * start)
        stays = find_similar(pairs.reshape(-1, 2), hashes, offsets, self._near.at_least)
        gone = np.flatnonzero(stays != np.arange(len(stays)))
        here = ranks.reshape(-1)[first]
        parent[here[gone]] = here[stays[gone]]
        state[here[gone]] |= NEAR


def _blocks(state: np.ndarray, block: int = 1 << 20) -> Iterator[tuple[int, np.ndarray]]:
    for first in range(0, len(state), block):
        yield first, state[first : first + block]


def _batched(texts: Iterable[tuple[int, bytes]], numbers: np.ndarray) -> Iterator[Texts]:
    """Yield the texts in batches; raise where they are not those of ``numbers``."""
    batch: list[bytes] = []
    size = 0
    for wanted, (number, text) in zip(numbers, texts, strict=True):
        if number != wanted:
            raise ValueError(f"text {number} came in place of {wanted}")
        batch.append(text)
        size += len(text)
        if size >= _TEXT_BYTES:
            yield Texts.of_bytes(batch)
            batch, size = [], 0
    if batch:
        yield Texts.of_bytes(batch)
