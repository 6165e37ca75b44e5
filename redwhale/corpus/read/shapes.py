"""JSON files whose usual shapes are known: which values are records, and where in one its text stands."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.collect import Collector
from redwhale.corpus.read.json_path import EACH, Path, find, parse_path
from redwhale.corpus.read.json_stream import JsonStream
from redwhale.corpus.read.jsonl import encode, joined, keys_of, origin_reader
from redwhale.corpus.read.pieces import Content, Piece, raising, too_large
from redwhale.corpus.read.records import checked, parse_leniently
from redwhale.corpus.read.streams import DamagedStreamError, Fault

_HEAD_BYTES = 8 << 20


def cut_shaped(content: Content, records: Sequence[str], *, limit: int) -> Iterator[Piece]:
    """Cut a file at those of the paths ``records`` whose first key stands in its first 8 MiB.

    Where there is none, each item of a list is a record, and anything else is one.
    """
    head, rest = _head(content)
    paths = [path for path in map(parse_path, records) if _stands_in(head, path)]
    if not paths:
        paths = [(EACH,)] if head.lstrip()[:1] == b"[" else [()]
    found = JsonStream(itertools.chain([head], rest), limit=limit).found(paths)
    return content.packed(value for _, value in found)


def _stands_in(head: bytes, path: Path) -> bool:
    return re.search(rb'"%s"\s*:\s*[\[{]' % re.escape(str(path[0]).encode()), head) is not None


def _head(content: Content) -> tuple[bytes, Iterator[bytes]]:
    held: list[bytes] = []
    size = 0
    try:
        for block in content.blocks:
            held.append(block)
            size += len(block)
            if size >= _HEAD_BYTES:
                break
    except DamagedStreamError as damage:
        return b"".join(held), raising(damage)
    return b"".join(held), content.blocks


def parse_shaped(piece: Piece, source: Source, out: Collector, *, texts: Sequence[str], limit: int) -> None:
    """Take the text of each record from the first of the paths ``texts`` that leads to one."""
    paths = [parse_path(path) for path in texts]
    origin = origin_reader(source)
    for row, raw in piece.records():
        if len(raw) > limit:
            out.reject(row, too_large(raw[:8192], len(raw), limit))
            continue
        value = _load(raw.tobytes(), piece.encoding, out)
        if isinstance(value, Fault):
            out.reject(row, value, raw=raw)
            continue
        if isinstance(value, str):
            text: str | Fault = value
        else:
            text = _first_text(value, paths, source.join)
        if isinstance(text, Fault):
            out.object_seen(columns=keys_of(value))
        else:
            out.object_seen()
            text = checked(text)
        found = origin(value)
        if isinstance(text, Fault):
            out.reject(row, text, raw=raw, id=found[0])
        else:
            title = next((title for title in find(value, ("metadata", "title"))), None)
            out.add(row, encode(text), found, title)


def _first_text(value: Any, paths: list[Path], join: str) -> str | Fault:
    """Return the text at the first path that leads to one, which then is tried first: files are alike inside."""
    for place, path in enumerate(paths):
        text = joined(value, path, join)
        if isinstance(text, str):
            paths.insert(0, paths.pop(place))
            return text
    return Fault("no_text", f"no known shape; its keys: {', '.join(keys_of(value))}")


def _load(data: bytes, encoding: str, out: Collector) -> Any:
    """Parse one record, leniently where need be."""
    if encoding == "cp949" and not data.isascii():
        try:
            data = data.decode("cp949").encode()
            out.decoded["decoded_cp949"] += 1
        except UnicodeDecodeError:
            pass
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return parse_leniently(data)
