"""Explain what the step does to single documents: every step's value and verdict, before and after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from redwhale.core.artifact import is_finished
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.corpus import Preprocess
from redwhale.core.recipe.recipe import Recipe
from redwhale.corpus.chunk import Processed, Treatment, process, verdicts_of
from redwhale.corpus.dedup.hashes import split_hashes
from redwhale.corpus.filters.verdict import explain as explain_filters
from redwhale.corpus.gather import treatments_of
from redwhale.corpus.pii.kinds import KINDS
from redwhale.corpus.read.collect import Records
from redwhale.corpus.read.cut import cut_chunks
from redwhale.corpus.read.parse import parse_chunk
from redwhale.corpus.read.sources import source_files
from redwhale.corpus.reader import STATISTICS_NAME
from redwhale.corpus.texts import Texts

_KINDS = ("train", "held_out", "rejects")


@dataclass(frozen=True)
class Explained:
    """One record: where it comes from, its text before and after, and the steps as (step, value, limit, verdict)."""

    id: str
    source: str
    file: str
    row: int
    before: str
    after: str
    steps: list[tuple[str, str, str, str]]
    verdict: str

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON takes it."""
        steps = [dict(zip(("step", "value", "limit", "verdict"), step, strict=True)) for step in self.steps]
        return {**self.__dict__, "steps": steps}


def explain(recipe: Recipe, wanted: str) -> Explained:
    """Explain the record with this id, or ``source/id``; raise exit code 2 where there is none.

    What all documents together decide (duplicates, perplexity, the split) is taken from the finished corpus.
    """
    section: Preprocess = recipe.need("preprocess")
    place = _place_of(recipe, wanted) if is_finished(recipe.corpus_folder) else None
    for index, treatment in enumerate(treatments_of(recipe, section)):
        if place and place["source"] != treatment.source.name:
            continue
        for records in _records(recipe, section, index, file=place["file"] if place else None):
            for number, identifier in enumerate(records.ids):
                if wanted in (identifier, f"{treatment.source.name}/{identifier}"):
                    return _explained(records, number, treatment, place)
            for rejected in records.rejected:
                if wanted in (rejected.id, f"{treatment.source.name}/{rejected.id}"):
                    return Explained(
                        rejected.id, treatment.source.name, rejected.file, rejected.row,
                        rejected.excerpt.decode("utf-8", "replace"), "",
                        [("read", rejected.detail, "", rejected.reason)], f"rejected: {rejected.reason}",
                    )  # fmt: skip
    raise RedwhaleError(
        f"no record has the id {wanted!r}",
        where=f"{recipe.file}: preprocess.sources",
        fix="give an id as it stands in the corpus or in rejects/, or SOURCE/ID",
        exit_code=USAGE,
    )


def sampled(recipe: Recipe, count: int) -> Iterator[Explained]:
    """Yield ``count`` records of each source, chosen by a hash of their text among its first ones, explained."""
    section: Preprocess = recipe.need("preprocess")
    for index, treatment in enumerate(treatments_of(recipe, section)):
        records = next((records for records in _records(recipe, section, index) if len(records.texts)), None)
        if records is not None:
            order = np.argsort(split_hashes(records.texts, recipe.seed), kind="stable")[:count]
            for number in sorted(order.tolist()):
                yield _explained(records, number, treatment, None)


def _records(recipe: Recipe, section: Preprocess, index: int, file: str | None = None) -> Iterator[Records]:
    source = section.sources[index]
    files = source_files(recipe, source, index)
    if file is not None:
        files = [item for item in files if item.name == file.partition("!")[0]] or files
    for chunk in cut_chunks(source, index, files, limit=section.max_record_bytes):
        yield parse_chunk(chunk, source)


def _place_of(recipe: Recipe, wanted: str) -> dict[str, Any] | None:
    """Return the row of the finished corpus that has the id, without its text; the kind of its file; its bounds."""
    for kind in _KINDS:
        for path in sorted((recipe.corpus_folder / kind).glob("*.parquet")):
            facts = ["reason", "detail"] if kind == "rejects" else ["cluster_size", "bits_per_byte"]
            columns = ["id", "source", "file", "row", *facts]
            table = pq.read_table(path, columns=columns)
            name = pc.binary_join_element_wise(table["source"], table["id"], "/")
            found = table.filter(pc.or_(pc.equal(table["id"], wanted), pc.equal(name, wanted)))
            if found.num_rows:
                row: dict[str, Any] = found.slice(0, 1).to_pylist()[0]
                return {**row, "kind": kind, "bounds": _bounds_of(recipe, row["source"])}
    return None


def _bounds_of(recipe: Recipe, source: str) -> list[float | None]:
    """Return the lowest and highest bits per byte that the finished corpus kept of a source, None for no bound."""
    statistics = json.loads((recipe.corpus_folder / STATISTICS_NAME).read_bytes())
    bounds: list[float | None] = statistics["perplexity"].get("sources", {}).get(source, {}).get("kept", [None, None])
    return bounds


def _decided(place: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield what the whole corpus decided of a document that stays."""
    bounds = zip(("lowest", "highest"), place["bounds"], strict=True)
    copies = place["cluster_size"] - 1
    yield "duplicates", f"{copies or 'no'} {'copies' if copies > 1 else 'copy'} removed in its favour", "", "kept"
    if place["bits_per_byte"] is None:
        yield "perplexity", "not scored", "", "does not apply"
    else:
        limits = [f"{name} {bound:.4g}" for name, bound in bounds if bound is not None]
        yield "perplexity", f"{place['bits_per_byte']:.4g} bits per byte", ", ".join(limits), "kept"


def _explained(records: Records, number: int, treatment: Treatment, place: dict[str, Any] | None) -> Explained:
    texts = Texts.of_bytes([records.texts.bytes_of(number)])
    processed = process(texts, treatment)
    reason, detail = (column[0] for column in verdicts_of(processed))
    verdict = f"rejected: {reason} ({detail})" if reason else "kept by every step that looks at one document"
    steps = list(_steps(texts, processed, treatment))
    if place and not reason:
        if place["kind"] == "rejects":
            verdict = f"rejected: {place['reason']} ({place['detail']})"
            steps.append(("whole corpus", place["detail"], "", place["reason"]))
        else:
            verdict = {"train": "kept: training", "held_out": "kept: held out"}[place["kind"]]
            steps += _decided(place)
    return Explained(
        records.ids[number], treatment.source.name, records.files[number], int(records.rows[number]),
        texts.string(0), processed.masked.texts.string(0), steps, verdict,
    )  # fmt: skip


def _steps(texts: Texts, processed: Processed, treatment: Treatment) -> Iterator[tuple[str, str, str, str]]:
    yield "read", f"{len(texts.data)} bytes", "", ""
    removed = processed.cleaned.bytes_removed[0].tolist()
    for name, count in zip(("markup", "normal form", "boilerplate lines"), removed, strict=True):
        yield name, f"{count} bytes removed", "", ""
    if treatment.decontaminate:
        found = processed.outcome.details[0]
        yield "decontaminate", found or "no benchmark", "", "contaminated" if found else "kept"
    for finding in explain_filters(processed.measures, treatment.filters, treatment.source.language, 0):
        if finding.verdict != "off":
            value = "" if np.isnan(finding.value) else f"{finding.value:.4g}"
            yield finding.rule, value, f"{finding.threshold:.4g}", finding.verdict
    masked = dict(zip(KINDS, processed.masked.counts[0].tolist(), strict=True))
    yield "personal data", ", ".join(f"{kind} {count}" for kind, count in masked.items() if count) or "none", "", ""
