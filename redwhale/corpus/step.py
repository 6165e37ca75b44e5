"""The ``preprocess`` step: raw text to a cleaned, deduplicated, split corpus."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from redwhale.core.artifact import GateRecord, Manifest, check_outputs, read_manifest
from redwhale.core.console import Console
from redwhale.core.errors import GATE, RESOURCES, RedwhaleError
from redwhale.core.publish import TEMPORARY_PREFIX, make_folder, write_json
from redwhale.core.recipe.corpus import Gate, Preprocess
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from redwhale.corpus.inputs import inputs_of, remote_digests
from redwhale.corpus.reader import STATISTICS_NAME, STEP
from redwhale.corpus.tally import EXAMPLES
from redwhale.corpus.waterfall import TITLE, waterfall

ALGORITHM = 5
# Where things lie is no part of what the result is: their digests are.
_PLACES: dict[str, Any] = {
    "existing": True,
    "gates": True,
    "sources": {"__all__": {"path": True, "filters": {"language_model": True}}},
    "filters": {"language_model": True},
    "perplexity": {"reference": True, "model": True, "pieces": True},
    "decontaminate": {"benchmarks": {"__all__": {"path": True}}},
}


def plan(recipe: Recipe) -> Plan:
    """Return what the step reads and depends on; raise exit code 2 where a file is missing."""
    section: Preprocess = recipe.need("preprocess")
    return Plan(
        step=STEP,
        command=recipe.command("preprocess"),
        folder=recipe.corpus_folder,
        inputs=() if section.existing else tuple(inputs_of(recipe, section)),
        fields=_fields(recipe, section),
        algorithm=ALGORITHM,
        gates=partial(_gates, section),
    )


def _fields(recipe: Recipe, section: Preprocess) -> dict[str, Any]:
    """Return the fields that change the output, and the digests of what is not on this machine."""
    remote = {} if section.existing else remote_digests(recipe, section)
    fields = {**section.model_dump(mode="json", exclude=_PLACES), "seed": recipe.seed}
    for source in fields["sources"]:
        if source["format"] != "pairs":  # then a corpus is what it was before there were these
            del source["translation"], source["between"]
    return {**fields, "remote_sources": remote} if remote else fields


def _gates(section: Preprocess, counts: dict[str, Any]) -> list[GateRecord]:
    """Check the share of unreadable records, and that no file was cut or damaged: what it lost is not known."""
    gate = section.gates.bad_records
    share = counts["bad_records"] / counts["records"] if counts["records"] else 0.0
    damaged = float(counts["damaged_files"])
    return [_gate("bad_records", share, gate.above, gate), _gate("damaged_files", damaged, 0.0, gate)]


def _gate(name: str, value: float, above: float, gate: Gate) -> GateRecord:
    return GateRecord(name=name, value=value, above=above, do=gate.do, breached=value > above)


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
    from redwhale.corpus.making import make_corpus

    folder = recipe.corpus_folder
    with disk_full_named(folder):
        outputs, statistics = make_corpus(recipe, section, folder, console=console)
    total = statistics["total"]
    if not total["train_documents"] + total["held_out_documents"]:
        raise RedwhaleError(
            f"no document is left of {total['records']} records: {total['rejected']}",
            where=f"{recipe.file}: preprocess",
            fix="mend the sources or loosen `preprocess.filters`",
            exit_code=GATE,
        )
    console.note_table(TITLE, *waterfall(statistics))
    _warn_of_sources(statistics, console)
    write_json(folder / STATISTICS_NAME, statistics)
    metrics = {"sources": {source["name"]: source for source in statistics["sources"]}}
    return Built([*outputs, folder / STATISTICS_NAME], counts=total, metrics=metrics)


def try_out(recipe: Recipe, records: int, *, console: Console) -> dict[str, Any]:
    """Return the statistics of about the first ``records`` of each source; nothing is left on disk."""
    from redwhale.corpus.making import make_corpus

    section: Preprocess = recipe.need("preprocess")
    make_folder(recipe.root)
    with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY_PREFIX}trial-", dir=recipe.root) as folder:
        return make_corpus(recipe, section, Path(folder), console=console, records=records)[1]


def _warn_of_sources(statistics: dict[str, Any], console: Console) -> None:
    """Name the first records that could not be read, and sources of which nothing is left."""
    for source in statistics["sources"]:
        if examples := source["unreadable_examples"]:
            rest = "" if len(examples) < EXAMPLES else " …"
            console.warn(f"{source['name']}: unreadable records: {', '.join(examples)}{rest}; all are in rejects/")
        if not source["train"]["documents"] + source["held_out"]["documents"]:
            console.warn(f"{source['name']}: no document is left; see rejects/ for the reasons")


@contextlib.contextmanager
def disk_full_named(folder: Path) -> Iterator[None]:
    """Turn a full disk into exit code 4 that names the folder."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise RedwhaleError(
            "the disk is full", where=str(folder), fix="free space and run the same command again", exit_code=RESOURCES
        ) from error
