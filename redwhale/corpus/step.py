"""The ``preprocess`` step: raw text to a cleaned, deduplicated, split corpus."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redwhale.core.artifact import GateRecord, Input, Manifest, check_outputs, read_manifest
from redwhale.core.console import Console
from redwhale.core.errors import GATE, RESOURCES, RedwhaleError
from redwhale.core.publish import write_json
from redwhale.core.recipe.corpus import Preprocess
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from redwhale.core.tasks import map_shards
from redwhale.corpus.read.sources import SourceFile, source_files
from redwhale.corpus.reader import STATISTICS_NAME, STEP

if TYPE_CHECKING:
    from redwhale.corpus.chunk import Cleaned, Treatment
    from redwhale.corpus.scratch import Scratch

ALGORITHM = 1
_BYTES_PER_WORKER = 1 << 20


def plan(recipe: Recipe) -> Plan:
    """Return what the step reads and depends on; raise exit code 2 where a source has no file."""
    section: Preprocess = recipe.need("preprocess")
    inputs = [
        Input(f"source:{source.name}/{file.name}", file.path)
        for index, source in enumerate(section.sources)
        for file in source_files(recipe, source, index)
    ]
    return Plan(
        step=STEP,
        command=recipe.command("preprocess"),
        folder=recipe.corpus_folder,
        inputs=tuple(inputs),
        fields=_fields(recipe, section),
        algorithm=ALGORITHM,
        gates=partial(_gates, section),
    )


def _fields(recipe: Recipe, section: Preprocess) -> dict[str, Any]:
    """Return the fields that change the output: not where the files lie (their digests count), nor gates."""
    fields = section.model_dump(
        mode="json", exclude={"existing": True, "gates": True, "sources": {"__all__": {"path"}}}
    )
    return {**fields, "seed": recipe.seed}


def _gates(section: Preprocess, counts: dict[str, Any]) -> list[GateRecord]:
    from redwhale.corpus.statistics import gates

    return gates(section, counts)


def run(recipe: Recipe, *, console: Console, fresh: bool = False, verify: bool = False) -> Manifest:
    """Make the corpus, or verify the existing one that the recipe names; say so where it is done.

    Raises exit code 2 for a missing file or column, 3 where no document is left, 4 where the disk is full.
    """
    section: Preprocess = recipe.need("preprocess")
    if section.existing:
        manifest = read_manifest(recipe.corpus_folder, step=STEP)
        check_outputs(recipe.corpus_folder, manifest, rehash=verify)
        console.note(f"{STEP}: existing ({recipe.corpus_folder})")
        return manifest
    build = partial(_build, recipe, section, console=console)
    return produce(plan(recipe), build, console=console, fresh=fresh, verify=verify)


def _build(recipe: Recipe, section: Preprocess, *, console: Console) -> Built:
    from redwhale.corpus.decide import decide, survivor_ids, write_source
    from redwhale.corpus.scratch import Scratch
    from redwhale.corpus.statistics import corpus_statistics, source_statistics

    folder = recipe.corpus_folder
    files = [source_files(recipe, source, index) for index, source in enumerate(section.sources)]
    names = [source.name for source in section.sources]
    with _disk_full_named(folder), Scratch(folder, names, signature_values=_signature_values(section)) as scratch:
        _clean(recipe, section, files, scratch=scratch, console=console)
        verdicts = decide(section, scratch)
        survivors = survivor_ids(section, scratch, verdicts)
        outputs: list[Path] = []
        numbers = []
        for index, source in enumerate(section.sources):
            written = write_source(folder, section, index, scratch=scratch, verdicts=verdicts, names=survivors)
            outputs += written.paths
            numbers.append(source_statistics(source, len(files[index]), scratch.tallies[index], written))
            _report(numbers[-1], console)
        statistics = corpus_statistics(numbers)
        if not statistics["total"]["train_documents"] + statistics["total"]["held_out_documents"]:
            raise RedwhaleError(
                f"no document is left of {statistics['total']['records']} records: {statistics['total']['rejected']}",
                where=f"{recipe.file}: preprocess",
                fix="mend the sources or loosen `preprocess.filters`",
                exit_code=GATE,
            )
    write_json(folder / STATISTICS_NAME, statistics)
    metrics = {"sources": {number["name"]: number for number in numbers}}
    total = statistics["total"]
    return Built([*outputs, folder / STATISTICS_NAME], counts=total, metrics=metrics)


def _signature_values(section: Preprocess) -> int:
    near = section.deduplicate.near
    return near.bands * near.rows if near else 0


def _treatments(recipe: Recipe, section: Preprocess) -> tuple[Treatment, ...]:
    from redwhale.corpus.chunk import Treatment

    near = section.deduplicate.near
    return tuple(
        Treatment(
            name=source.name,
            language=source.language,
            text_column=source.text,
            filters=source.filters or section.filters,
            mask=section.pii.action == "mask",
            seed=recipe.seed,
            signature_values=_signature_values(section),
            shingle_chars=near.shingle_chars if near else 1,
        )
        for source in section.sources
    )


def _clean(
    recipe: Recipe, section: Preprocess, files: list[list[SourceFile]], *, scratch: Scratch, console: Console
) -> None:
    """Clean every chunk of every file into ``scratch``, in canonical order whatever the number of workers."""
    from redwhale.corpus.chunk import clean_chunk
    from redwhale.corpus.read.chunks import TextColumnCheck, read_chunks

    total = sum(file.path.stat().st_size for part in files for file in part)
    workers = min(recipe.machine.worker_count, 1 + total // _BYTES_PER_WORKER)
    chunks = (
        chunk
        for index, source in enumerate(section.sources)
        for chunk in read_chunks(source, index, files[index], limit=section.max_record_bytes)
    )
    check = TextColumnCheck(section.sources)
    with console.progress(STEP, total=total, unit="B") as progress:
        for cleaned in map_shards(partial(clean_chunk, _treatments(recipe, section)), chunks, workers=workers):
            check.see(cleaned.chunk, objects=cleaned.objects, other_columns=cleaned.other_columns)
            scratch.add(cleaned)
            _warn_of_damage(cleaned, section.sources[cleaned.chunk.source].name, console)
            progress.advance(cleaned.chunk.input_bytes)
    check.end_file()
    scratch.finish()


def _warn_of_damage(cleaned: Cleaned, source: str, console: Console) -> None:
    """Name every file that ends too early or fails its checks: what it lost is not known."""
    from redwhale.corpus.chunk import DAMAGED_FILE_REASONS

    reasons = cleaned.batch.column("reason").to_pylist()
    for place in [place for place, reason in enumerate(reasons) if reason in DAMAGED_FILE_REASONS]:
        file, detail = (cleaned.batch.column(name)[place].as_py() for name in ("file", "detail"))
        console.warn(f"{source}: {file} is damaged ({detail}); what comes after is lost: fetch the file again")


def _report(number: dict[str, Any], console: Console) -> None:
    """Say what a source came to, and warn where nothing is left."""
    rejected = sum(number["rejected"].values())
    out = number["train"]["documents"] + number["held_out"]["documents"]
    console.note(f"{number['name']}: {number['in']['records']} records, {out} documents, {rejected} rejected")
    if not out:
        console.warn(f"{number['name']}: no document is left; see rejects/ for the reasons")


@contextlib.contextmanager
def _disk_full_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise RedwhaleError(
            "the disk is full", where=str(folder), fix="free space and run the same command again", exit_code=RESOURCES
        ) from error
