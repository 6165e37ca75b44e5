"""Decide over all documents which are duplicates of which: sorted keys on disk, 5 bytes a document in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from redwhale.core.cluster.executors import Executor
from redwhale.core.errors import RESOURCES, RedwhaleError
from redwhale.core.recipe.deduplicate import NearDuplicates
from redwhale.corpus.dedup.clusters import (
    EXACT,
    KEPT,
    KIND,
    NEAR,
    TAKES_PART,
    URL,
    join,
    mark_indexed,
    places_in,
    point_to_first,
    settle,
)
from redwhale.corpus.dedup.fates import Duplicates
from redwhale.corpus.dedup.index import Index
from redwhale.corpus.dedup.keys import (
    MEMORY_BYTES,
    KeyFile,
    KeyFiles,
    Origin,
    Partition,
    edges_for,
    sorted_partitions,
)
from redwhale.corpus.dedup.ranks import Ranks
from redwhale.corpus.dedup.shuffle import shuffled_partitions
from redwhale.corpus.dedup.verify import TextsOf, Verification

_MOST_DOCUMENTS = (1 << 32) - 1


def find_duplicates(
    keys: KeyFiles,
    origins: Sequence[Origin],
    *,
    near: NearDuplicates | None,
    against: Sequence[Index] = (),
    texts_of: TextsOf | None = None,
    memory_bytes: int = MEMORY_BYTES,
    workers: Executor | None = None,
) -> Duplicates:
    """Decide which documents go: exact copies, then copies by URL, then near-duplicates among what is left.

    Of each group the first document of a preferred source stays, otherwise the first in order. A document that
    duplicates one of an index goes, and its group with it. Near-duplicates by the bands alone are the connected
    components of documents that share a band; with ``check: exact`` a document goes where one that stays has
    ``at_least`` of their shingles in common, and ``texts_of`` is called once; an index holds no texts, so there the
    share is estimated from sketches. Resident: 5 bytes a document and
    about ``memory_bytes``; ``check: exact`` takes 12 bytes more for each document that shares a band.
    """
    ranks = Ranks(origins)
    if ranks.documents > _MOST_DOCUMENTS:
        raise RedwhaleError(
            f"{ranks.documents} documents are more than can be compared at once ({_MOST_DOCUMENTS})",
            where="preprocess.sources",
            fix="split the sources into several corpora",
            exit_code=RESOURCES,
        )
    parent = np.arange(ranks.documents, dtype=np.uint32)
    state = ranks.spread(np.array([TAKES_PART if origin.takes_part else 0 for origin in origins], dtype=np.uint8))
    unmarked = partial(
        _unmarked, state, ranks=ranks, memory_bytes=memory_bytes, workers=workers, alone=bool(against)
    )  # fmt: skip
    for file, kind in ((keys.exact, EXACT), (keys.urls, URL)):
        if file is not None:
            for part in unmarked(file, 0):
                point_to_first(part.keys, part.ranks, parent, state, kind)
                _look_up(part, file, against, state=state, kind=kind)
    if near and near.check == "none":
        for part in _bands(keys, state, against, unmarked, near=near, ranks=ranks):
            join(part.keys, part.ranks, parent)
    elif near:
        assert texts_of is not None, "the exact check reads texts"
        bands = _bands(keys, state, against, unmarked, near=near, ranks=ranks)
        with Verification(keys.folder, near, ranks, memory_bytes=memory_bytes) as verification:
            verification.collect(bands, state)
            verification.read(texts_of, state)
            verification.decide(parent, state)
    settle(parent, state)
    return Duplicates(*ranks.in_order(state, parent, folder=keys.folder))


def _unmarked(
    state: np.ndarray, file: KeyFile, bits: int | np.uint8, *, ranks: Ranks, memory_bytes: int,
    workers: Executor | None, alone: bool,
) -> Iterator[Partition]:  # fmt: skip
    """Yield the entries of documents that no earlier step marked, with ``bits`` of the state set; a key 0 is none.

    Several ranges of the key are sorted by ``workers``; then entries ``alone`` with their key come only where asked.
    """
    edges = edges_for(file, memory_bytes)
    if len(edges) > 1 and workers is not None and not workers.alone:
        return shuffled_partitions(
            file, state, int(KIND | np.uint8(bits)), int(bits), ranges=ranks.ranges, edges=edges, alone=alone,
            workers=workers,
        )  # fmt: skip

    def wanted(first: int, keys: np.ndarray) -> np.ndarray:
        part = state[first : first + len(keys)]
        return (part & (KIND | bits) == bits) & (keys[:, 0] != 0)

    return sorted_partitions(file, wanted, ranges=ranks.ranges, memory_bytes=memory_bytes, edges=edges)


def _bands(
    keys: KeyFiles,
    state: np.ndarray,
    against: Sequence[Index],
    unmarked: Callable[[KeyFile, np.uint8], Iterator[Partition]],
    *,
    near: NearDuplicates,
    ranks: Ranks,
) -> Iterator[Partition]:
    """Yield the entries of all bands, once the indices have been looked up."""
    for file in keys.bands:
        for part in unmarked(file, TAKES_PART):
            if near.check == "none":
                _look_up(part, file, against, state=state, kind=KEPT)
            else:
                _look_up_similar(part, file, against, state=state, near=near, keys=keys, ranks=ranks)
            yield part


def _look_up(part: Partition, file: KeyFile, against: Sequence[Index], *, state: np.ndarray, kind: int) -> None:
    """Note at the documents of a partition the first index that holds their key."""
    for number, index in enumerate(against, start=1):
        for known, _ in index.keys(file, part.limits):
            mark_indexed(part.ranks[places_in(known, part.keys) >= 0], state, number, kind)


def _look_up_similar(
    part: Partition,
    file: KeyFile,
    against: Sequence[Index],
    *,
    state: np.ndarray,
    near: NearDuplicates,
    keys: KeyFiles,
    ranks: Ranks,
) -> None:
    """Mark the documents of a partition that are near-duplicates of one that an index holds, by their sketches."""
    for number, index in enumerate(against, start=1):
        for known, documents in index.keys(file, part.limits):
            places = places_in(known, part.keys)
            chosen = np.flatnonzero((places >= 0) & (state[part.ranks] & KIND == KEPT))
            found = part.ranks[chosen]
            similar = index.similar(keys, ranks.numbers(found), documents[places[chosen]], near)
            mark_indexed(found[similar], state, number, NEAR)
