"""The JSON dump of namuwiki: a list of ``{"namespace", "title", "text", …}``, some 10 GB in one line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import orjson

from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.collect import Collector
from redwhale.corpus.read.json_path import EACH
from redwhale.corpus.read.json_stream import JsonStream
from redwhale.corpus.read.jsonl import encode
from redwhale.corpus.read.namumark import is_redirect, plain_text
from redwhale.corpus.read.pieces import Content, Piece, too_large
from redwhale.corpus.read.records import checked, kind_of, parse_leniently
from redwhale.corpus.read.streams import Fault

_ADDRESS = "https://namu.wiki/w/"
_LICENCE = "CC-BY-NC-SA-2.0-KR"
_ARTICLES = (0, "0", "", "문서")


def cut(content: Content, source: Source, *, limit: int) -> Iterator[Piece]:
    """Cut the list into its pages as it streams by."""
    found = JsonStream(content.blocks, limit=limit).found([(EACH,)])
    return content.packed(value for _, value in found)


def parse(piece: Piece, source: Source, out: Collector, *, limit: int) -> None:
    """Take the text of each article; redirects and pages of other namespaces are counted only."""
    for row, raw in piece.records():
        if len(raw) > limit:
            out.reject(row, too_large(raw[:8192], len(raw), limit))
            continue
        try:
            page: Any = orjson.loads(raw)
        except orjson.JSONDecodeError:
            page = parse_leniently(raw.tobytes())
        if not isinstance(page, dict):
            fault = page if isinstance(page, Fault) else Fault("not_an_object", f"a JSON {kind_of(page)}")
            out.reject(row, fault, raw=raw)
            continue
        title, namumark = page.get("title"), page.get("text")
        out.object_seen(columns=None if "text" in page else tuple(map(str, page)))
        if page.get("namespace", 0) not in _ARTICLES:
            out.skipped["other_namespace"] += 1
            continue
        if isinstance(namumark, str) and is_redirect(namumark):
            out.skipped["redirect"] += 1
            continue
        text = checked(plain_text(namumark) if isinstance(namumark, str) else namumark)
        if isinstance(text, Fault):
            out.reject(row, text, raw=raw, id=title)
            continue
        address = _ADDRESS + quote(title, safe="/:()',") if isinstance(title, str) else None
        out.add(row, encode(text), (title, address, source.licence or _LICENCE), title)
