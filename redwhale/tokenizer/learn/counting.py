"""The sample counted file by file, by any number of processes: the same words and counts as in one go.

Which parts of a file are taken depends on how much came before it, so two passes go over the files: the first
measures the parts, the second, told where each file begins in the whole, counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from redwhale.core.cluster.executors import Executor
from redwhale.corpus.arrays import map_arrays, write_arrays
from redwhale.corpus.reader import CorpusSource, iterate_texts
from redwhale.tokenizer.base import BaseTokenizer, read_base
from redwhale.tokenizer.learn.sample import Sample, SampleCounter, SpreadPart, segments, shares_of
from redwhale.tokenizer.learn.words import CODE_POINTS, WordCounts, join_counts


@dataclass(frozen=True)
class MeasureShard:
    """A corpus file whose parts of at most ``characters`` are to be measured into ``done``."""

    file: Path
    characters: int
    done: Path


@dataclass(frozen=True)
class CountShard:
    """A corpus file whose share of the sample is to be counted into ``done``.

    ``share`` of ``total`` bytes of its source are taken, of which ``seen`` and ``taken`` came before this file.
    """

    file: Path
    base: Path
    share: int
    total: int
    seen: int
    taken: int
    done: Path


def measure_parts(shard: MeasureShard) -> None:
    """Write the size in bytes of each part of a file's texts."""
    sizes = [len(part.encode()) for text in _texts(shard.file) for _, part in segments(text, shard.characters)]
    write_arrays(shard.done, {"sizes": np.array(sizes, dtype=np.uint32)})


def count_parts(shard: CountShard) -> None:
    """Write the words and characters of the parts that are taken of a file."""
    counter = SampleCounter(read_base(shard.base))
    spread = SpreadPart(shard.share, shard.total, seen_bytes=shard.seen, taken_bytes=shard.taken)
    taken = 0
    for part, begins in spread.take(_texts(shard.file)):
        counter.add(part, begins)
        taken += len(part.encode())
    words, characters = counter.finish()
    write_arrays(shard.done, {
        "data": words.data, "offsets": words.offsets, "counts": words.counts, "characters": characters,
        "taken": np.array([taken], dtype=np.int64),
    })  # fmt: skip


def count_sample(
    sources: Sequence[CorpusSource], base: BaseTokenizer, *, sample_bytes: int, weights: Mapping[str, float] | None,
    folder: Path, workers: Executor,
) -> Sample:  # fmt: skip
    """Return what ``read_sample`` does; files of the way lie in ``folder``."""
    shares = shares_of(sources, sample_bytes, weights)
    measures = [
        MeasureShard(
            file, SpreadPart(share, source.text_bytes).characters, folder / f"sizes-{source.name}-{number:05d}"
        )
        for source, share in shares
        for number, file in enumerate(source.train_files)
    ]
    sizes = {shard.file: shard.done for shard in workers.map_shards(measure_parts, measures)}
    counts = [shard for source, share in shares for shard in _count_shards(source, share, sizes, base, folder)]
    characters = np.zeros(CODE_POINTS, dtype=np.int64)
    taken: dict[str, int] = {}
    parts: list[WordCounts] = []
    names = [source.name for source, _ in shares for _ in source.train_files]
    for name, shard in zip(names, workers.map_shards(count_parts, counts), strict=True):
        arrays = map_arrays(shard.done)
        parts.append(WordCounts(arrays["data"], arrays["offsets"], arrays["counts"]))
        characters += arrays["characters"]
        if size := int(arrays["taken"][0]):
            taken[name] = taken.get(name, 0) + size
    return Sample(join_counts(parts), characters, text_bytes=sum(taken.values()), sources=taken)


def _count_shards(
    source: CorpusSource, share: int, sizes: Mapping[Path, Path], base: BaseTokenizer, folder: Path
) -> Iterator[CountShard]:
    spread = SpreadPart(share, source.text_bytes)
    for number, file in enumerate(source.train_files):
        done = folder / f"words-{source.name}-{number:05d}"
        yield CountShard(
            file, base.folder, share, source.text_bytes, spread.seen_bytes, spread.taken_bytes, done
        )  # fmt: skip
        for size in map_arrays(sizes[file])["sizes"].tolist():
            spread.wanted(size)


def _texts(file: Path) -> Iterator[str]:
    return (text for batch in iterate_texts([file]) for text in batch)
