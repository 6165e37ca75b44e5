"""The last pass as a whole: cut each source into shards, write them in worker processes, gather what is held out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from redwhale.core.cluster.executors import Executor
from redwhale.core.console import Console
from redwhale.core.recipe.corpus import Preprocess
from redwhale.corpus.fates import FATES, TRAIN, Details, starts_of
from redwhale.corpus.repeated import Repeated
from redwhale.corpus.shards import ShardTask, Written, cut_shards, held_out_rows, write_held_out, write_shard
from redwhale.corpus.store import Store


def write_corpus(
    folder: Path,
    section: Preprocess,
    store: Store,
    fates: np.ndarray,
    *,
    repeated: Sequence[Repeated],
    limits: Sequence[tuple[float | None, float | None]],
    indices: Sequence[str],
    workers: Executor,
    console: Console,
) -> list[Written]:
    """Write every document and reject below ``folder``; return per source what it came to.

    ``repeated``: lines to take out, ``limits``: lowest and highest perplexity kept, of each source; ``indices``:
    names of the indices compared with.
    """
    fates.tofile(store.path(FATES))
    names = tuple(source.name for source in section.sources)
    starts = starts_of([store.span(index) for index in range(len(names))])
    tasks = [
        task
        for index in range(len(names))
        for task in _tasks(
            folder, section, store, index, fates=fates,
            details=Details(store.folder, names, starts, tuple(indices), limits[index]), repeated=repeated[index],
        )
    ]  # fmt: skip
    of_source = {name: Written() for name in names}
    with console.progress("preprocess: write", total=len(tasks), unit="shards") as progress:
        for task in workers.map_shards(write_shard, tasks):
            whole = of_source[task.source]
            whole.add(task.result())
            progress.advance(1)
            if task.tail:
                aside = held_out_rows(each for each in tasks if each.source == task.source)
                whole.paths += write_held_out(folder, task.source, aside, limit=section.shard_bytes)
    return [of_source[name] for name in names]


def _tasks(
    folder: Path,
    section: Preprocess,
    store: Store,
    index: int,
    *,
    fates: np.ndarray,
    details: Details,
    repeated: Repeated,
) -> Iterator[ShardTask]:
    source = section.sources[index]
    first, last = store.span(index)
    sizes = store.column("sizes")[first:last] * (fates[first:last] == TRAIN)
    cuts = cut_shards(sizes, limit=section.shard_bytes)
    chunks = store.chunks[index]
    for number, (start, stop) in enumerate(cuts):
        tail = number == len(cuts) - 1
        begin = bisect_left(chunks, first + start, key=lambda chunk: chunk.first + chunk.documents)
        end = len(chunks) if tail else bisect_left(chunks, first + stop, key=lambda chunk: chunk.first)
        yield ShardTask(
            folder, source.name, source.language, number, chunks=tuple(chunks[begin:end]),
            first=first + start, last=first + stop, tail=tail, details=details, repeated=repeated,
        )  # fmt: skip
