"""Keys of all documents on disk, one file per kind: written chunk by chunk, read back sorted in ranges of the key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

MEMORY_BYTES = 128 << 20
"""Memory for sorting, by default."""
_BLOCK = 1 << 18  # entries read at once
_ENTRY_BYTES = 56  # resident per entry and word while a partition is sorted: entries, order, sorted, the one before
_MOST_PARTITIONS = 512  # each is an open file


@dataclass(frozen=True)
class Origin:
    """The documents of one source; ``preferred`` sources win over others, ``takes_part`` holds for near-duplicates."""

    documents: int
    takes_part: bool = True
    preferred: bool = False


@dataclass(frozen=True)
class KeyFile:
    """A file of keys, each of ``words`` uint64, one per document in canonical order."""

    path: Path
    words: int = 1

    def blocks(self, ranges: Sequence[tuple[int, int]], block: int = _BLOCK) -> Iterator[np.ndarray]:
        """Yield the keys of ranges of entries one after another: (m, words) uint64."""
        with self.path.open("rb") as file:
            for start, stop in ranges:
                file.seek(start * 8 * self.words)
                for first in range(start, stop, block):
                    count = (min(stop, first + block) - first) * self.words
                    yield np.fromfile(file, np.uint64, count).reshape(-1, self.words)

    def __len__(self) -> int:
        return self.path.stat().st_size // (8 * self.words)


class KeyFiles:
    """The key files of a corpus: ``exact.u128``, ``url.u64``, ``band-00.u64`` …; chunks come in canonical order.

    With ``sketches`` also the lowest byte of each signature value, ``sketches.u8``: enough to estimate similarity.
    """

    def __init__(self, folder: Path, *, exact: bool, urls: bool, bands: int, sketches: bool = False) -> None:
        self.folder = folder
        self.exact = KeyFile(folder / "exact.u128", 2) if exact else None
        self.urls = KeyFile(folder / "url.u64") if urls else None
        self.bands = [KeyFile(folder / f"band-{band:02d}.u64") for band in range(bands)]
        self.sketches = folder / "sketches.u8" if sketches else None
        self._stack = ExitStack()
        self._sketches = self._stack.enter_context(self.sketches.open("wb")) if self.sketches else None
        self._open = {file: self._stack.enter_context(file.path.open("wb")) for file in self.files}

    @property
    def files(self) -> list[KeyFile]:
        """Return all files there are."""
        return [file for file in (self.exact, self.urls, *self.bands) if file is not None]

    def __enter__(self) -> KeyFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def add(
        self,
        *,
        exact: np.ndarray | None = None,
        urls: np.ndarray | None = None,
        bands: np.ndarray | None = None,
        signatures: np.ndarray | None = None,
    ) -> None:
        """Append one chunk, those that are kept: ``exact`` (n, 2), ``urls`` (n,), ``bands`` (n, bands), uint64.

        ``signatures``: (n, values) uint32.
        """
        if self.exact is not None and exact is not None:
            self._open[self.exact].write(np.ascontiguousarray(exact).data)
        if self.urls is not None and urls is not None:
            self._open[self.urls].write(np.ascontiguousarray(urls).data)
        for band, file in enumerate(self.bands):
            if bands is not None:
                self._open[file].write(np.ascontiguousarray(bands[:, band]).data)
        if self._sketches is not None and signatures is not None:
            self._sketches.write(signatures.astype(np.uint8).data)

    def finish(self) -> None:
        """Close the files; then they can be read."""
        self._stack.close()


@dataclass(frozen=True)
class Partition:
    """The entries of one range of keys, ascending: ``keys`` (m, words) uint64, ``ranks`` (m,) uint32.

    Entries of equal keys come in any order. ``limits``: the range as [first, last) of the upper 32 bits.
    """

    keys: np.ndarray
    ranks: np.ndarray
    limits: tuple[int, int]


Wanted = Callable[[int, np.ndarray], np.ndarray]
"""Tell which entries take part: (rank of the first, keys (m, words)) to (m,) bool."""


def sorted_partitions(
    file: KeyFile,
    wanted: Wanted,
    *,
    ranges: Sequence[tuple[int, int]],
    memory_bytes: int,
    edges: np.ndarray | None = None,
) -> Iterator[Partition]:
    """Yield the wanted entries by ranges of the key, so that about ``memory_bytes`` are resident at once.

    An entry's rank is its place when ``ranges`` of the file are read one after another. ``edges``: the ends of the
    ranges of the upper 32 key bits, ascending, the last 2^32; by default of equal width, as suits hashes.
    Where one range is not enough, entries go through files beside the key file, which are gone afterwards.
    """
    if edges is None:
        edges = edges_for(file, memory_bytes)
    starts = [0, *edges[:-1].tolist()]
    limits = list(zip(starts, edges.tolist(), strict=True))
    record = np.dtype([("key", np.uint64, (file.words,)), ("rank", np.uint32)])
    if len(edges) == 1:
        entries = [part for _, part in _entries(file, wanted, ranges, edges, record)]
        yield _sorted(np.concatenate([np.empty(0, record), *entries]), limits[0])
        return
    paths = [file.path.with_suffix(f".part{index:03d}") for index in range(len(edges))]
    try:
        with ExitStack() as stack:
            outs = [stack.enter_context(path.open("wb")) for path in paths]
            for index, part in _entries(file, wanted, ranges, edges, record):
                outs[index].write(part.tobytes())
        for path, limit in zip(paths, limits, strict=True):
            yield _sorted(np.fromfile(path, record), limit)
            path.unlink()
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def edges_for(file: KeyFile, memory_bytes: int) -> np.ndarray:
    """Return the ends of ranges of equal width of the upper 32 bits, each to be sorted in memory: (parts,) uint64."""
    total_bytes = len(file) * file.words * _ENTRY_BYTES
    parts = min(_MOST_PARTITIONS, max(1, -(-total_bytes // memory_bytes)))
    return np.arange(1, parts + 1, dtype=np.uint64) * np.uint64(1 << 32) // np.uint64(parts)


def _entries(
    file: KeyFile, wanted: Wanted, ranges: Sequence[tuple[int, int]], edges: np.ndarray, record: np.dtype
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (partition, entries of one block that lie in it), ranks ascending within a partition."""
    first = 0
    for keys in file.blocks(ranges):
        chosen = np.flatnonzero(wanted(first, keys))
        order, bounds = split_entries(keys[chosen], edges)
        entries = np.empty(len(chosen), record)
        entries["key"] = keys[chosen[order]]
        entries["rank"] = chosen[order] + first
        for index in range(len(edges)):
            if bounds[index] < bounds[index + 1]:
                yield index, entries[bounds[index] : bounds[index + 1]]
        first += len(keys)


