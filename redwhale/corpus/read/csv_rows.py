"""CSV and TSV: quoted fields with commas, quotes and line ends in them; a broken row costs only itself."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

import numpy as np
from numba import njit

from redwhale.core.errors import first_line
from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.collect import Collector
from redwhale.corpus.read.jsonl import encode
from redwhale.corpus.read.pieces import CHUNK_BYTES, Content, Piece, too_large
from redwhale.corpus.read.records import checked
from redwhale.corpus.read.streams import EXCERPT_BYTES, DamagedStreamError, Fault
from redwhale.corpus.read.tables import text_column
from redwhale.corpus.read.txt import text_of

_DELIMITERS = {"csv": ",", "tsv": "\t"}
_QUOTED = re.compile(r'"([^"]*(?:""[^"]*)*)"')


@njit(cache=True, nogil=True)
def _row_ends(data: np.ndarray, delimiter: int, is_last: bool, ends: np.ndarray) -> int:
    """Write the end of each whole row into ``ends``, after its line end, and return how many there are.

    ``data``: (bytes,) uint8; ``ends``: (lines,) int64. A quote opens a field only at its beginning, and closes it
    only before a delimiter or line end: any other, and one that is missing, makes the row end with its first line.
    """
    count = start = place = 0
    size = len(data)
    while start < size:
        place, first_end, state, broken = start, -1, 0, False  # 0 field begins, 1 bare, 2 quoted, 3 quote in quoted
        while place < size:
            byte = data[place]
            if byte == 10 and first_end < 0:
                first_end = place + 1
            if state == 2:
                if byte == 34:
                    state = 3
            elif byte == 10:
                break
            elif byte == delimiter:
                state = 0
            elif state == 3:
                if byte == 34:
                    state = 2
                elif byte != 13:
                    broken = True
                    break
            elif state == 0 and byte == 34:
                state = 2
            else:
                state = 1
            place += 1
        if broken:
            while first_end < 0 and place < size:
                if data[place] == 10:
                    first_end = place + 1
                place += 1
        if (broken and first_end >= 0) or (is_last and place >= size and state == 2 and first_end >= 0):
            end = first_end
        elif not broken and place < size:
            end = place + 1
        elif is_last:
            end = size
        else:
            break
        ends[count] = end
        count += 1
        start = end
    return count


def cut(content: Content, source: Source, *, limit: int) -> Iterator[Piece]:
    """Cut a table between rows; the first row names the columns.

    Raises exit code 2 naming the columns where none is the text's.
    """
    delimiter = _DELIMITERS[content.format]
    rows = _rows(content.blocks, ord(delimiter), limit)
    columns: tuple[str, ...] = ()
    first_row = 0
    for data, bounds, fault in rows:
        if not columns:
            if len(bounds) < 2:
                if fault:
                    yield content.piece(0, fault=fault)
                return
            header = data[bounds[0] : bounds[1]]
            names = fields_of(header.decode("cp949" if content.encoding == "cp949" else "utf-8", "replace"), delimiter)
            columns = tuple(name.strip() for name in names or [])
            text_column(source, content.file.name, columns)
            bounds = bounds[1:]
        yield content.piece(first_row, data, bounds=bounds, fault=fault, columns=columns)
        first_row += len(bounds) - 1 + (fault is not None)


def _rows(blocks: Iterator[bytes], delimiter: int, limit: int) -> Iterator[tuple[bytes, np.ndarray, Fault | None]]:
    """Yield (bytes, bounds of the rows in them, Fault after the last)."""
    held, waiting, wanted = b"", [b""], CHUNK_BYTES
    size = skipped = 0
    excerpt = b""
    damage = ""
    blocks = itertools.chain(blocks, [b""])
    while True:
        try:
            block = next(blocks)
        except DamagedStreamError as error:
            block, damage = b"", first_line(error)
        waiting.append(block)
        size += len(block)
        if block and len(held) + size < wanted:
            continue
        held, waiting, size = b"".join([held, *waiting]), [], 0
        if skipped:  # inside a row that is too long, until its line ends
            end = held.find(b"\n") + 1
            skipped += end or len(held)
            held = held[end:] if end else b""
            if end or not block:
                yield b"", np.zeros(1, dtype=np.int64), too_large(excerpt, skipped, limit)
                skipped = 0
        bounds = _bounds(held, delimiter, is_last=not block and not damage)
        fault = None
        used = int(bounds[-1])
        if damage:
            fault = Fault("truncated_file", damage, held[used : used + EXCERPT_BYTES], len(held) - used)
        if len(bounds) > 1 or fault:
            yield held, bounds, fault
        if not block:
            return
        held = held[used:]
        if len(held) > limit:
            end = held.find(b"\n") + 1  # the row ends with its first line: an open quote may have taken the rest
            if end:
                yield held[:end], np.array([0, end], dtype=np.int64), None
                held = held[end:]
            else:
                excerpt, skipped, held = held[:EXCERPT_BYTES], len(held), b""
        wanted = max(CHUNK_BYTES, 2 * len(held))


def _bounds(data: bytes, delimiter: int, *, is_last: bool) -> np.ndarray:
    ends = np.zeros(data.count(b"\n") + 2, dtype=np.int64)
    count = int(_row_ends(np.frombuffer(data, dtype=np.uint8), delimiter, is_last, ends[1:]))
    return ends[: count + 1]


def fields_of(row: str, delimiter: str) -> list[str] | None:
    """Split one row, its line end removed; None where its quotes do not match."""
    row = row.removesuffix("\n").removesuffix("\r")
    if '"' not in row:
        return row.split(delimiter)
    fields = []
    place = 0
    while True:
        if row.startswith('"', place):
            quoted = _QUOTED.match(row, place)
            if quoted is None:
                return None
            fields.append(quoted[1].replace('""', '"'))
            place = quoted.end()
        else:
            end = row.find(delimiter, place)
            end = len(row) if end < 0 else end
            fields.append(row[place:end])
            place = end
        if place == len(row):
            return fields
        if row[place] != delimiter:
            return None
        place += 1


def parse(piece: Piece, source: Source, out: Collector, *, limit: int) -> None:
    """Take the text column of each row; one with other than the header's number of fields is rejected.

    In TSV, where quoting is rare, a row whose quotes do not match is read as it stands.
    """
    delimiter = _DELIMITERS[piece.format]
    text_place = piece.columns.index(text_column(source, piece.name, piece.columns))
    wanted = (source.id, source.url, source.licence_column)
    places = [piece.columns.index(column) if column in piece.columns else None for column in wanted]
    for row, raw in piece.records():
        data = raw.tobytes()
        if not data.strip():
            continue
        line = text_of(data, piece.encoding, out, limit=limit)
        fields = line if isinstance(line, Fault) else _fields(line, delimiter, piece.columns)
        out.object_seen()
        if isinstance(fields, Fault):
            out.reject(row, fields, raw=data)
            continue
        id, url, licence = (None if place is None else fields[place] for place in places)
        text = checked(fields[text_place])
        if isinstance(text, Fault):
            out.reject(row, text, raw=data, id=id)
        else:
            out.add(row, encode(text), (id, url, licence))


def _fields(line: str, delimiter: str, columns: Sequence[str]) -> list[str] | Fault:
    fields = fields_of(line, delimiter)
    if fields is None:
        if delimiter == ",":
            return Fault("bad_csv", "the quotes do not match")
        fields = line.removesuffix("\n").removesuffix("\r").split(delimiter)
    if len(fields) != len(columns):
        return Fault("bad_csv", f"{len(fields)} fields, the header has {len(columns)}")
    return fields
