"""Make a corpus: the method step by step, over all sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from redwhale.core.cluster.executors import Executor, executor_for
from redwhale.core.console import Console
from redwhale.core.recipe.corpus import Preprocess
from redwhale.core.recipe.perplexity import shares_of
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import scratch_of
from redwhale.core.tasks import Workers
from redwhale.corpus.chunk import benchmark_index
from redwhale.corpus.decide import (
    find_repeated,
    hold_out,
    is_wholly_held_out,
    origins_of,
    remove_duplicates,
    take_samples,
)
from redwhale.corpus.dedup.clusters import INDEXED
from redwhale.corpus.dedup.fates import Duplicates, size_histogram
from redwhale.corpus.dedup.index import Index, index_settings, open_indices, write_index
from redwhale.corpus.fates import CLUSTER_SIZES, REASONS
from redwhale.corpus.filters.language import check_language_model
from redwhale.corpus.gather import Gathered, gather, size_of, treatments_of
from redwhale.corpus.inputs import index_folders, language_models, reference_files
from redwhale.corpus.perplexity.apply import Filtered, filter_by_perplexity
from redwhale.corpus.read.sources import SourceFile, source_files
from redwhale.corpus.statistics import corpus_statistics, source_statistics
from redwhale.corpus.store import Store
from redwhale.corpus.write import write_corpus

INDEX_FOLDER = "index"
_BYTES_PER_WORKER = 1 << 20


def make_corpus(
    recipe: Recipe, section: Preprocess, folder: Path, *, console: Console, records: int | None = None
) -> tuple[list[Path], dict[str, Any]]:
    """Write the corpus below ``folder``; return its files and statistics. ``records``: about so many of each source."""
    files = [source_files(recipe, source, index) for index, source in enumerate(section.sources)]
    for model in language_models(recipe, section):
        check_language_model(str(model))
    settings = index_settings(section.deduplicate)
    against = open_indices(index_folders(recipe, section), settings=settings, own=folder / INDEX_FOLDER)
    with (
        _executor(recipe, files, scratch_of(folder), console=console, is_trial=records is not None) as workers,
        Gathered(scratch_of(folder), section) as gathered,
    ):
        store = gathered.store
        gather(recipe, section, files, gathered, workers=workers, console=console, records=records)
        duplicates = remove_duplicates(section, gathered, against=against, workers=workers)
        facts: dict[str, Any] = {"duplicates": _copies(section, gathered, duplicates, against)}
        fates = duplicates.fate
        filtered = _filter_by_perplexity(recipe, section, store, fates, workers=workers, console=console)
        hold_out(section, store, fates)
        take_samples(section, store, fates)
        repeated = find_repeated(section, gathered, fates)
        written = write_corpus(
            folder, section, store, fates, repeated=repeated, limits=filtered.limits,
            indices=[index.name for index in against], workers=workers, console=console,
        )  # fmt: skip
        outputs = [path for part in written for path in part.paths]
        if section.deduplicate.index:
            origins = origins_of(section, store)
            outputs += write_index(folder / INDEX_FOLDER, gathered.keys, origins, settings=settings)
    facts |= {"perplexity": filtered.told, "contamination": _contamination(recipe, section, gathered)}
    numbers = [
        source_statistics(source, files=len(files[index]), tally=gathered.tallies[index], written=written[index])
        | {"headers_and_footers": len(repeated[index].edges)}
        for index, source in enumerate(section.sources)
    ]
    return outputs, corpus_statistics(numbers, **facts)


def _executor(
    recipe: Recipe, files: Sequence[Sequence[SourceFile]], scratch: Path, *, console: Console, is_trial: bool
) -> AbstractContextManager[Executor]:
    """Return who does the work: a trial, which reads little, this process."""
    if is_trial:
        return Workers(1)
    most = 1 + size_of(files) // _BYTES_PER_WORKER
    return executor_for(recipe, most=most, folder=scratch / "jobs", console=console)


def _copies(
    section: Preprocess, gathered: Gathered, duplicates: Duplicates, against: Sequence[Index]
) -> dict[str, Any]:
    """Return what is told of duplicates: sizes of clusters, and by pairs of sources how many go for which."""
    path = gathered.store.path(CLUSTER_SIZES)
    duplicates.write_cluster_sizes(path)
    names = [source.name for source in section.sources]
    pairs = []
    for fate, counts in duplicates.pairs_by_source(origins_of(section, gathered.store)).items():
        others = [f"index {index.name}" for index in against] if fate > INDEXED else names
        pairs += [
            {"reason": REASONS[fate], "source": names[row], "of": others[column], "documents": int(counts[row, column])}
            for row, column in np.argwhere(counts).tolist()
        ]
    return {"cluster_sizes": {str(size): count for size, count in size_histogram(path).items()}, "pairs": pairs}


def _filter_by_perplexity(
    recipe: Recipe, section: Preprocess, store: Store, fates: np.ndarray, *, workers: Executor, console: Console
) -> Filtered:
    settings = section.perplexity
    names = [source.name for source in section.sources]
    shares = [
        shares_of(
            settings, "off" if is_wholly_held_out(section, source) else source.perplexity, language=source.language
        )
        for source in section.sources
    ]
    if settings is None or not any(shares):
        return Filtered([(None, None)] * len(names), {})
    files = None
    if settings.model and settings.pieces:
        files = recipe.path(settings.model), recipe.path(settings.pieces)
    return filter_by_perplexity(
        settings, names, shares, store, fates,
        reference=reference_files(recipe, section), files=files, workers=workers, console=console,
    )  # fmt: skip


def _contamination(recipe: Recipe, section: Preprocess, gathered: Gathered) -> list[dict[str, Any]]:
    """Return per benchmark, split and field how many documents hold its texts."""
    if section.decontaminate is None:
        return []
    index = benchmark_index(treatments_of(recipe, section)[0].benchmarks)
    counts = {
        name: sum((getattr(tally, name) for tally in gathered.tallies), Counter[int]())
        for name in ("contaminated", "passages", "phrases")
    }
    return index.report(counts)
