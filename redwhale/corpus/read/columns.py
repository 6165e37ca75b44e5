"""Columns: parquet files by row group, and the Arrow files of saved ``datasets`` by batch."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.collect import Collector, Origin
from redwhale.corpus.read.pieces import Content, Piece, too_large
from redwhale.corpus.read.records import checked, decode
from redwhale.corpus.read.sources import SourceFile
from redwhale.corpus.read.streams import Fault, Position

DAMAGED = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OSError)
_BATCH_ROWS = 256
# A row group up to this size is left to a worker as a whole; larger ones are read in batches and handed over.
_GROUP_BYTES = 16 << 20
_TEXT_TYPES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)


def cut(content: Content, source: Source, *, limit: int) -> Iterator[Piece]:
    """Hand over a file of columns that is at hand only as bytes, as inside an archive."""
    data = content.whole(limit=limit)
    if isinstance(data, Fault):
        return iter([content.piece(0, fault=data)])
    return cut_file(content.file, content.format, source, member=content.member, data=data)


def cut_file(
    file: SourceFile, format: str, source: Source, *, member: str = "", data: bytes | None = None,
    position: Position | None = None,
) -> Iterator[Piece]:  # fmt: skip
    """Cut a file of columns by row group or batch; a damaged one ends with one Fault."""
    row = 0
    position = position or Position()
    content = Content(file, format, iter(()), member)
    try:
        with file.open() if data is None else io.BytesIO(data) as raw:
            pieces = _arrow(content, source, raw, position)
            if format == "parquet":
                pieces = _parquet(content, source, raw, position, data is None)
            for piece in pieces:
                yield piece
                row = piece.first_row + max(piece.span_rows, 0)
    except DAMAGED as error:
        message = str(error).replace(str(file.path), file.path.name).split("\n")[0]
        yield content.piece(row, fault=Fault("damaged_file", message[:300]))


def _parquet(content: Content, source: Source, raw: Any, position: Position, can_reopen: bool) -> Iterator[Piece]:
    parquet = pq.ParquetFile(raw)
    columns = text_columns(source, content.file, parquet.schema_arrow)
    row = 0
    for group in range(parquet.num_row_groups):
        metadata = parquet.metadata.row_group(group)
        # Columns lie all over a group; groups count as equally long.
        position.done = content.file.size * (group + 1) // parquet.num_row_groups if can_reopen else 0
        if can_reopen and metadata.total_byte_size <= _GROUP_BYTES:
            weight = max(metadata.total_byte_size, 1)
            yield content.piece(row, columns=columns, span=group, weight=weight, span_rows=metadata.num_rows)
        else:
            batches = parquet.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group], columns=list(columns))
            yield from _batches(content, row, columns, batches)
        row += metadata.num_rows


def _arrow(content: Content, source: Source, raw: Any, position: Position) -> Iterator[Piece]:
    with pa.ipc.open_stream(raw) as stream:
        columns = text_columns(source, content.file, stream.schema)
        slices = (
            batch.slice(start, _BATCH_ROWS) for batch in stream for start in range(0, batch.num_rows, _BATCH_ROWS)
        )
        for piece in _batches(content, 0, columns, slices):
            position.done = raw.tell()
            yield piece


def _batches(
    content: Content, row: int, columns: tuple[str, ...], batches: Iterator[pa.RecordBatch]
) -> Iterator[Piece]:
    """Hand over batches of the wanted columns as an Arrow stream."""
    for batch in batches:
        batch = batch.select(list(columns))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        yield content.piece(row, sink.getvalue().to_pybytes(), columns=columns, span_rows=batch.num_rows)
        row += batch.num_rows


def text_columns(source: Source, file: SourceFile, schema: pa.Schema) -> tuple[str, ...]:
    """Return the text column, that of translations, and those of id, address and licence that are there.

    Raises exit code 2 naming the columns where there is no such text column, or it holds no text.
    """
    texts = [name for name in (source.text, source.translation) if name]
    if not set(texts) <= set(schema.names):
        raise missing_column(source, file.name, schema.names)
    for name in texts:
        kind = schema.field(name).type
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not any(check(value) for check in _TEXT_TYPES):
            raise RedwhaleError(
                f"source {source.name}: column {name!r} of {file.name} holds {kind}, not text",
                where="preprocess.sources",
                fix=f"set `{_field(source, name)}:` to one of: {', '.join(schema.names)}",
                exit_code=USAGE,
            )
    others = [name for name in (source.id, source.url, source.licence_column) if name and name in schema.names]
    return tuple(dict.fromkeys([*texts, *others]))


def missing_column(source: Source, file: str, names: Any) -> RedwhaleError:
    """Return the error for a column of text or translations that a file does not have, naming those it has."""
    column = source.translation if source.translation and source.text in names else source.text
    return RedwhaleError(
        f"source {source.name}: {file} has no column {column!r}",
        where="preprocess.sources",
        fix=f"set `{_field(source, column)}:` to one of: {', '.join(sorted(names))}",
        exit_code=USAGE,
    )


def _field(source: Source, column: str) -> str:
    return "translation" if column == source.translation else "text"


def parse(piece: Piece, source: Source, out: Collector, *, limit: int) -> None:
    """Read the rows of a piece; one invalid string spoils no other."""
    row = piece.first_row
    try:
        for batch in _read(piece):
            texts = _as_bytes(batch.column(piece.columns.index(source.text)))
            fields = [
                batch.column(piece.columns.index(column)).to_pylist()
                if column in piece.columns
                else [None] * len(texts)
                for column in (source.id, source.url, source.licence_column)
            ]
            for text, *origin in zip(texts, *fields, strict=True):
                _parse_text(text, row, out, tuple(origin), limit)
                row += 1
    except DAMAGED as error:
        message = str(error).replace(str(piece.file.path), piece.file.path.name).split("\n")[0]
        out.reject(row, Fault("damaged_file", message[:300]))


def _parse_text(text: bytes | None, row: int, out: Collector, origin: Origin, limit: int) -> None:
    out.object_seen()
    if text is None:
        out.reject(row, Fault("no_text", "null"), id=origin[0])
        return
    if len(text) > limit:
        out.reject(row, too_large(text[:8192], len(text), limit), id=origin[0])
        return
    decoded = decode(text)
    string = decoded if isinstance(decoded, Fault) else checked(decoded)
    if isinstance(string, Fault):
        out.reject(row, string, raw=text, id=origin[0])
    else:
        out.add(row, string.encode(), origin)


def _read(piece: Piece) -> Iterator[pa.RecordBatch]:
    if piece.span < 0:
        with pa.ipc.open_stream(piece.data) as stream:
            yield from stream
        return
    with piece.file.open() as raw:
        columns = list(piece.columns)
        for batch in pq.ParquetFile(raw).iter_batches(_BATCH_ROWS, row_groups=[piece.span], columns=columns):
            yield batch.select(columns)


def _as_bytes(column: pa.Array) -> list[bytes | None]:
    """Return strings as their stored bytes."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string_view(column.type) or pa.types.is_null(column.type):
        column = column.cast(pa.large_string())
    values: list[bytes | None] = column.cast(pa.large_binary()).to_pylist()
    return values
