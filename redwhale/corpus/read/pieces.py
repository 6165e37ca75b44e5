"""Raw bytes of files, cut between records and nowhere else, before they are parsed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from redwhale.corpus.read.encodings import utf8_blocks, without_bom
from redwhale.corpus.read.sources import SourceFile
from redwhale.corpus.read.streams import EXCERPT_BYTES, DamagedStreamError, Fault

CHUNK_BYTES = 2 << 20
_ROW_BYTES = 64  # what a record weighs besides its bytes, so that a chunk of empty ones ends as well


@dataclass(frozen=True)
class Piece:
    """Successive records of one file or archive member, as they are stored.

    ``data`` holds them line by line, or as record i = ``data[bounds[i]:bounds[i + 1]]`` with ``bounds`` (n + 1,)
    int64. ``fault`` is what came in place of the record after the last. The first has the row ``first_row``.
    ``format`` says how they are parsed; ``columns`` are those of a table, ``text`` and ``translation`` are paths
    inside a record where they are not the source's. ``span`` is a part of the file that a worker reads for itself,
    of ``span_rows`` rows and ``weight`` bytes.
    """

    file: SourceFile
    format: str
    first_row: int
    data: bytes = b""
    bounds: np.ndarray | None = None
    fault: Fault | None = None
    member: str = ""
    encoding: str = "utf-8"
    columns: tuple[str, ...] = ()
    text: str | None = None
    translation: str | None = None
    span: int = -1
    span_rows: int = 0
    weight: int = 0

    @property
    def name(self) -> str:
        """Return the file's name, with the member of an archive as ``archive.zip!member``."""
        return f"{self.file.name}!{self.member}" if self.member else self.file.name

    @property
    def size(self) -> int:
        """Return its weight in bytes."""
        return len(self.data) + self.weight + (0 if self.bounds is None else len(self.bounds) * _ROW_BYTES)

    def records(self) -> Iterator[tuple[int, memoryview]]:
        """Yield the row and the bytes of each record; lines come without their end."""
        view = memoryview(self.data)
        if self.bounds is None:
            ends = np.flatnonzero(np.frombuffer(self.data, dtype=np.uint8) == ord("\n")).tolist()
            if self.data and not self.data.endswith(b"\n"):
                ends.append(len(self.data))
            start = 0
            for row, end in enumerate(ends, self.first_row):
                yield row, view[start:end]
                start = end + 1
        else:
            bounds = self.bounds.tolist()
            for row, (start, end) in enumerate(itertools.pairwise(bounds), self.first_row):
                yield row, view[start:end]


@dataclass(frozen=True)
class Chunk:
    """Some MB of one source: ``input_bytes`` of its files as stored were read for it,
    and records longer than ``limit`` bytes are refused."""

    source: int
    pieces: tuple[Piece, ...]
    input_bytes: int
    limit: int


@dataclass
class Content:
    """The decompressed bytes of one file or archive member, and how they are encoded; UTF-16 comes as UTF-8."""

    file: SourceFile
    format: str
    blocks: Iterator[bytes]
    member: str = ""
    encoding: str = "utf-8"

    @staticmethod
    def of(file: SourceFile, format: str, blocks: Iterator[bytes], *, member: str = "") -> Content:
        """Tell the encoding by the first block; damage before any byte shows when the blocks are read."""
        try:
            first = next(blocks, b"")
        except DamagedStreamError as damage:
            return Content(file, format, raising(damage), member)
        encoding, first = without_bom(first)
        blocks = itertools.chain([first], blocks)
        if encoding.startswith("utf-16"):
            blocks = utf8_blocks(blocks, encoding)
        return Content(file, format, blocks, member, encoding)

    def piece(self, first_row: int, data: bytes = b"", **fields: Any) -> Piece:
        """Return a piece of this content."""
        return Piece(self.file, self.format, first_row, data, member=self.member, encoding=self.encoding, **fields)

    def packed(self, elements: Iterable[bytes | Fault], **fields: Any) -> Iterator[Piece]:
        """Gather records into pieces; each Fault takes the place of a record and ends its piece."""
        held: list[bytes] = []
        size, first_row = 0, 0
        for element in elements:
            fault = element if isinstance(element, Fault) else None
            if isinstance(element, bytes):
                held.append(element)
                size += len(element) + _ROW_BYTES
            if fault or size >= CHUNK_BYTES:
                yield self._elements(first_row, held, fault, fields)
                first_row += len(held) + (fault is not None)
                held, size = [], 0
        if held:
            yield self._elements(first_row, held, None, fields)

    def _elements(self, first_row: int, held: list[bytes], fault: Fault | None, fields: dict[str, Any]) -> Piece:
        bounds = np.zeros(len(held) + 1, dtype=np.int64)
        np.cumsum([len(element) for element in held], out=bounds[1:])
        return self.piece(first_row, b"".join(held), bounds=bounds, fault=fault, **fields)

    def lines(self, *, limit: int) -> Iterator[Piece]:
        """Cut between lines; one that is longer than ``limit`` becomes a Fault in bounded memory.

        Lines over ``limit`` that fit a piece are left for the worker to refuse.
        """
        whole: list[bytes] = []
        rest: list[bytes] = []
        row = whole_size = rest_size = 0
        skipping = False
        try:
            for block in self.blocks:
                end = block.rfind(b"\n") + 1
                if skipping and end:
                    first = block.find(b"\n")
                    rest_size += first
                    yield self.piece(row, fault=too_large(b"".join(rest), rest_size, limit))
                    row, skipping, rest, rest_size = row + 1, False, [], 0
                    block, end = block[first + 1 :], end - first - 1
                if end:
                    whole += [*rest, block[:end]]
                    whole_size += rest_size + end
                    rest, rest_size = [], 0
                rest_size += len(block) - end
                if not skipping:
                    rest.append(block[end:])
                if rest_size > limit or whole_size >= CHUNK_BYTES:
                    if whole:
                        piece = self.piece(row, b"".join(whole))
                        row += piece.data.count(b"\n")
                        yield piece
                    whole, whole_size = [], 0
                if rest_size > limit and not skipping:
                    rest, skipping = [b"".join(rest)[:EXCERPT_BYTES]], True
        except DamagedStreamError as damage:
            fault: Fault | None = Fault("truncated_file", str(damage), b"".join(rest)[:EXCERPT_BYTES], rest_size)
            yield self.piece(row, b"".join(whole), fault=fault)
            return
        fault = too_large(b"".join(rest), rest_size, limit) if skipping else None
        data = b"".join(whole if skipping else whole + rest)
        if data or fault:
            yield self.piece(row, data, fault=fault)

    def whole(self, *, limit: int) -> bytes | Fault:
        """Return all its bytes, or a Fault where there are more than ``limit`` or the end is missing."""
        held: list[bytes] = []
        size = 0
        try:
            for block in self.blocks:
                size += len(block)
                if size > limit:
                    excerpt = b"".join([*held, block])[:EXCERPT_BYTES]
                    return Fault("too_large", f"more than {limit} bytes", excerpt, size)
                held.append(block)
        except DamagedStreamError as damage:
            return Fault("truncated_file", str(damage), b"".join(held)[:EXCERPT_BYTES], size)
        return b"".join(held)


def too_large(excerpt: bytes | memoryview, size: int, limit: int) -> Fault:
    """Return the Fault of a record that is longer than may be."""
    return Fault("too_large", f"{size} bytes, most {limit}", bytes(excerpt[:EXCERPT_BYTES]), size)


def raising(damage: DamagedStreamError) -> Iterator[bytes]:
    """Return blocks that fail when they are read."""
    raise damage
    yield b""
