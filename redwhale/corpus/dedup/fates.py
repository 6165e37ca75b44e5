"""What becomes of each document, and what the clusters look like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from redwhale.corpus.dedup.clusters import INDEXED, MOST_INDICES
from redwhale.corpus.dedup.keys import MEMORY_BYTES, Origin

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Duplicates:
    """What becomes of each document, in canonical order.

    ``fate``: (n,) uint8: KEPT, EXACT, URL or NEAR; the last three plus INDEXED where the original is in an index.
    ``survivor``: (n,) uint32: the document in whose favour it goes, itself where it stays; with INDEXED the number
    of the index, from 0.
    """

    fate: np.ndarray
    survivor: np.ndarray

    def write_cluster_sizes(self, path: Path, *, memory_bytes: int = MEMORY_BYTES) -> None:
        """Write how many documents each one stands for, itself included, 0 where it goes: n uint32, in order."""
        count, block = len(self.fate), max(1, memory_bytes // 4)
        with path.open("wb") as file:
            for start in range(0, count, block):
                sizes = np.zeros(min(block, count - start), dtype=np.uint32)
                _count_survivors(self.fate, self.survivor, start, sizes)
                file.write(sizes.data)

    def pairs_by_source(self, origins: Sequence[Origin]) -> dict[int, np.ndarray]:
        """Return counts for each fate that occurs but KEPT: (sources, sources or indices) int64.

        Rows are the sources of the documents that go; columns those of the survivors, or with INDEXED the indices.
        """
        bounds = np.cumsum([0, *(origin.documents for origin in origins)])
        columns = max(len(origins), MOST_INDICES)
        found: dict[int, np.ndarray] = {}
        for start in range(0, len(self.fate), _BLOCK):
            gone = np.flatnonzero(self.fate[start : start + _BLOCK]) + start
            fates, survivors = self.fate[gone], self.survivor[gone].astype(np.int64)
            sources = np.searchsorted(bounds, survivors, side="right") - 1
            column = np.where(fates > INDEXED, survivors, sources)
            row = np.searchsorted(bounds, gone, side="right") - 1
            for fate in np.unique(fates).tolist():
                cells = (row * columns + column)[fates == fate]
                matrix = np.bincount(cells, minlength=len(origins) * columns).reshape(-1, columns)
                found[fate] = found.get(fate, 0) + matrix
        return {fate: found[fate][:, : MOST_INDICES if fate > INDEXED else len(origins)] for fate in sorted(found)}


def size_histogram(path: Path) -> dict[int, int]:
    """Return the number of clusters of each size, smallest first, from the file of cluster sizes."""
    counts: dict[int, int] = {}
    with path.open("rb") as file:
        while len(sizes := np.fromfile(file, np.uint32, _BLOCK)):
            different, numbers = np.unique(sizes, return_counts=True)
            for size, number in zip(different.tolist(), numbers.tolist(), strict=True):
                counts[size] = counts.get(size, 0) + number
    counts.pop(0, None)
    return dict(sorted(counts.items()))


@njit(cache=True, nogil=True)
def _count_survivors(fate: np.ndarray, survivor: np.ndarray, start: int, sizes: np.ndarray) -> None:
    for item in range(len(fate)):
        place = np.int64(survivor[item]) - start
        if fate[item] <= INDEXED and 0 <= place < len(sizes):
            sizes[place] += np.uint32(1)
