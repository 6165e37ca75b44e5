"""The first pass: every part of every source through its treatment, into the store, in canonical order."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from redwhale.core.cluster.executors import Executor
from redwhale.core.console import Console
from redwhale.core.recipe.corpus import Preprocess
from redwhale.core.recipe.filters import Filters
from redwhale.core.recipe.recipe import Recipe
from redwhale.corpus.chunk import Treatment, benchmark_index, keeps_sketches
from redwhale.corpus.cleaned import CleanedPart, CleanShard, clean_part, read_part
from redwhale.corpus.dedup.keys import KeyFiles
from redwhale.corpus.dedup.lines import LineFiles
from redwhale.corpus.inputs import benchmark_path
from redwhale.corpus.parts import cut_parts
from redwhale.corpus.read.parse import ColumnCheck
from redwhale.corpus.read.sources import SourceFile
from redwhale.corpus.store import Store
from redwhale.corpus.tally import Tally

_PARTS_FOLDER = "parts"


def treatments_of(recipe: Recipe, section: Preprocess) -> tuple[Treatment, ...]:
    """Return how each source is treated: by its own settings, or the section's."""
    decontaminate = section.decontaminate
    benchmarks = decontaminate.benchmarks if decontaminate else []
    return tuple(
        Treatment(
            source=source,
            clean=source.clean or section.clean,
            filters=_with_model(recipe, source.filters or section.filters),
            pii=section.pii,
            deduplicate=section.deduplicate,
            decontaminate=decontaminate,
            benchmarks=tuple((benchmark, benchmark_path(recipe, benchmark)) for benchmark in benchmarks),
            seed=recipe.seed,
        )
        for source in section.sources
    )


def _with_model(recipe: Recipe, filters: Filters) -> Filters:
    """Return filters whose language model is found wherever a worker runs."""
    model = filters.language_model
    return filters if model is None else filters.model_copy(update={"language_model": str(recipe.path(model))})


class Gathered:
    """What the first pass writes: the store, the keys of all documents, and what was counted in each source."""

    def __init__(self, folder: Path, section: Preprocess) -> None:
        settings = section.deduplicate
        self._stack = ExitStack()
        self.store = self._stack.enter_context(Store(folder, len(section.sources)))
        bands = settings.near.bands if settings.near else 0
        self.keys = self._stack.enter_context(
            KeyFiles(
                self.store.folder, exact=settings.exact, urls=settings.urls, bands=bands,
                sketches=keeps_sketches(settings),
            )
        )  # fmt: skip
        self.lines = self._stack.enter_context(LineFiles(self.store.folder)) if settings.lines else None
        self.tallies = [Tally() for _ in section.sources]

    def __enter__(self) -> Gathered:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def add(self, part: CleanedPart) -> None:
        """Append one part."""
        source = part.shard.part.source
        self.store.add(source, part.shard.rows, part.counted.chunks, ids=part.ids, columns=part.columns)
        self.keys.add(**part.keys)
        if self.lines and part.lines:
            self.lines.add(*part.lines)
        self.tallies[source].add(part.counted.tally)

    def finish(self) -> None:
        """Bring everything to the files; then it can be read."""
        self.store.flush()
        self.keys.finish()
        if self.lines:
            self.lines.finish()


def size_of(files: Sequence[Sequence[SourceFile]]) -> int:
    """Return the bytes of the files of all sources."""
    return sum(file.size for part in files for file in part)


def gather(
    recipe: Recipe,
    section: Preprocess,
    files: Sequence[Sequence[SourceFile]],
    gathered: Gathered,
    *,
    workers: Executor,
    console: Console,
    records: int | None = None,
) -> None:
    """Read and clean the sources, at most about ``records`` of each; warn of every damaged file."""
    store = gathered.store

    def wanted(shard: CleanShard) -> bool:
        return records is None or gathered.tallies[shard.part.source].records < records

    shards = _clean_shards(section, files, treatments_of(recipe, section), folder=store.folder, records=records)
    if not workers.alone:
        workers.prepare(clean_part.__module__)
        shards = _with_shared_index(shards, store.path("benchmarks.index"))
    check = ColumnCheck(section.sources)
    with console.progress("preprocess", total=size_of(files), unit="B") as progress:
        for shard in workers.map_shards(clean_part, filter(wanted, shards)):
            part = read_part(shard)
            check.see(shard.part.source, part.counted.seen)
            gathered.add(part)
            for file, detail in part.counted.damage:
                console.warn(
                    f"{section.sources[shard.part.source].name}: {file} is damaged ({detail}); what comes after is "
                    "lost: fetch the file again"
                )
            progress.advance(shard.part.weight)
    check.end()
    gathered.finish()


def _clean_shards(
    section: Preprocess, files: Sequence[Sequence[SourceFile]], treatments: Sequence[Treatment], *, folder: Path,
    records: int | None,
) -> list[CleanShard]:  # fmt: skip
    return [
        CleanShard(
            part, treatments[part.source], folder / _PARTS_FOLDER / f"{number:05d}", section.max_record_bytes, records
        )
        for number, part in enumerate(cut_parts(files))
    ]  # fmt: skip


def _with_shared_index(shards: list[CleanShard], file: Path) -> list[CleanShard]:
    """Build the index of the benchmarks once for all processes, where any is still needed."""
    if all(shard.treatment.decontaminate is None or shard.done.is_file() for shard in shards):
        return shards
    benchmark_index(shards[0].treatment.benchmarks).save(file)
    return [replace(shard, treatment=replace(shard.treatment, index_file=file)) for shard in shards]
