"""MediaWiki XML dumps, such as kowiki-latest-pages-articles.xml.bz2: the articles, as plain text.

The dump is cut at ``</page>``: text inside it is escaped, so that these bytes stand nowhere else. Nothing of it is
parsed before, and a page alone cannot define entities.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote
from xml.etree import ElementTree

from redwhale.core.errors import first_line
from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.collect import Collector
from redwhale.corpus.read.jsonl import encode
from redwhale.corpus.read.pieces import Content, Piece, too_large
from redwhale.corpus.read.records import checked
from redwhale.corpus.read.streams import EXCERPT_BYTES, DamagedStreamError, Fault
from redwhale.corpus.read.wikitext import is_redirect, plain_text

_BEGIN, _END = b"<page>", b"</page>"
_ADDRESS = "https://ko.wikipedia.org/wiki/"
_LICENCE = "CC-BY-SA-4.0"


def cut(content: Content, source: Source, *, limit: int) -> Iterator[Piece]:
    """Cut a dump into its pages."""
    return content.packed(_pages(content.blocks, limit))


def _pages(blocks: Iterator[bytes], limit: int) -> Iterator[bytes | Fault]:
    """Yield each page with its tags; holds one block and one page, or the beginning of one that is too large."""
    held: list[bytes] = []  # of the page that has begun
    rest, size, inside = b"", 0, False
    try:
        for block in blocks:
            rest += block
            while rest:
                if not inside:
                    begin = rest.find(_BEGIN)
                    if begin < 0:
                        rest = rest[-len(_BEGIN) + 1 :]
                        break
                    rest, held, size, inside = rest[begin:], [], 0, True
                end = rest.find(_END)
                part, rest = (rest[: end + len(_END)], rest[end + len(_END) :]) if end >= 0 else _safe(rest)
                size += len(part)
                if size <= limit:
                    held.append(part)
                elif len(held) != 1 or len(held[0]) > EXCERPT_BYTES:
                    held = [b"".join([*held, part[:EXCERPT_BYTES]])[:EXCERPT_BYTES]]
                if end < 0:
                    break
                yield b"".join(held) if size <= limit else too_large(held[0], size, limit)
                inside = False
    except DamagedStreamError as damage:
        yield Fault("truncated_file", str(damage), b"".join(held)[:EXCERPT_BYTES] if inside else b"", size)
        return
    if inside:
        yield Fault("truncated_file", "the dump ends inside a page", b"".join(held)[:EXCERPT_BYTES], size)


def _safe(rest: bytes) -> tuple[bytes, bytes]:
    """Keep back what may be the beginning of the end tag."""
    keep = len(_END) - 1
    return rest[:-keep], rest[-keep:]


def parse(piece: Piece, source: Source, out: Collector, *, limit: int) -> None:
    """Take the text of each article; redirects and pages of other namespaces are counted only."""
    for row, raw in piece.records():
        try:
            page = ElementTree.fromstring(raw.tobytes())
        except ElementTree.ParseError as error:
            out.reject(row, Fault("bad_xml", first_line(error)), raw=raw)
            continue
        if page.findtext("ns", "0") != "0":
            out.skipped["other_namespace"] += 1
            continue
        wikitext = page.findtext("revision/text") or ""
        if page.find("redirect") is not None or is_redirect(wikitext):
            out.skipped["redirect"] += 1
            continue
        title = page.findtext("title") or ""
        identifier = page.findtext("id")
        text = checked(plain_text(wikitext))
        if isinstance(text, Fault):
            out.reject(row, text, raw=raw, id=identifier)
            continue
        address = _ADDRESS + quote(title.replace(" ", "_"), safe="/:()',")
        out.add(row, encode(text), (identifier, address, source.licence or _LICENCE), title)
