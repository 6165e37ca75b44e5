"""JSON records, one a line or cut out of a larger file: the text, or several joined, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.collect import NO_ORIGIN, Collector, Origin
from redwhale.corpus.read.encodings import is_utf8
from redwhale.corpus.read.json_path import Path, find, parse_path, write_path
from redwhale.corpus.read.pieces import Content, Piece, too_large
from redwhale.corpus.read.records import checked, has_doubled_key, kind_of, parse_leniently
from redwhale.corpus.read.streams import Fault

_SHOWN_KEYS = 30


def cut(content: Content, source: Source, *, limit: int) -> Iterator[Piece]:
    """Cut JSON lines."""
    return content.lines(limit=limit)


def parse(piece: Piece, source: Source, out: Collector, *, limit: int) -> None:
    """Parse each record of ``piece``: NaN and control characters pass, a doubled key of the text does not."""
    path = () if piece.text == "" else parse_path(source.text if piece.text is None else piece.text)
    column = path[0] if len(path) == 1 and isinstance(path[0], str) else None
    written = orjson.dumps(column).decode().encode("cp949" if piece.encoding == "cp949" else "utf-8", "replace")
    origin = origin_reader(source)
    loads = orjson.loads
    for row, raw in piece.records():
        if len(raw) > limit:
            out.reject(row, too_large(raw[:8192], len(raw), limit))
            continue
        try:
            value = loads(raw) if piece.encoding != "cp949" else _cp949(raw, out)
        except orjson.JSONDecodeError:
            if not raw.tobytes().strip():
                continue
            value = _leniently(raw.tobytes(), out)
        if not isinstance(value, dict) and (column is not None or isinstance(value, Fault)):
            fault = value if isinstance(value, Fault) else Fault("not_an_object", f"a JSON {kind_of(value)}")
            out.reject(row, fault, raw=raw)
            continue
        if column is not None and raw.tobytes().count(written) > 1 and has_doubled_key(raw.tobytes(), column):
            out.object_seen()
            out.reject(row, Fault("bad_json", f"the key {column!r} stands twice"), raw=raw, id=origin(value)[0])
            continue
        text = value.get(column) if column is not None else joined(value, path, source.join)
        if text.__class__ is str and text[:1] > " ":  # the usual case, without a look at the rest
            out.add(row, encode(text), origin(value))
            out.object_seen()
            continue
        if column is not None and column not in value:
            text = Fault("no_text", f"no key {column!r}")
        if isinstance(text, Fault):
            out.object_seen(columns=keys_of(value))
        else:
            out.object_seen()
            text = checked(text)
        if isinstance(text, Fault):
            out.reject(row, text, raw=raw, id=origin(value)[0])
        else:
            out.add(row, encode(text), origin(value))


def keys_of(value: Any) -> tuple[str, ...]:
    """Return the keys of an object, those of a list's first item with ``[*].`` before them."""
    if isinstance(value, list):
        return tuple(f"[*].{key}" for key in keys_of(value[0])) if value else ()
    return tuple(str(key) for key in list(value)[:_SHOWN_KEYS]) if isinstance(value, dict) else ()


def _leniently(data: bytes, out: Collector) -> Any:
    value = parse_leniently(data)
    if not isinstance(value, Fault) and not is_utf8(data):
        out.decoded["decoded_cp949"] += 1
    return value


def encode(text: str) -> bytes:
    """Encode a text; lone surrogates become U+FFFD, pairs of them the character they stand for."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def joined(value: Any, path: Path, join: str) -> str | Fault:
    """Return the texts that ``path`` leads to, joined; empty ones are left out."""
    found = list(find(value, path))
    if not found:
        return Fault("no_text", f"nothing at {write_path(path)!r}")
    texts = [text for text in found if isinstance(text, str)]
    if not texts:
        present = [item for item in found if item is not None]
        if present:
            return Fault("text_not_a_string", f"a JSON {kind_of(present[0])} at {write_path(path)!r}")
        return Fault("no_text", "null")
    return join.join(text for text in texts if text)


def origin_reader(source: Source) -> Callable[[Any], Origin]:
    """Return what reads id, address and licence of a parsed record, by the columns or paths of the source."""
    paths = [parse_path(path) if path else () for path in (source.id, source.url, source.licence_column)]
    keys = [path[0] if len(path) == 1 and isinstance(path[0], str) else None for path in paths]
    if any(path and key is None for path, key in zip(paths, keys, strict=True)):
        return lambda value: tuple(next(find(value, path), None) if path else None for path in paths)  # type: ignore[return-value]
    id_key, url_key, licence_key = keys

    def read(value: Any) -> Origin:
        if not isinstance(value, dict):
            return NO_ORIGIN
        get = value.get
        return get(id_key), get(url_key), get(licence_key)

    return read


def _cp949(raw: memoryview, out: Collector) -> Any:
    """Parse a record of a CP949 file; one that is not CP949 after all is left to the lenient parser."""
    data = raw.tobytes()
    if data.isascii():
        return orjson.loads(data)
    try:
        value = orjson.loads(data.decode("cp949"))
    except UnicodeDecodeError:
        return orjson.loads(data)
    out.decoded["decoded_cp949"] += 1
    return value
