"""The last pass: write each document where it belongs, in shards whose bytes depend on nothing but the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from redwhale.core.publish import atomic_file, write_bytes
from redwhale.corpus.fates import CLUSTER_SIZES, FATES, HELD_OUT, REASONS, SCORES, TRAIN, Details
from redwhale.corpus.repeated import Repeated
from redwhale.corpus.store import StoredChunk

REJECT_CHARS = 2000
_BLOCK = 1 << 20
DOCUMENT_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("source", pa.string()),
        ("language", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("url", pa.string()),
        ("licence", pa.string()),
        ("cluster_size", pa.uint32()),
        ("bits_per_byte", pa.float32()),
    ]
)
"""``cluster_size``: documents that it stands for, itself included; ``bits_per_byte``: null where it was not scored."""
REJECT_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("text", pa.string()),
    ]
)
_REPEATING = ("source", "language", "file", "url", "licence", "reason")
REMOVALS = ("markup", "normalized", "lines", "masked", "cut", "repeated")


@dataclass(frozen=True)
class ShardTask:
    """Documents [first, last) of one source and the records rejected before each, with ``tail`` also after the last."""

    folder: Path
    source: str
    language: str
    number: int
    chunks: tuple[StoredChunk, ...]
    first: int
    last: int
    tail: bool
    details: Details
    repeated: Repeated

    @property
    def done(self) -> Path:
        """Return the file of what the shard came to."""
        return self.details.scratch / "written" / f"{self.source}-{self.number:05d}.json"

    @property
    def held_out(self) -> Path:
        """Return the Arrow file of its held-out documents, which are gathered into files of their own."""
        return self.done.with_suffix(".arrow")

    def result(self) -> Written:
        """Return what it came to, once it is written."""
        return _WRITTEN.validate_json(self.done.read_bytes())


@dataclass
class Written:
    """What one shard came to; of a source they add up. Documents, characters and bytes of ``train`` and ``held_out``.

    ``rejected`` and ``rejected_bytes`` count records and the bytes read of them by reason, ``removed`` the bytes
    that each step took from documents that stay, ``lengths`` those documents by their characters.
    """

    paths: list[Path] = field(default_factory=list)
    train: Counter[str] = field(default_factory=Counter)
    held_out: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    rejected_bytes: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    bytes_in: int = 0

    def add(self, other: Written) -> None:
        """Add another shard of the same source."""
        self.paths += other.paths
        self.bytes_in += other.bytes_in
        for name in ("train", "held_out", "rejected", "rejected_bytes", "removed", "lengths"):
            getattr(self, name).update(getattr(other, name))


_WRITTEN = TypeAdapter(Written)


def cut_shards(sizes: np.ndarray, *, limit: int) -> list[tuple[int, int]]:
    """Cut documents of these sizes in bytes, in order, into runs [first, last) of at most ``limit`` each.

    A document over the limit has a run of its own; no documents give one empty run. ``sizes`` may be a memory map.
    """
    cuts, first, size = [], 0, 0
    for start in range(0, len(sizes), _BLOCK):
        ends = np.cumsum(sizes[start : start + _BLOCK], dtype=np.int64)
        place, taken = 0, 0
        while (stop := int(np.searchsorted(ends, taken + limit - size, side="right"))) < len(ends):
            last = start + max(stop, place + (first == start + place))
            cuts.append((first, last))
            first, size, place = last, 0, last - start
            taken = int(ends[place - 1]) if place else 0
        size += int(ends[-1]) - taken
    return cuts if cuts and first == len(sizes) else [*cuts, (first, len(sizes))]


def write_shard(shard: ShardTask) -> None:
    """Write one shard of training documents and one of rejects, held-out documents aside, and what it came to."""
    written = Written()
    with ExitStack() as stack:
        aside = stack.enter_context(pa.ipc.new_file(stack.enter_context(atomic_file(shard.held_out)), DOCUMENT_SCHEMA))
        train = _ParquetFile(shard, "train", DOCUMENT_SCHEMA, stack)
        rejects = _ParquetFile(shard, "rejects", REJECT_SCHEMA, stack)
        for chunk in shard.chunks:
            batch, fates, details = _decided(shard, chunk)
            written.bytes_in += _sum(batch, "bytes_in")
            train.write(_documents(shard, batch, fates == TRAIN, written.train, written))
            held_out = _documents(shard, batch, fates == HELD_OUT, written.held_out, written)
            if held_out.num_rows:
                aside.write_batch(held_out)
            rejects.write(_rejects(shard, batch, fates, details, written))
    written.paths = [*train.paths, *rejects.paths]
    write_bytes(shard.done, _WRITTEN.dump_json(written))


def held_out_rows(tasks: Iterable[ShardTask]) -> Iterator[pa.RecordBatch]:
    """Yield the held-out documents of written shards, in order."""
    for task in tasks:
        with pa.ipc.open_file(task.held_out) as file:
            yield from (file.get_batch(number) for number in range(file.num_record_batches))


def write_held_out(folder: Path, source: str, rows: Iterable[pa.RecordBatch], *, limit: int) -> list[Path]:
    """Write the held-out documents of a source, gathered from its shards, in files of at most ``limit`` bytes each."""
    paths: list[Path] = []
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in rows:
        for first, last in cut_shards(_byte_lengths(batch), limit=max(1, limit - size) if held else limit):
            part = batch.slice(first, last - first)
            bytes_of_part = int(_byte_lengths(part).sum())
            if held and size + bytes_of_part > limit:
                paths.append(_publish(folder, source, len(paths), held))
                held, size = [], 0
            held.append(part)
            size += bytes_of_part
    if held:
        paths.append(_publish(folder, source, len(paths), held))
    return paths


def _publish(folder: Path, source: str, number: int, rows: list[pa.RecordBatch]) -> Path:
    path = folder / "held_out" / f"{source}-{number:05d}.parquet"
    with atomic_file(path) as temporary, _writer(temporary, DOCUMENT_SCHEMA) as writer:
        writer.write_table(pa.Table.from_batches(rows, DOCUMENT_SCHEMA))
    return path


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Return a writer that looks for values to share only where there are any: it would hash every text."""
    dictionary = [name for name in schema.names if name in _REPEATING]
    return pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=dictionary)


