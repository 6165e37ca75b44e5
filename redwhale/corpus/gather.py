"""The first pass: every chunk of every source through its treatment, into the store, in canonical order."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from types import TracebackType

from redwhale.core.console import Console
from redwhale.core.recipe.corpus import Preprocess
from redwhale.core.recipe.filters import Filters
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.tasks import Workers
from redwhale.corpus.chunk import Cleaned, Treatment, benchmark_index, clean_chunk, keeps_sketches
from redwhale.corpus.dedup.keys import KeyFiles
from redwhale.corpus.dedup.lines import LineFiles
from redwhale.corpus.inputs import benchmark_path
from redwhale.corpus.read.cut import cut_chunks
from redwhale.corpus.read.parse import ColumnCheck
from redwhale.corpus.read.pieces import Chunk
from redwhale.corpus.read.sources import SourceFile
from redwhale.corpus.store import Store
from redwhale.corpus.tally import Tally


def treatments_of(recipe: Recipe, section: Preprocess, index_file: Path | None = None) -> tuple[Treatment, ...]:
    """Return how each source is treated: by its own settings, or the section's.

    ``index_file``: where the index of the benchmarks lies, if it is built already.
    """
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
            index_file=index_file,
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
        self.store = self._stack.enter_context(Store(folder, [source.name for source in section.sources]))
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

    def add(self, cleaned: Cleaned) -> None:
        """Append one chunk."""
        self.store.add(
            cleaned.source, cleaned.rows, row_count=cleaned.row_count, ids=cleaned.ids, columns=cleaned.columns
        )
        self.keys.add(**cleaned.keys)
        if self.lines and cleaned.lines:
            self.lines.add(*cleaned.lines)
        self.tallies[cleaned.source].add(cleaned.tally)

    def finish(self) -> None:
        """Bring everything to the files; then it can be read."""
        self.store.flush()
        self.keys.finish()
        if self.lines:
            self.lines.finish()


def size_of(files: Sequence[Sequence[SourceFile]]) -> int:
    """Return the bytes of the files of all sources."""
    return sum(file.size for part in files for file in part)


def _shared_index(treatment: Treatment, store: Store) -> Path | None:
    """Build the index of the benchmarks once for all processes."""
    if treatment.decontaminate is None:
        return None
    file = store.path("benchmarks.index")
    benchmark_index(treatment.benchmarks).save(file)
    return file


def gather(
    recipe: Recipe,
    section: Preprocess,
    files: Sequence[Sequence[SourceFile]],
    gathered: Gathered,
    *,
    workers: Workers,
    console: Console,
    records: int | None = None,
) -> None:
    """Read and clean the sources, at most about ``records`` of each; warn of every damaged file."""
    total = size_of(files)
    tallies = gathered.tallies

    def wanted(chunk: Chunk) -> bool:
        return records is None or tallies[chunk.source].records < records

    chunks = (
        chunk
        for index, source in enumerate(section.sources)
        for chunk in takewhile(wanted, cut_chunks(source, index, files[index], limit=section.max_record_bytes))
    )
    check = ColumnCheck(section.sources)
    treatments = treatments_of(recipe, section)
    if workers.count > 1:
        workers.start(import_module, clean_chunk.__module__)
        treatments = treatments_of(recipe, section, _shared_index(treatments[0], gathered.store))
    treat = partial(clean_chunk, treatments, records)
    with console.progress("preprocess", total=total, unit="B") as progress:
        for cleaned in workers.map(treat, chunks):
            check.see(cleaned.source, cleaned.seen)
            gathered.add(cleaned)
            for file, detail in cleaned.damage:
                console.warn(
                    f"{section.sources[cleaned.source].name}: {file} is damaged ({detail}); what comes after is lost: "
                    "fetch the file again"
                )
            progress.advance(cleaned.input_bytes)
    check.end()
    gathered.finish()
