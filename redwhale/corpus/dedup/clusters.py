"""Groups of equal keys joined to clusters: kernels over sorted partitions, 5 bytes a document.

``parent``: (n,) uint32, the way to the document that survives; ``state``: (n,) uint8 by the masks below.
Documents are numbered by rank: of two, the one with the smaller number survives.
"""

from __future__ import annotations

import numpy as np
from numba import njit

KEPT, EXACT, URL, NEAR = range(4)
INDEXED = 4
KIND = np.uint8(3)
TAKES_PART = np.uint8(4)
CANDIDATE = np.uint8(8)
INDEX_SHIFT = 4  # the upper half: number of the index that holds a duplicate, from 1; 0 for none
MOST_INDICES = 15
NEIGHBOURS = 8


@njit(cache=True, nogil=True)
def _root(parent: np.ndarray, item: int) -> int:
    """Return the smallest document of the cluster of ``item``, halving the path to it."""
    while parent[item] != item:
        parent[item] = parent[parent[item]]
        item = parent[item]
    return item


@njit(cache=True, nogil=True)
def _run_end(keys: np.ndarray, start: int) -> int:
    """Return the end of the run of equal keys that begins at ``start``; keys: (m, words) uint64, ascending."""
    end = start + 1
    while end < len(keys):
        for word in range(keys.shape[1]):
            if keys[end, word] != keys[start, word]:
                return end
        end += 1
    return end


@njit(cache=True, nogil=True)
def point_to_first(keys: np.ndarray, ranks: np.ndarray, parent: np.ndarray, state: np.ndarray, kind: int) -> None:
    """Mark all documents with one key but the first as duplicates of it, of a ``kind``."""
    start = 0
    while start < len(keys):
        end = _run_end(keys, start)
        first = ranks[start:end].min()
        for place in range(start, end):
            if ranks[place] != first:
                parent[ranks[place]] = first
                state[ranks[place]] |= np.uint8(kind)
        start = end


