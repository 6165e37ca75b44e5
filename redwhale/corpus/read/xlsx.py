"""Excel workbooks (xlsx): every sheet, its first row naming the columns."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from redwhale.core.errors import RedwhaleError, first_line
from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.pieces import Content, Piece
from redwhale.corpus.read.sources import SourceFile
from redwhale.corpus.read.streams import Fault
from redwhale.corpus.read.tables import text_column

# Parts that are held in memory as a whole, strings above all; sheets stream by, but may not expand without end.
_HELD_BYTES = 64 << 20
_SHEET_BYTES = 4 << 30
_MOST_EXPANSION = 200
_TRANSLATION = "translation"
_SMALL_BYTES = 1 << 20


def cut(content: Content, source: Source, *, limit: int) -> Iterator[Piece]:
    """Read a workbook that is at hand only as bytes, as inside an archive."""
    data = content.whole(limit=limit)
    if isinstance(data, Fault):
        return iter([content.piece(0, fault=data)])
    return _pieces(io.BytesIO(data), content, source)


def cut_file(file: SourceFile, source: Source) -> Iterator[Piece]:
    """Read a workbook row by row."""
    with file.open() as raw:
        yield from _pieces(raw, Content(file, "xlsx", iter(())), source)


def _pieces(raw: BinaryIO, content: Content, source: Source) -> Iterator[Piece]:
    """Hand over rows as JSON objects of the wanted columns; each sheet is a member of its own.

    A sheet without the text column is passed over where another has it; raises exit code 2 where none has.
    """
    try:
        if bomb := _bomb(raw):
            yield content.piece(0, fault=bomb)
            return
        import openpyxl

        book = openpyxl.load_workbook(raw, read_only=True, data_only=True)
    except Exception as error:  # of any kind, as its parts can be anything
        yield content.piece(0, fault=Fault("damaged_file", f"no workbook: {first_line(error)}"))
        return
    missing: RedwhaleError | None = None
    found = False
    for sheet in book.worksheets:
        if not hasattr(sheet, "iter_rows"):
            continue  # a chart
        part = Content(content.file, "jsonl", iter(()), "!".join(filter(None, [content.member, sheet.title])))
        try:
            rows = _rows(sheet, source, f"{content.file.name}!{part.member}")
            yield from part.packed(rows, text="text", translation=_TRANSLATION)
            found = True
        except RedwhaleError as error:
            missing = missing or error
    book.close()
    if missing and not found:
        raise missing


def _bomb(raw: BinaryIO) -> Fault | None:
    """Return a Fault where a part expands to more than can be held, or than text does."""
    with zipfile.ZipFile(raw) as archive:
        for part in archive.infolist():
            is_sheet = part.filename.startswith("xl/worksheets/")
            expansion = part.file_size / max(part.compress_size, 1)
            if part.file_size > (_SHEET_BYTES if is_sheet else _HELD_BYTES) or (
                part.file_size > _SMALL_BYTES and expansion > _MOST_EXPANSION
            ):
                return Fault("zip_bomb", f"{part.filename} expands from {part.compress_size} to {part.file_size} bytes")
    raw.seek(0)
    return None


def _rows(sheet: Any, source: Source, name: str) -> Iterator[bytes | Fault]:
    rows = _cells(sheet)
    first = next(rows, ())
    if isinstance(first, Fault):
        yield first
        return
    columns = ["" if cell is None else str(cell).strip() for cell in first]
    if not any(columns):
        return
    wanted = {"text": text_column(source, name, columns)}
    others = {"id": source.id, "url": source.url, "licence": source.licence_column}
    if source.translation:
        wanted[_TRANSLATION] = source.translation
    wanted |= {source_key(source, key): column for key, column in others.items() if column in columns}
    places = {key: columns.index(column) for key, column in wanted.items()}
    for row in rows:
        if isinstance(row, Fault):
            yield row
        else:
            yield _as_json({key: row[place] if place < len(row) else None for key, place in places.items()})


def _cells(sheet: Any) -> Iterator[tuple[Any, ...] | Fault]:
    """Yield the rows that hold anything, and a Fault where openpyxl, with an error of whatever kind, gives up."""
    try:
        sheet.reset_dimensions()  # some writers state too small a range
        yield from (row for row in sheet.iter_rows(values_only=True) if any(cell is not None for cell in row))
    except Exception as error:
        yield Fault("damaged_file", f"the sheet cannot be read on: {first_line(error)}")


def _as_json(record: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(record, default=str)
    except TypeError:  # numbers beyond 64 bits, lone surrogates
        return json.dumps(record, default=str).encode()


def source_key(source: Source, key: str) -> str:
    """Return the name under which a row's JSON holds its id, address or licence: the source's own."""
    return {"id": source.id, "url": source.url, "licence": source.licence_column or ""}[key]
