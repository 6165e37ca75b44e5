"""Sort a key file by many workers: blocks of it are split by ranges of the key, then each range is sorted by itself.

What comes back is what ``keys.sorted_partitions`` yields, except for entries that are alone with their key: of
nearly all documents, and nothing follows from them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from redwhale.core.cluster.executors import Executor
from redwhale.corpus.arrays import map_arrays, write_arrays
from redwhale.corpus.dedup.keys import KeyFile, Partition, sort_entries, split_entries

_BLOCK_ENTRIES = 1 << 24


@dataclass(frozen=True)
class SplitShard:
    """Entries [start, stop) of a key file, the first of them of rank ``rank``, to be split at ``edges`` into ``done``.

    Of entries whose documents have, in ``state`` (a file of uint8 by rank), just ``value`` of the bits in ``mask``.
    """

    keys: Path
    words: int
    start: int
    stop: int
    rank: int
    state: Path
    mask: int
    value: int
    edges: tuple[int, ...]
    done: Path


@dataclass(frozen=True)
class SortShard:
    """The entries of one range out of all ``splits``, sorted into ``done``; ``alone``: also those without company."""

    splits: tuple[Path, ...]
    number: int
    alone: bool
    done: Path


def split_keys(shard: SplitShard) -> None:
    """Write the wanted entries of a block in the order of their ranges, and where each range begins."""
    count = shard.stop - shard.start
    (keys,) = KeyFile(shard.keys, shard.words).blocks([(shard.start, shard.stop)], count)
    state = np.fromfile(shard.state, np.uint8, count, offset=shard.rank)
    chosen = np.flatnonzero((state & np.uint8(shard.mask) == shard.value) & (keys[:, 0] != 0))
    order, bounds = split_entries(keys[chosen], np.array(shard.edges, dtype=np.uint64))
    chosen = chosen[order]
    ranks = (chosen + shard.rank).astype(np.uint32)
    write_arrays(shard.done, {"keys": keys[chosen], "ranks": ranks, "bounds": bounds.astype(np.int64)})


def sort_range(shard: SortShard) -> None:
    """Join the entries of a range, sort them by key, and leave out those that share their key with no other."""
    keys, ranks = [], []
    for path in shard.splits:
        arrays = map_arrays(path)
        part = slice(*arrays["bounds"][shard.number : shard.number + 2].tolist())
        keys.append(arrays["keys"][part])
        ranks.append(arrays["ranks"][part])
    joined, places = sort_entries(np.concatenate(keys), np.concatenate(ranks))
    if not shard.alone:
        company = _in_company(joined)
        joined, places = joined[company], places[company]
    write_arrays(shard.done, {"keys": joined, "ranks": places})


def shuffled_partitions(
    file: KeyFile, state: np.ndarray, mask: int, value: int, *, ranges: Sequence[tuple[int, int]], edges: np.ndarray,
    alone: bool, workers: Executor,
) -> Iterator[Partition]:  # fmt: skip
    """Yield the wanted entries of a key file by ranges of the key; parameters as of the shards above."""
    folder = file.path.with_suffix(".shuffle")
    folder.mkdir(exist_ok=True)
    state.tofile(folder / "state.u8")
    blocks = list(_blocks(ranges))
    splits = [
        SplitShard(
            file.path, file.words, start, stop, rank, folder / "state.u8", mask, value, tuple(edges.tolist()),
            folder / f"split-{number:05d}.safetensors",
        )
        for number, (start, stop, rank) in enumerate(blocks)
    ]  # fmt: skip
    paths = tuple(shard.done for shard in workers.map_shards(split_keys, splits))
    starts = [0, *edges[:-1].tolist()]
    limits = list(zip(starts, edges.tolist(), strict=True))
    sorts = [SortShard(paths, n, alone, folder / f"range-{n:05d}.safetensors") for n in range(len(limits))]
    for shard in workers.map_shards(sort_range, sorts):
        arrays = map_arrays(shard.done)
        yield Partition(np.array(arrays["keys"]), np.array(arrays["ranks"]), limits[shard.number])
        shard.done.unlink()
    shutil.rmtree(folder)


def _blocks(ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Yield (start, stop, rank of the first) of runs of entries of bearable size."""
    rank = 0
    for start, stop in ranges:
        for first in range(start, stop, _BLOCK_ENTRIES):
            last = min(first + _BLOCK_ENTRIES, stop)
            yield first, last, rank
            rank += last - first


@njit(cache=True, nogil=True)
def _in_company(keys: np.ndarray) -> np.ndarray:
    """Tell which entries share their key with a neighbour: (m,) bool; keys (m, words) ascending."""
    out = np.zeros(len(keys), dtype=np.bool_)
    for entry in range(1, len(keys)):
        same = True
        for word in range(keys.shape[1]):
            same = same and keys[entry, word] == keys[entry - 1, word]
        if same:
            out[entry] = out[entry - 1] = True
    return out
