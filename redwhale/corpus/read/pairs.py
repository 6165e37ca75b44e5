"""Parallel text: a record with a text and its translation becomes one document that holds both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import xxhash

from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.collect import UNPAIRED, Collector, Rejected
from redwhale.corpus.read.pieces import Piece
from redwhale.corpus.read.streams import EXCERPT_BYTES

_MISSING = ("no_text", "empty_text", "text_not_a_string")


class Parser(Protocol):
    """What each format makes of a piece: texts and rejected records, given to ``out``."""

    def __call__(self, piece: Piece, source: Source, out: Collector, *, limit: int) -> None: ...


def parse_pairs(piece: Piece, source: Source, out: Collector, *, parser: Parser, limit: int) -> None:
    """Read a piece once for each side, with the ``parser`` of its format, and put the sides of each record together.

    A record of which one side is missing is rejected as ``unpaired``; one that cannot be read, or has neither side,
    for the reason that the parser gives.
    """
    assert source.translation is not None
    text = _read_side(piece, source, limit=limit, parser=parser, column=source.text, path=piece.text)
    other = _read_side(piece, source, limit=limit, parser=parser, column=source.translation, path=piece.translation)
    out.take_seen([text, other])
    out.decoded.update(text.decoded)
    texts, others = text.added, other.added
    for row, (ours, id, url, licence, title) in texts.items():
        if row in others:
            out.add(row, _document(ours, others[row][0], source.between), (id, url, licence), title)
    rejected = {record.row: _of_side(record, source.translation, texts) for record in other.rejected}
    rejected |= {record.row: _of_side(record, source.text, others) for record in text.rejected}
    out.rejected += [rejected[row] for row in sorted(rejected)]


def _read_side(
    piece: Piece, source: Source, *, limit: int, parser: Parser, column: str, path: str | None
) -> Collector:  # fmt: skip
    side = source.model_copy(update={"text": column, "translation": None})
    collector = Collector(side)
    collector.begin(piece)
    parser(replace(piece, text=path), side, collector, limit=limit)
    return collector


def _document(text: bytes, translation: bytes, between: str) -> bytes:
    """Return both sides, the text first for one half of all pairs: which half, their content alone decides."""
    sides = [text, translation]
    if xxhash.xxh3_64_intdigest(b"\0".join(sides)) & 1:
        sides.reverse()
    return between.encode().join(sides)


def _of_side(record: Rejected, column: str, others: dict[int, list[Any]]) -> Rejected:
    """Return why a record gave no text in ``column``: it is unpaired where that is missing and the other is there."""
    if record.reason not in _MISSING or record.row not in others:
        return record
    other = others[record.row][0]
    return replace(
        record, reason=UNPAIRED, detail=f"{column}: {record.reason}, {record.detail}",
        excerpt=record.excerpt or other[:EXCERPT_BYTES], size=record.size or len(other),
    )  # fmt: skip
