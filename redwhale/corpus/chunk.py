"""Take one chunk of raw records through reading, cleaning, filters and masking. Runs in worker processes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from redwhale.core.recipe.cleaning import Clean
from redwhale.core.recipe.decontaminate import Benchmark, Decontaminate
from redwhale.core.recipe.deduplicate import Deduplicate
from redwhale.core.recipe.filters import Filters
from redwhale.core.recipe.pii import Pii
from redwhale.core.recipe.sources import Source
from redwhale.corpus.clean.clean import CleanTexts, clean_texts
from redwhale.corpus.clean.edges import EDGE_LINES, edge_line_hashes
from redwhale.corpus.decontaminate.benchmarks import read_benchmark
from redwhale.corpus.decontaminate.index import Index
from redwhale.corpus.decontaminate.judge import REASON as CONTAMINATED
from redwhale.corpus.decontaminate.judge import Outcome, decontaminate
from redwhale.corpus.dedup.hashes import content_hashes, split_hashes
from redwhale.corpus.dedup.lines import line_hashes
from redwhale.corpus.dedup.signatures import band_keys, signatures
from redwhale.corpus.dedup.urls import url_hashes
from redwhale.corpus.filters.measure import Extra, Measures, measure
from redwhale.corpus.filters.verdict import RULES, Verdicts, judge
from redwhale.corpus.pii.kinds import KINDS
from redwhale.corpus.pii.mask import Masked, mask, mask_texts
from redwhale.corpus.read.collect import BAD_REASONS, Records, Seen
from redwhale.corpus.read.parse import parse_chunk
from redwhale.corpus.read.pieces import Chunk
from redwhale.corpus.store import CHUNK_SCHEMA, serialized
from redwhale.corpus.tally import EXAMPLES, Tally
from redwhale.corpus.texts import Texts

REJECT_CHARS = 2000
REMOVED_BY_CLEANING = ("markup", "normalized", "lines")
DAMAGED_FILE_REASONS = ("truncated_file", "damaged_file", "zip_bomb")
EDGES = "edges"


@dataclass(frozen=True)
class Treatment:
    """How the documents of one source are cleaned.

    ``benchmarks``: with the places of their files; ``index_file``: where their index lies, built for all processes.
    """

    source: Source
    clean: Clean
    filters: Filters
    pii: Pii
    deduplicate: Deduplicate
    decontaminate: Decontaminate | None
    benchmarks: tuple[tuple[Benchmark, Path | None], ...]
    seed: int
    index_file: Path | None = None


@dataclass(frozen=True)
class Processed:
    """What became of n texts at each step, in order; the texts of ``masked`` are what is kept."""

    cleaned: CleanTexts
    outcome: Outcome
    measures: Measures
    verdicts: Verdicts
    masked: Masked


@dataclass(frozen=True)
class Cleaned:
    """A chunk after cleaning: every record as a row, serialised; ids and numbers of those that stay, in order.

    ``keys``: exact (n, 2), bands (n, bands), urls (n,), all uint64; ``columns``: as the store keeps them.
    ``damage`` names files that end too early or fail their checks.
    """

    rows: bytes
    row_count: int
    ids: list[str]
    keys: dict[str, np.ndarray]
    columns: dict[str, np.ndarray]
    lines: tuple[np.ndarray, np.ndarray] | None
    tally: Tally
    seen: list[Seen]
    damage: list[tuple[str, str]]

    def without_rows(self) -> Cleaned:
        """Return it without its rows, which are by far the most of it."""
        return replace(self, rows=b"")


def clean_chunk(treatment: Treatment, most_records: int | None, chunk: Chunk) -> Cleaned:
    """Clean the records of ``chunk`` by its source's ``treatment``; the rows keep the order of reading.

    ``most_records``: only so many of the first texts and rejected records, for a trial.
    """
    records = parse_chunk(chunk, treatment.source)
    if most_records is not None:
        records = _first(records, most_records)
    processed = process(records.texts, treatment)
    reasons, details = verdicts_of(processed)
    stays = np.array([reason is None for reason in reasons], dtype=bool)
    texts = processed.masked.texts if stays.all() else processed.masked.texts.select(np.flatnonzero(stays))
    rows = _rows(records, processed, reasons, details, treatment)
    if records.rejected and len(records.texts):
        rows = rows.take(_reading_order(records, chunk))
    return Cleaned(
        rows=serialized(rows),
        row_count=len(records.texts) + len(records.rejected),
        ids=[identifier for identifier, stay in zip(records.ids, stays.tolist(), strict=True) if stay],
        keys=_keys(texts, [url for url, stay in zip(records.urls, stays.tolist(), strict=True) if stay], treatment),
        columns=_columns(texts, treatment),
        lines=line_hashes(texts, lines) if (lines := treatment.deduplicate.lines) else None,
        tally=_tally(records, processed, stays),
        seen=records.seen,
        damage=[(r.file, r.detail) for r in records.rejected if r.reason in DAMAGED_FILE_REASONS],
    )


def _first(records: Records, most: int) -> Records:
    columns = ("rows", "files", "ids", "urls", "licences", "titles", "rejected")
    texts = records.texts.select(range(min(most, len(records.texts))))
    return replace(records, texts=texts, **{name: getattr(records, name)[:most] for name in columns})


def process(texts: Texts, treatment: Treatment) -> Processed:
    """Clean, judge and mask texts, and look for benchmarks in them."""
    cleaned = clean_texts(texts, treatment.clean)
    outcome = Outcome(cleaned.texts, [None] * len(texts))
    if treatment.decontaminate:  # before masking, which could hide a part of a benchmark
        file = treatment.index_file
        index = _stored_index(file, file.stat().st_mtime_ns) if file else benchmark_index(treatment.benchmarks)
        outcome = decontaminate(cleaned.texts, index, treatment.decontaminate)
    extra = Extra(cleaned.mojibake_chars, cleaned.raw_visible_chars, cleaned.boilerplate_chars)
    language, limits = treatment.source.language, treatment.filters
    measures = measure(outcome.texts, extra=extra, limits=limits, language=language)
    masked = mask_texts(outcome.texts, treatment.pii)
    return Processed(cleaned, outcome, measures, judge(measures, limits, language), masked)


@cache
def benchmark_index(benchmarks: tuple[tuple[Benchmark, Path | None], ...]) -> Index:
    """Return the index of benchmark texts, built once."""
    return Index.build([item for benchmark, path in benchmarks for item in read_benchmark(benchmark, path)])


@cache
def _stored_index(file: Path, changed_ns: int) -> Index:
    """Return the index that another process built, read once in each process as long as its file is the same."""
    return Index.load(file)


def verdicts_of(processed: Processed) -> tuple[list[str | None], list[str | None]]:
    """Return the reason and detail of each text that is rejected, None where it stays."""
    verdicts = processed.verdicts
    reasons: list[str | None] = [None] * len(verdicts.reason)
    details = list(reasons)
    for index, item in enumerate(processed.outcome.details):
        if item is not None:
            reasons[index], details[index] = CONTAMINATED, item
    for index in np.flatnonzero(verdicts.reason >= 0).tolist():
        rule = RULES[verdicts.reason[index]]
        reasons[index] = rule
        bound = "lowest" if rule.startswith(("min_", "language")) else "highest"
        details[index] = f"{verdicts.value[index]:.4g}, {bound} {verdicts.threshold[index]:.4g}"
    return reasons, details


def _rows(
    records: Records, processed: Processed, reasons: list[str | None], details: list[str | None], treatment: Treatment
) -> pa.RecordBatch:
    """Return all records as rows: texts that stay whole, the beginning of all others."""
    rejected = records.rejected
    gone = [index for index, reason in enumerate(reasons) if reason is not None]
    texts = processed.masked.texts.replaced({index: _beginning(processed.masked.texts, index) for index in gone})
    excerpts = Texts.of([_masked_excerpt(record.excerpt, treatment.pii) for record in rejected])
    none = [None] * len(rejected)
    removed = processed.cleaned.bytes_removed
    zeros = np.zeros(len(rejected), dtype=np.int32)
    cut = (processed.cleaned.texts.sizes - processed.outcome.texts.sizes).astype(np.int32)
    columns = {
        "id": [*records.ids, *(record.id for record in rejected)],
        "text": pa.concat_arrays([_strings(texts), _strings(excerpts)]),
        "file": [*records.files, *(record.file for record in rejected)],
        "row": np.concatenate([records.rows, np.array([record.row for record in rejected], dtype=np.int64)]),
        "url": [*records.urls, *none],
        "licence": [*records.licences, *none],
        "reason": [*reasons, *(record.reason for record in rejected)],
        "detail": [*details, *(record.detail for record in rejected)],
        "bytes_in": np.concatenate([records.texts.sizes, np.array([r.size for r in rejected], dtype=np.int64)]),
        **{name: np.concatenate([removed[:, place], zeros]) for place, name in enumerate(REMOVED_BY_CLEANING)},
        "masked": np.concatenate([processed.masked.bytes_removed, zeros]),
        "cut": np.concatenate([cut, zeros]),
    }
    return pa.record_batch([pa.array(columns[f.name], f.type) for f in CHUNK_SCHEMA], schema=CHUNK_SCHEMA)


def _reading_order(records: Records, chunk: Chunk) -> pa.Array:
    """Return the order of reading of texts and rejected records: by file, as they come, then by row."""
    files = [*records.files, *(record.file for record in records.rejected)]
    number = {name: place for place, name in enumerate(dict.fromkeys(piece.name for piece in chunk.pieces))}
    rows = [*records.rows.tolist(), *(record.row for record in records.rejected)]
    return pa.array(np.lexsort((rows, [number[file] for file in files])))


def _strings(texts: Texts) -> pa.Array:
    offsets = pa.py_buffer(texts.offsets.astype(np.int32))
    return pa.StringArray.from_buffers(len(texts), offsets, pa.py_buffer(texts.data))


def _beginning(texts: Texts, index: int) -> bytes:
    start = texts.offsets[index]
    head = texts.data[start : min(texts.offsets[index + 1], start + 4 * REJECT_CHARS)].tobytes()
    return head.decode("utf-8", "ignore")[:REJECT_CHARS].encode()


def _masked_excerpt(excerpt: bytes, pii: Pii) -> str:
    """Return the beginning of what could not be read, personal data masked all the same."""
    return mask(excerpt[: 4 * REJECT_CHARS].decode("utf-8", "replace")[:REJECT_CHARS], pii)[0]


def _keys(texts: Texts, urls: list[str | None], treatment: Treatment) -> dict[str, np.ndarray]:
    settings = treatment.deduplicate
    keys: dict[str, np.ndarray] = {}
    if settings.exact:
        keys["exact"] = content_hashes(texts)
    if settings.near:
        values = signatures(texts, settings.near)
        keys["bands"] = band_keys(values, settings.near)
        if keeps_sketches(settings):
            keys["signatures"] = values
    if settings.urls:
        keys["urls"] = url_hashes(urls)
    return keys


def keeps_sketches(settings: Deduplicate) -> bool:
    """Tell whether similarity to an index may have to be estimated, now or later."""
    return settings.near is not None and (settings.index or bool(settings.against))


def _columns(texts: Texts, treatment: Treatment) -> dict[str, np.ndarray]:
    """Return what the store keeps of each document; every source fills every column, which numbers run through."""
    looks_for_edges = treatment.clean.repeated_lines.action == "remove"
    return {
        "split": split_hashes(texts, treatment.seed),
        "sizes": texts.sizes.astype(np.uint32),
        EDGES: edge_line_hashes(texts) if looks_for_edges else np.zeros((len(texts), 2 * EDGE_LINES), np.uint64),
    }


def _tally(records: Records, processed: Processed, stays: np.ndarray) -> Tally:
    masked = processed.masked.counts[stays].sum(0)
    continuations = int(np.count_nonzero((records.texts.data & 0xC0) == 0x80))
    return Tally(
        records=len(records.texts) + len(records.rejected),
        characters_in=len(records.texts.data) - continuations,
        masked=Counter({kind: count for kind, count in zip(KINDS, masked.tolist(), strict=True) if count}),
        removed=_removed_characters(processed.cleaned, stays),
        decoded=records.decoded,
        skipped=records.skipped,
        contaminated=processed.outcome.contaminated,
        passages=processed.outcome.passages,
        phrases=processed.outcome.phrases,
        unreadable=[
            f"{record.file}:{record.row + 1} {record.reason}"
            for record in records.rejected
            if record.reason in BAD_REASONS and record.reason not in DAMAGED_FILE_REASONS
        ][:EXAMPLES],
    )


def _removed_characters(cleaned: CleanTexts, stays: np.ndarray) -> Counter[str]:
    removed: Counter[str] = Counter()
    for text, kind, line in cleaned.removed_lines:
        if stays[text]:
            removed[kind] += len(line)
    return removed
