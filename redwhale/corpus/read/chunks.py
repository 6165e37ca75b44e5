"""Read the records of source files in chunks, the unit of work; a bad record never costs another one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.sources import SourceFile
from redwhale.corpus.read.streams import Fault, Position, documents, lines

CHUNK_RECORDS = 512
CHUNK_BYTES = 2 << 20
_COLUMN_BATCH = 256
_ID = "id"
_DAMAGED = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OSError)

Payload = bytes | Fault | None


@dataclass(frozen=True)
class Record:
    """One record: its row in the file (from 0), its id where a column holds one, and its bytes.

    The payload is a JSON line, or the text in UTF-8, None for a null text, or a Fault.
    """

    row: int
    payload: Payload
    id: Any = None


@dataclass(frozen=True)
class Chunk:
    """Some records of one file; ``input_bytes`` of the file as stored were read for it."""

    source: int
    file: SourceFile
    kind: Literal["json", "text"]
    records: list[Record]
    input_bytes: int


def read_chunks(source: Source, index: int, files: Iterable[SourceFile], *, limit: int) -> Iterator[Chunk]:
    """Yield the chunks of a source in the order of its files and rows; ``limit`` is the longest record in bytes.

    Raises exit code 2 naming the columns that are there where a file of columns has no such text column.
    """
    for file in files:
        position, done = Position(), 0
        held: list[Record] = []
        size = 0
        kind: Literal["json", "text"] = "json" if file.format == "jsonl" else "text"
        for record in _records(source, file, position, limit):
            held.append(record)
            size += len(record.payload) if isinstance(record.payload, bytes) else 0
            if len(held) >= CHUNK_RECORDS or size >= CHUNK_BYTES:
                yield Chunk(index, file, kind, held, position.done - done)
                held, size, done = [], 0, position.done
        if held:
            yield Chunk(index, file, kind, held, position.done - done)


def _records(source: Source, file: SourceFile, position: Position, limit: int) -> Iterator[Record]:
    if file.format == "jsonl":
        for row, line in enumerate(lines(file.path, file.compression, position, limit=limit)):
            if isinstance(line, Fault) or line.strip():
                yield Record(row, line)
    elif file.format == "txt":
        texts = documents(file.path, file.compression, position, limit=limit, unit=source.documents)
        for row, text in enumerate(texts):
            yield Record(row, text)
    else:
        yield from _column_records(source, file, position, limit)


def _column_records(source: Source, file: SourceFile, position: Position, limit: int) -> Iterator[Record]:
    """Read the text column of a parquet or Arrow file; a damaged file ends with one Fault."""
    row = 0
    total = file.path.stat().st_size
    try:
        with file.path.open("rb") as raw:
            batches = _parquet_batches if file.format == "parquet" else _arrow_batches
            for batch in batches(source, file, raw):
                texts = _as_bytes(batch.column(0))
                ids = batch.column(1).to_pylist() if batch.num_columns > 1 else [None] * len(texts)
                position.done = min(position.done + batch.nbytes, total)
                for text, identifier in zip(texts, ids, strict=True):
                    if text is not None and len(text) > limit:
                        fault = Fault("too_large", f"{len(text)} bytes, most {limit}", text[:8192], len(text))
                        yield Record(row, fault, identifier)
                    else:
                        yield Record(row, text, identifier)
                    row += 1
    except _DAMAGED as error:
        message = str(error).replace(str(file.path), file.path.name).split("\n")[0]
        yield Record(row, Fault("damaged_file", message[:300]))


def _parquet_batches(source: Source, file: SourceFile, raw: Any) -> Iterator[pa.RecordBatch]:
    parquet = pq.ParquetFile(raw)
    columns = _columns(source, file, parquet.schema_arrow)
    for batch in parquet.iter_batches(batch_size=_COLUMN_BATCH, columns=columns):
        yield batch.select(columns)


def _arrow_batches(source: Source, file: SourceFile, raw: Any) -> Iterator[pa.RecordBatch]:
    with pa.ipc.open_stream(raw) as stream:
        columns = _columns(source, file, stream.schema)
        for batch in stream:
            for start in range(0, batch.num_rows, _COLUMN_BATCH):
                yield batch.select(columns).slice(start, _COLUMN_BATCH)


def _columns(source: Source, file: SourceFile, schema: pa.Schema) -> list[str]:
    """Return the text column and the id column if there is one; raise where the text column is missing."""
    if source.text not in schema.names:
        raise missing_column(source, file, schema.names)
    kind = schema.field(source.text).type
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not any(
        check(value)
        for check in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    ):
        raise RedwhaleError(
            f"source {source.name}: column {source.text!r} of {file.name} holds {kind}, not text",
            where="preprocess.sources",
            fix=f"set `text:` to one of: {', '.join(schema.names)}",
            exit_code=USAGE,
        )
    return [source.text] + ([_ID] if _ID in schema.names and source.text != _ID else [])


def missing_column(source: Source, file: SourceFile, names: Iterable[str]) -> RedwhaleError:
    """Return the error for a text column that a file does not have, naming those it has."""
    return RedwhaleError(
        f"source {source.name}: {file.name} has no column {source.text!r}",
        where="preprocess.sources",
        fix=f"set `text:` to one of: {', '.join(sorted(names))}",
        exit_code=USAGE,
    )


class TextColumnCheck:
    """Refuses a JSON lines file none of whose objects has the text column: a misspelt column, not bad records."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._file: tuple[int, SourceFile] | None = None
        self._objects = 0
        self._other_columns: tuple[str, ...] = ()

    def see(self, chunk: Chunk, *, objects: int, other_columns: tuple[str, ...]) -> None:
        """Take in one chunk: how many objects had the column, and the columns of one that had not."""
        if self._file != (chunk.source, chunk.file):
            self.end_file()
            self._file = (chunk.source, chunk.file)
        self._objects += objects
        self._other_columns = self._other_columns or other_columns

    def end_file(self) -> None:
        """Raise exit code 2 naming the columns where the file that ends here lacks the text column."""
        if self._file and self._other_columns and not self._objects:
            raise missing_column(self._sources[self._file[0]], self._file[1], self._other_columns)
        self._objects, self._other_columns = 0, ()


def _as_bytes(column: pa.Array) -> list[bytes | None]:
    """Return strings as their stored bytes, so that one invalid string spoils no other."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string_view(column.type) or pa.types.is_null(column.type):
        column = column.cast(pa.large_string())
    values: list[bytes | None] = column.cast(pa.large_binary()).to_pylist()
    return values
