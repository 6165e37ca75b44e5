"""JSON files of any shape: records and texts by path."""

from __future__ import annotations

from collections.abc import Iterator

from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.json_path import parse_path, split_path, write_path
from redwhale.corpus.read.json_stream import JsonStream
from redwhale.corpus.read.pieces import Content, Piece


def cut(content: Content, source: Source, *, limit: int) -> Iterator[Piece]:
    """Cut a JSON file into the records that the source's paths name; what is read later are the paths inside them."""
    written = parse_path(source.records) if source.records else None
    records, text = split_path(parse_path(source.text), written)
    found = JsonStream(content.blocks, limit=limit).found([records])
    paths = {"text": write_path(text)}
    if source.translation:
        paths["translation"] = write_path(split_path(parse_path(source.translation), records)[1])
    return content.packed((value for _, value in found), **paths)
