"""Plain text: the file, each line, or each block between blank lines is a document."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.collect import Collector
from redwhale.corpus.read.encodings import is_utf8
from redwhale.corpus.read.jsonl import encode
from redwhale.corpus.read.pieces import CHUNK_BYTES, Content, Piece, too_large
from redwhale.corpus.read.records import checked, decode
from redwhale.corpus.read.streams import EXCERPT_BYTES, DamagedStreamError, Fault

_BLANK_LINES = re.compile(rb"\n[ \t\r\v\f]*\n(?:[ \t\r\v\f]*\n)*")


def cut(content: Content, source: Source, *, limit: int) -> Iterator[Piece]:
    """Cut text into what the source takes for a document."""
    if source.documents == "line":
        return content.lines(limit=limit)
    if source.documents == "file":
        return content.packed([content.whole(limit=limit)])
    return content.packed(_paragraphs(content.blocks, limit))


def _paragraphs(blocks: Iterator[bytes], limit: int) -> Iterator[bytes | Fault]:
    """Yield what stands between blank lines; what is longer than ``limit`` is a Fault in bounded memory."""
    held, waiting, excerpt, skipped, wanted = b"", [b""], b"", 0, CHUNK_BYTES
    waited = 0
    try:
        for block in itertools.chain(blocks, [b""]):
            waiting.append(block)
            waited += len(block)
            if block and len(held) + waited < wanted:
                continue
            held, waiting, waited = b"".join([held, *waiting]), [], 0
            *good, held = _BLANK_LINES.split(held)
            if skipped and good:
                yield too_large(excerpt, skipped + len(good.pop(0)), limit)
                skipped = 0
            yield from (text for text in good if text.strip())
            if skipped or len(held) > limit:
                keep = len(held) - len(held.rstrip())  # blank lines may go on in the next block
                excerpt = excerpt if skipped else held[:EXCERPT_BYTES]
                skipped, held = skipped + len(held) - keep, held[len(held) - keep :]
            wanted = max(CHUNK_BYTES, 2 * len(held))
    except DamagedStreamError as damage:
        *good, held = _BLANK_LINES.split(b"".join([held, *waiting]))
        if skipped and good:
            yield too_large(excerpt, skipped + len(good.pop(0)), limit)
            skipped, excerpt = 0, b""
        yield from (text for text in good if text.strip())
        yield Fault("truncated_file", str(damage), excerpt or held[:EXCERPT_BYTES], skipped + len(held))
        return
    if skipped:
        yield too_large(excerpt, skipped + len(held), limit)
    elif held.strip():
        yield held


def parse(piece: Piece, source: Source, out: Collector, *, limit: int) -> None:
    """Decode each document."""
    for row, raw in piece.records():
        data = raw.tobytes()
        if source.documents != "file":
            data = data.strip(b"\r\n")
        if not data.strip():
            continue
        text = text_of(data, piece.encoding, out, limit=limit)
        if isinstance(text, Fault):
            out.reject(row, text, raw=data)
        else:
            out.add(row, encode(text))


def text_of(data: bytes, encoding: str, out: Collector, *, limit: int) -> str | Fault:
    """Decode one text, trying first the encoding of its file, and count it where that was not UTF-8."""
    if len(data) > limit:
        return too_large(data, len(data), limit)
    if encoding == "cp949" and not data.isascii():
        try:
            text = data.decode("cp949")
        except UnicodeDecodeError:
            pass
        else:
            out.decoded["decoded_cp949"] += 1
            return checked(text)
    text_or_fault = decode(data)
    if isinstance(text_or_fault, Fault):
        return text_or_fault
    if not is_utf8(data):
        out.decoded["decoded_cp949"] += 1
    return checked(text_or_fault)
