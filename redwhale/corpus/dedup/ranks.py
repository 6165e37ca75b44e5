"""Documents numbered by rank: preferred sources first, otherwise in canonical order; the smaller number survives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from redwhale.corpus.dedup.clusters import INDEXED
from redwhale.corpus.dedup.keys import Origin

_BLOCK = 1 << 20


class Ranks:
    """The sources in the order in which their documents win; ``ranges`` are theirs in canonical numbers."""

    def __init__(self, origins: Sequence[Origin]) -> None:
        self._order = sorted(range(len(origins)), key=lambda index: not origins[index].preferred)
        ends = np.cumsum([origin.documents for origin in origins]).tolist()
        ranges = [(end - origin.documents, end) for end, origin in zip(ends, origins, strict=True)]
        self.origins = [origins[index] for index in self._order]
        self.ranges = [ranges[index] for index in self._order]
        self.documents = sum(origin.documents for origin in origins)
        lengths = [end - start for start, end in self.ranges]
        self._first = np.cumsum([0, *lengths])[:-1]
        self._shift = np.array([start for start, _ in self.ranges], dtype=np.int64) - self._first

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Return one value per document from one per source, by rank."""
        return np.repeat(values[self._order], [end - start for start, end in self.ranges])

    def numbers(self, ranks: np.ndarray) -> np.ndarray:
        """Return the canonical numbers of documents: (m,) int64."""
        return ranks + self._shift[np.searchsorted(self._first, ranks, side="right") - 1]

    def in_order(self, fate: np.ndarray, survivor: np.ndarray, *, folder: Path) -> tuple[np.ndarray, np.ndarray]:
        """Put fates and survivors by rank into canonical order, by way of a file; the arrays given are used up."""
        if not self._shift.any():
            return fate, survivor
        for first in range(0, self.documents, _BLOCK):
            part = survivor[first : first + _BLOCK]
            part[...] = np.where(fate[first : first + _BLOCK] < INDEXED, self.numbers(part), part)
        path = folder / "by-rank"
        for values in (fate, survivor):
            values.tofile(path)
            with path.open("rb") as file:
                for start, end in self.ranges:
                    values[start:end] = np.fromfile(file, values.dtype, end - start)
            path.unlink()
        return fate, survivor