@njit(cache=True, nogil=True)
def first_of_runs(keys: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return the entry of the smallest document of each key: (different keys,) int64."""
    out = np.empty(len(keys), dtype=np.int64)
    start, count = 0, 0
    while start < len(keys):
        end = _run_end(keys, start)
        out[count] = start + np.argmin(ranks[start:end])
        count += 1
        start = end
    return out[:count]


@njit(cache=True, nogil=True)
def join(keys: np.ndarray, ranks: np.ndarray, parent: np.ndarray) -> None:
    """Unite the clusters of all documents that have a key in common, under the smallest."""
    start = 0
    while start < len(keys):
        end = _run_end(keys, start)
        for place in range(start + 1, end):
            one, two = _root(parent, ranks[start]), _root(parent, ranks[place])
            if one < two:
                parent[two] = one
            else:
                parent[one] = two
        start = end


@njit(cache=True, nogil=True)
def places_in(known: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return the place of each key in ``known``, -1 where it is not there: (m,) int64; both (·, words), ascending."""
    out = np.full(len(keys), -1, dtype=np.int64)
    place = 0
    for entry in range(len(keys)):
        order = -1  # of the known key to the one that is looked for
        while place < len(known) and order < 0:
            order = 0
            for word in range(keys.shape[1]):
                if known[place, word] != keys[entry, word]:
                    order = -1 if known[place, word] < keys[entry, word] else 1
                    break
            place += order < 0
        if order == 0 and place < len(known):
            out[entry] = place
    return out


@njit(cache=True, nogil=True)
def mark_indexed(ranks: np.ndarray, state: np.ndarray, index: int, kind: int) -> None:
    """Note at documents the number of an index (from 1, unless it is of one before that), and their kind."""
    for rank in ranks:
        state[rank] |= np.uint8(kind)
        _note_index(state, rank, index)


@njit(cache=True, nogil=True)
def settle(parent: np.ndarray, state: np.ndarray) -> None:
    """Turn ``parent`` into survivors and ``state`` into fates, in place.

    The fate is the kind of duplicate, plus INDEXED where a document of the cluster is in an index: then the whole
    cluster goes, and the survivor is the number of that index, from 0.
    """
    for item in range(len(parent)):
        root = _root(parent, item)
        parent[item] = root
        _note_index(state, root, np.int64(state[item] >> INDEX_SHIFT))
    for item in range(len(parent)):
        root = parent[item]
        index = np.int64(state[root] >> INDEX_SHIFT)  # of a root it stays until the last loop: others look it up
        if state[item] & KIND == KEPT and (root != item or index):
            state[item] = NEAR
        state[item] = np.uint8((state[item] & KIND) | (index << INDEX_SHIFT))
    for item in range(len(parent)):
        index = np.int64(state[item] >> INDEX_SHIFT)
        if index:
            parent[item] = index - 1
            state[item] = np.uint8((state[item] & KIND) | INDEXED)


@njit(cache=True, nogil=True)
def _note_index(state: np.ndarray, item: int, index: int | np.int64) -> None:
    """Note the number of an index (from 1, 0 for none) at a document, unless it has a smaller one."""
    known = np.int64(state[item] >> INDEX_SHIFT)
    if index and (known == 0 or index < known):
        state[item] = np.uint8((state[item] & 15) | (index << INDEX_SHIFT))


@njit(cache=True, nogil=True)
def fill_pairs(
    keys: np.ndarray, ranks: np.ndarray, state: np.ndarray, out: np.ndarray, place: int, run: int, end: int
) -> tuple[int, int, int, int]:
    """Write pairs (later << 32 | earlier) of documents with one key, from entry ``place`` on, in a run from ``run``.

    Each document is paired with the first of its run and the NEIGHBOURS before it, so a run costs no more than its
    length. Both are marked as candidates. Returns where to go on (place, run, its end), and how many were written.
    """
    count = 0
    while place < len(keys) and count + NEIGHBOURS + 1 <= len(out):
        if place == end:
            run, end = place, _run_end(keys, place)
        if place == run:
            ranks[run:end].sort()
        for other in range(max(run, place - NEIGHBOURS), place):
            out[count] = (np.uint64(ranks[place]) << np.uint64(32)) | np.uint64(ranks[other])
            count += 1
        if place - NEIGHBOURS > run:
            out[count] = (np.uint64(ranks[place]) << np.uint64(32)) | np.uint64(ranks[run])
            count += 1
        if end > run + 1:
            state[ranks[place]] |= CANDIDATE
        place += 1
    return place, run, end, count


@njit(cache=True, nogil=True)
def _are_similar(one: np.ndarray, two: np.ndarray, at_least: float) -> bool:
    """Tell whether two ascending sets of hashes have at least that share of their union in common."""
    if min(len(one), len(two)) < at_least * max(len(one), len(two)):
        return False
    left, right, common = 0, 0, 0
    while left < len(one) and right < len(two):
        first, second = one[left], two[right]
        common += first == second
        left += first <= second
        right += second <= first
    return common >= at_least * (len(one) + len(two) - common)


@njit(cache=True, nogil=True)
def find_similar(pairs: np.ndarray, hashes: np.ndarray, offsets: np.ndarray, at_least: float) -> np.ndarray:
    """Return for each set of hashes the one that stays in its place, itself where it stays: (sets,) int64.

    ``pairs``: (m, 2) int64, later and earlier set, those of the first in rank first. A set goes where it is similar
    to an earlier one that stays; in place of an earlier one that goes it is compared with what stays for that.
    """
    stays = np.arange(len(offsets) - 1)
    compared = np.full(len(offsets) - 1, -1)  # the last set compared with each
    for pair in range(len(pairs)):
        later, earlier = pairs[pair, 0], stays[pairs[pair, 1]]
        if stays[later] != later or compared[earlier] == later:
            continue
        compared[earlier] = later
        one = hashes[offsets[later] : offsets[later + 1]]
        if _are_similar(one, hashes[offsets[earlier] : offsets[earlier + 1]], at_least):
            stays[later] = earlier
    return stays
