"""Decide over all documents, one byte each: duplicates over all sources, then held-out documents and samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from redwhale.core.cluster.executors import Executor
from redwhale.core.recipe.cleaning import RepeatedLines
from redwhale.core.recipe.corpus import Preprocess
from redwhale.core.recipe.sources import HeldOut, Source
from redwhale.corpus.chunk import EDGES
from redwhale.corpus.clean.edges import EDGE_LINES, frequent_lines
from redwhale.corpus.dedup.clusters import EXACT, KEPT
from redwhale.corpus.dedup.fates import Duplicates
from redwhale.corpus.dedup.find import find_duplicates
from redwhale.corpus.dedup.index import Index
from redwhale.corpus.dedup.keys import MEMORY_BYTES, KeyFile, Origin, sorted_partitions
from redwhale.corpus.fates import HELD_OUT, HELD_OUT_SURPLUS, SAMPLED_OUT, SCORES, SURVIVORS, TRAIN
from redwhale.corpus.gather import Gathered
from redwhale.corpus.repeated import Repeated
from redwhale.corpus.sampling import sample_mask
from redwhale.corpus.split import held_out_mask
from redwhale.corpus.store import Store


def held_out_of(section: Preprocess, source: Source) -> HeldOut:
    """Return the held-out share that holds for a source."""
    return source.held_out or section.held_out


def is_wholly_held_out(section: Preprocess, source: Source) -> bool:
    """Tell whether nothing of a source is trained on."""
    return held_out_of(section, source).fraction >= 1


def origins_of(section: Preprocess, store: Store) -> list[Origin]:
    """Return how many documents each source has and how they take part; held-out sources win over training ones."""
    return [
        Origin(store.documents_of(index), source.deduplicate, preferred=is_wholly_held_out(section, source))
        for index, source in enumerate(section.sources)
    ]


def remove_duplicates(
    section: Preprocess, gathered: Gathered, *, against: Sequence[Index], workers: Executor
) -> Duplicates:
    """Remove duplicates over all sources: no copy of a held-out text stays in training. Writes who survives."""
    store = gathered.store
    duplicates = find_duplicates(
        gathered.keys,
        origins_of(section, store),
        near=section.deduplicate.near,
        against=against,
        texts_of=store.texts,
        workers=workers,
    )
    duplicates.survivor.tofile(store.path(SURVIVORS))
    return duplicates


def hold_out(section: Preprocess, store: Store, fates: np.ndarray) -> None:
    """Choose held-out documents of what is left: before samples, whose caps then move none of them into training."""
    hashes = store.column("split")
    for index, source in enumerate(section.sources):
        first, last = store.span(index)
        part = fates[first:last]
        stays = np.flatnonzero(part == TRAIN)
        chosen = held_out_mask(hashes[first:last][stays], held_out_of(section, source))
        part[stays[chosen]] = HELD_OUT
        if is_wholly_held_out(section, source):
            part[part == TRAIN] = HELD_OUT_SURPLUS


def take_samples(section: Preprocess, store: Store, fates: np.ndarray) -> None:
    """Reject what a source's `sample` does not choose of its training documents."""
    hashes, sizes = store.column("split"), store.column("sizes")
    for index, source in enumerate(section.sources):
        if source.sample is None:
            continue
        first, last = store.span(index)
        part = fates[first:last]
        values = _scores(store, first, last)
        eligible = part == TRAIN
        kept = sample_mask(hashes[first:last], sizes[first:last], source.sample, scores=values, eligible=eligible)
        part[eligible & ~kept] = SAMPLED_OUT


def _scores(store: Store, first: int, last: int) -> np.ndarray:
    """Return the perplexities of documents, (n,) float32, nan where there are none."""
    if store.path(SCORES).is_file() and last > first:
        return np.memmap(store.path(SCORES), dtype=np.float32, mode="r")[first:last]
    return np.full(last - first, np.nan, dtype=np.float32)


def find_repeated(section: Preprocess, gathered: Gathered, fates: np.ndarray) -> list[Repeated]:
    """Find headers and footers of each source, and lines seen before in the corpus, among documents that stay."""
    store = gathered.store
    if gathered.lines:
        gone = np.where((fates == TRAIN) | (fates == HELD_OUT), KEPT, EXACT).astype(np.uint8)
        gathered.lines.find_repeated(Duplicates(gone, gone), origins_of(section, store))
    found = []
    for index, source in enumerate(section.sources):
        options = (source.clean or section.clean).repeated_lines
        edges = np.empty(0, dtype=np.uint64)
        if options.action == "remove":
            edges = _frequent_edges(store, index, fates, options)
        edges.tofile(path := store.path(f"edges-{index}.u64"))
        least = (source.filters or section.filters).min_chars or 1
        found.append(Repeated(store.folder, path, section.deduplicate.lines, least))
    return found


def _frequent_edges(store: Store, index: int, fates: np.ndarray, options: RepeatedLines) -> np.ndarray:
    """Return the hashes of first and last lines that a source has too often: (h,) uint64, rising."""
    first, last = store.span(index)
    stays = (fates[first:last] == TRAIN) | (fates[first:last] == HELD_OUT)
    width = 2 * EDGE_LINES

    def wanted(start: int, keys: np.ndarray) -> np.ndarray:
        return stays[np.arange(start, start + len(keys)) // width] & (keys[:, 0] != 0)

    file = KeyFile(store.path(EDGES))
    frequent = [np.empty(0, dtype=np.uint64)]
    spans = [(first * width, last * width)]
    for part in sorted_partitions(file, wanted, ranges=spans, memory_bytes=MEMORY_BYTES):
        hashes, counts = np.unique(part.keys[:, 0], return_counts=True)
        frequent.append(frequent_lines(hashes, counts, int(np.count_nonzero(stays)), options))
    return np.sort(np.concatenate(frequent))
