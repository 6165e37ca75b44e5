"""HTML files: the main text of a page, found by trafilatura."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

from redwhale.core.errors import USAGE, RedwhaleError, first_line
from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.collect import NO_MAIN_TEXT, Collector
from redwhale.corpus.read.encodings import is_cp949, is_utf8
from redwhale.corpus.read.jsonl import encode
from redwhale.corpus.read.pieces import Content, Piece
from redwhale.corpus.read.streams import Fault

_PAGE_BYTES = 4 << 20  # a parsed page takes some 20 times its size
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_-]{1,40})", re.IGNORECASE)
_KOREAN = {"euc-kr", "euckr", "ks_c_5601-1987", "ksc5601", "ks_c_5601", "korean", "cp949", "ms949", "windows-949"}


def cut(content: Content, source: Source, *, limit: int) -> Iterator[Piece]:
    """Hand over one page; pages over 4 MiB are refused, whatever the limit for records."""
    return content.packed([content.whole(limit=min(limit, _PAGE_BYTES))])


def parse(piece: Piece, source: Source, out: Collector, *, limit: int) -> None:
    """Take the main text of each page, its title and its own address; a page without any is rejected as such.

    Raises exit code 2 where trafilatura is not installed.
    """
    try:
        from trafilatura import bare_extraction
    except ImportError as error:
        raise RedwhaleError(
            f"source {source.name}: reading HTML needs trafilatura ({first_line(error)})",
            where="preprocess.sources",
            fix="pip install trafilatura lxml_html_clean",
            exit_code=USAGE,
        ) from error
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # what it says of a page is said by the reason
    for row, raw in piece.records():
        page = _decode(raw.tobytes(), out)
        if isinstance(page, Fault):
            out.reject(row, page, raw=raw)
            continue
        found = bare_extraction(page, include_comments=False, with_metadata=True) if page.strip() else None
        text = getattr(found, "text", None)
        if not text:
            out.reject(row, Fault(NO_MAIN_TEXT, f"a page of {len(raw)} bytes"), raw=raw)
            continue
        out.add(row, encode(text), (None, getattr(found, "url", None), None), getattr(found, "title", None))


def _decode(data: bytes, out: Collector) -> str | Fault:
    """Decode a page: UTF-8, else what its ``meta`` names, EUC-KR always read as CP949, which holds it."""
    if is_utf8(data):
        return data.decode("utf-8", "replace")
    named = _CHARSET.search(data[:4096])
    charset = named[1].decode("ascii").lower() if named else ""
    if charset in _KOREAN or is_cp949(data):
        out.decoded["decoded_cp949"] += 1
        return data.decode("cp949", "replace")
    try:
        return data.decode(charset or "utf-8", "replace" if charset in ("utf-8", "utf8") else "strict")
    except (UnicodeDecodeError, LookupError) as error:
        return Fault("invalid_utf8", f"charset {charset or 'unknown'}: {first_line(error)}")
