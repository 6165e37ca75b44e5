"""Cut the files of a source into chunks of raw bytes, between records and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, Protocol

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.sources import Source
from redwhale.corpus.read import (
    aihub,
    columns,
    csv_rows,
    html_pages,
    jsonl,
    kowiki,
    namuwiki,
    nested_json,
    nikl,
    txt,
    xlsx,
)
from redwhale.corpus.read.archives import Member, members
from redwhale.corpus.read.pieces import CHUNK_BYTES, Chunk, Content, Piece
from redwhale.corpus.read.sources import ARCHIVES, ENDINGS, SourceFile, compression_of, named_format
from redwhale.corpus.read.streams import Fault, Position, raw_blocks


class Cutter(Protocol):
    """What each format does with the bytes of a file."""

    def __call__(self, content: Content, source: Source, *, limit: int) -> Iterator[Piece]: ...


CUTTERS: dict[str, Cutter] = {
    "jsonl": jsonl.cut,
    "txt": txt.cut,
    "csv": csv_rows.cut,
    "tsv": csv_rows.cut,
    "html": html_pages.cut,
    "json": nested_json.cut,
    "aihub": aihub.cut,
    "nikl": nikl.cut,
    "kowiki": kowiki.cut,
    "namuwiki": namuwiki.cut,
    "parquet": columns.cut,
    "datasets": columns.cut,
    "xlsx": xlsx.cut,
}


def cut_chunks(source: Source, index: int, files: Iterable[SourceFile], *, limit: int) -> Iterator[Chunk]:
    """Yield the chunks of a source in the order of its files and rows; ``limit`` is the longest record in bytes.

    Each is about 2 MiB, or one longer record. Raises exit code 2 naming the columns that are there where a table
    has no such text column, or the endings that are known where an archive holds nothing to read.
    """
    held: list[Piece] = []
    size = input_bytes = 0
    for file in files:
        position, done = Position(), 0
        for piece in _pieces(file, source, position, limit):
            held.append(piece)
            size += piece.size
            if size >= CHUNK_BYTES:
                yield Chunk(index, tuple(held), input_bytes + position.done - done, limit)
                held, size, input_bytes, done = [], 0, 0, position.done
        input_bytes += max(file.size, position.done) - done
    if held:
        yield Chunk(index, tuple(held), input_bytes, limit)


class StretchCutter:
    """Cuts one file into ``count`` equal stretches of its stored bytes, one after the other, reading it once.

    A chunk belongs to the stretch in which it begins; all stretches together are the chunks of ``cut_chunks``.
    """

    def __init__(self, source: Source, index: int, file: SourceFile, *, limit: int, count: int) -> None:
        self.next = 0
        """The first stretch that has not been begun; of those before nothing can be had any more."""
        self._count, self._size = count, max(file.size, 1)
        self._chunks = cut_chunks(source, index, [file], limit=limit)
        self._waiting: Chunk | None = None
        self._read = self._begin = 0

    def stretch(self, number: int) -> Iterator[Chunk]:
        """Yield the chunks of a stretch; what lies before is read, as far as chunks must be found, and let go."""
        assert number >= self.next, "that stretch is past"
        self.next = self._count  # unless all goes well, what is left of the file is lost with its reader
        while (chunk := self._waiting or next(self._chunks, None)) is not None:
            self._waiting = chunk
            place = min(self._begin * self._count // self._size, self._count - 1)
            if place > number:
                break
            self._waiting = None
            self._read += chunk.input_bytes
            self._begin = max(self._begin, self._read)  # a reader of zip files goes back and forth
            if place == number:
                yield chunk
        self.next = number + 1


def _pieces(file: SourceFile, source: Source, position: Position, limit: int) -> Iterator[Piece]:
    if file.format == "hub":
        from redwhale.corpus.read.hub import cut_set

        return cut_set(file, source)
    if file.archive:
        return _archive_pieces(file, source, position, limit)
    if file.format in ("parquet", "datasets"):
        return columns.cut_file(file, file.format, source, position=position)
    if file.format == "xlsx":
        return xlsx.cut_file(file, source)
    return _file_pieces(file, source, position, limit)


def _file_pieces(file: SourceFile, source: Source, position: Position, limit: int) -> Iterator[Piece]:
    with file.open() as raw:
        blocks = _positioned(raw, file.compression, position)
        yield from CUTTERS[file.format](Content.of(file, file.format, blocks), source, limit=limit)


def _positioned(raw: BinaryIO, compression: str, position: Position) -> Iterator[bytes]:
    for block in raw_blocks(raw, compression):
        position.done = raw.tell()
        yield block


def _archive_pieces(file: SourceFile, source: Source, position: Position, limit: int) -> Iterator[Piece]:
    """Cut the members of an archive; a table without the text column is told of, unless there is nothing else."""
    seen = good = False
    missing: RedwhaleError | None = None
    with file.open() as raw:
        for member in members(raw, file.archive, source.members, limit=limit):
            cutting = _member_pieces(file, member, source, limit)
            if cutting is None:
                continue
            seen = True
            try:
                for piece in cutting:
                    position.done = raw.tell()
                    good = good or piece.fault is None
                    yield piece
            except RedwhaleError as error:
                missing = missing or error
                yield Piece(file, "txt", 0, member=member.name, fault=Fault("no_text", error.what))
    if not seen:
        raise RedwhaleError(
            f"source {source.name}: {file.name} holds no file to read",
            where="preprocess.sources",
            fix=f"check `members:` and `format:`; endings known: {' '.join([*ENDINGS, *ARCHIVES])}",
            exit_code=USAGE,
        )
    if missing and not good:
        raise missing


def _member_pieces(file: SourceFile, member: Member, source: Source, limit: int) -> Iterator[Piece] | None:
    """Cut one member, or return None where its ending says that it is nothing to read."""
    if isinstance(member.content, Fault):
        return iter([Piece(file, "txt", 0, member=member.name, fault=member.content)])
    compression = compression_of(member.name)
    by_ending = ENDINGS.get(PurePosixPath(member.name.removesuffix(compression)).suffix.lower())
    if by_ending is None and (source.members is None or source.format == "auto"):
        return None
    format = by_ending if source.format == "auto" else named_format(source.format, by_ending)
    if format is None:
        return None
    blocks = raw_blocks(member.content, compression)
    return CUTTERS[format](Content.of(file, format, blocks, member=member.name), source, limit=limit)