class _ParquetFile:
    """A parquet shard, published when the stack ends; no rows, no file. One row group a chunk."""

    def __init__(self, task: ShardTask, kind: str, schema: pa.Schema, stack: ExitStack) -> None:
        self.paths: list[Path] = []
        self._path = task.folder / kind / f"{task.source}-{task.number:05d}.parquet"
        self._schema, self._stack = schema, stack
        self._writer: pq.ParquetWriter | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        if self._writer is None:
            temporary = self._stack.enter_context(atomic_file(self._path))
            self._writer = self._stack.enter_context(_writer(temporary, self._schema))
            self.paths.append(self._path)
        self._writer.write_batch(batch)


def _decided(task: ShardTask, chunk: StoredChunk) -> tuple[pa.RecordBatch, np.ndarray, list[str]]:
    """Return the task's rows of a chunk without repeated lines, their fates (-1: rejected before) and details."""
    batch = chunk.read()
    stays = batch.column("reason").is_null().to_numpy(zero_copy_only=False)
    positions = chunk.first + np.cumsum(stays) - stays  # number of the first document at or after each row
    mine = (positions >= task.first) & ((positions < task.last) | task.tail)
    start, count = (int(np.argmax(mine)) if mine.any() else 0), int(np.count_nonzero(mine))
    batch, stays = batch.slice(start, count), stays[start : start + count]
    places = np.flatnonzero(stays)
    fates = np.full(batch.num_rows, -1, dtype=np.int16)
    details = [""] * batch.num_rows
    removed = np.zeros(batch.num_rows, dtype=np.int32)
    sizes, scores = np.zeros(batch.num_rows, dtype=np.uint32), np.full(batch.num_rows, np.nan, dtype=np.float32)
    if len(places):
        first = int(positions[start + places[0]])
        for column, name in ((fates, FATES), (sizes, CLUSTER_SIZES), (scores, SCORES)):
            column[places] = task.details.column(name, first, len(places))
        batch = task.repeated.removed_from(batch, places, first, fates=fates, removed=removed)
        for place, detail in zip(places.tolist(), task.details.of(fates[places], first), strict=True):
            details[place] = detail
    batch = batch.append_column("repeated", pa.array(removed)).append_column("cluster_size", pa.array(sizes))
    batch = batch.append_column("bits_per_byte", pa.array(scores, from_pandas=True))  # null for nan
    return batch, fates, details


def _documents(
    task: ShardTask, batch: pa.RecordBatch, chosen: np.ndarray, size: Counter[str], written: Written
) -> pa.RecordBatch:
    rows = batch.filter(pa.array(chosen)) if not chosen.all() else batch
    size["documents"] += rows.num_rows
    lengths, counts = np.unique(pc.utf8_length(rows.column("text")).to_numpy(), return_counts=True)
    written.lengths.update(dict(zip(lengths.tolist(), counts.tolist(), strict=True)))
    size["characters"] += int(lengths.astype(np.int64) @ counts)
    size["bytes"] += int(_byte_lengths(rows).sum())
    for name in REMOVALS:
        written.removed[name] += _sum(rows, name)
    constants = {"source": task.source, "language": task.language}
    return _record_batch(rows, DOCUMENT_SCHEMA, constants)


def _rejects(
    task: ShardTask, batch: pa.RecordBatch, fate: np.ndarray, details: list[str], written: Written
) -> pa.RecordBatch:
    chosen = np.flatnonzero((fate != TRAIN) & (fate != HELD_OUT))
    rows = batch.take(pa.array(chosen))
    early = rows.column("reason").to_pylist(), rows.column("detail").to_pylist()
    reasons = [early[0][i] or REASONS[int(fate[place])] for i, place in enumerate(chosen.tolist())]
    words = [early[1][i] if early[0][i] else details[place] for i, place in enumerate(chosen.tolist())]
    sizes = rows.column("bytes_in").to_pylist()
    written.rejected.update(reasons)
    for reason, size in zip(reasons, sizes, strict=True):
        written.rejected_bytes[reason] += size
    constants = {
        "source": task.source,
        "reason": pa.array(reasons, pa.string()),
        "detail": pa.array(words, pa.string()),
        "text": pc.utf8_slice_codeunits(rows.column("text"), 0, REJECT_CHARS),
    }
    return _record_batch(rows, REJECT_SCHEMA, constants)


def _record_batch(rows: pa.RecordBatch, schema: pa.Schema, values: Mapping[str, object]) -> pa.RecordBatch:
    columns = []
    for name in schema.names:
        value = values.get(name)
        if value is None:
            value = rows.column(name)
        elif isinstance(value, str):
            value = pa.repeat(pa.scalar(value, pa.string()), rows.num_rows)
        columns.append(value)
    return pa.record_batch(columns, schema=schema)


def _sum(rows: pa.RecordBatch, name: str) -> int:
    return pc.sum(rows.column(name)).as_py() or 0


def _byte_lengths(rows: pa.RecordBatch) -> np.ndarray:
    return pc.binary_length(rows.column("text")).to_numpy(zero_copy_only=False).astype(np.int64)