def split_entries(keys: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the order that puts keys (m, words) by range, stably, and where each range begins and the last ends."""
    part = np.searchsorted(edges, keys[:, 0] >> np.uint64(32), side="right").astype(np.uint16)
    order = np.argsort(part, kind="stable")
    return order, np.searchsorted(part[order], np.arange(len(edges) + 1))


def _sorted(entries: np.ndarray, limits: tuple[int, int]) -> Partition:
    keys, ranks = np.ascontiguousarray(entries["key"]), np.ascontiguousarray(entries["rank"])
    del entries
    return Partition(*sort_entries(keys, ranks), limits)


def sort_entries(keys: np.ndarray, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return keys (m, words) ascending, and ranks (m,) with them."""
    order = np.argsort(keys[:, 0]) if keys.shape[1] == 1 else np.lexsort(keys.T[::-1])
    return keys[order], ranks[order]


def range_edges(bins: np.ndarray, top: int, *, memory_bytes: int) -> np.ndarray:
    """Return the ends of ranges of numbers below ``top`` that fit in memory: (parts,) uint64, the last 2^32.

    ``bins``: entries per bin of equal width; a bin is never split.
    """
    ends = -(-np.arange(1, len(bins) + 1) * top // len(bins))  # first number beyond each bin
    total = np.cumsum(bins) * _ENTRY_BYTES
    parts = min(_MOST_PARTITIONS, max(1, int(-(-total[-1] // memory_bytes))))
    cuts = np.searchsorted(total, np.arange(1, parts) * total[-1] / parts)
    return np.append(np.unique(ends[cuts]).astype(np.uint64), np.uint64(1 << 32))
