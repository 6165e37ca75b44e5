"""Turn the bytes of a record into its text and id, or into the reason why it has none."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any

import orjson

from redwhale.corpus.read.encodings import is_cp949
from redwhale.corpus.read.streams import Fault

_ID = "id"


@dataclass(frozen=True)
class Parsed:
    """A record's text or its Fault; ``columns`` are the keys of a JSON object that lacks the text column."""

    text: str | Fault
    id: Any = None
    columns: tuple[str, ...] = ()
    has_column: bool = False


def parse_json(line: bytes, text_column: str) -> Parsed:
    """Parse one JSON line; duplicate keys: the last one counts; NaN and control characters are let through."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        value = parse_leniently(line)
    if isinstance(value, Fault):
        return Parsed(value)
    if not isinstance(value, dict):
        return Parsed(Fault("not_an_object", f"a JSON {kind_of(value)}"))
    identifier = value.get(_ID)
    if text_column not in value:
        keys = tuple(str(key) for key in value)
        return Parsed(Fault("no_text", f"no key {text_column!r}"), identifier, keys)
    return Parsed(checked(value[text_column]), identifier, has_column=True)


def parse_text(payload: bytes | None) -> Parsed:
    """Decode one text; None (a null column) is no text."""
    if payload is None:
        return Parsed(Fault("no_text", "null"))
    decoded = decode(payload)
    return Parsed(decoded if isinstance(decoded, Fault) else checked(decoded))


def checked(value: Any) -> str | Fault:
    """Return a value as text, or the reason why it is none."""
    if value is None:
        return Fault("no_text", "null")
    if not isinstance(value, str):
        return Fault("text_not_a_string", f"a JSON {kind_of(value)}")
    return value if value.strip("\0 \t\r\n") else Fault("empty_text", f"{len(value)} characters of white space")


def parse_leniently(line: bytes) -> Any:
    """Parse what the strict parser refuses: lone surrogates, NaN, raw control characters."""
    text = decode(line.strip(b"\xef\xbb\xbf\0 \t\r"))
    if isinstance(text, Fault):
        return text
    try:
        return json.loads(text, strict=False)
    except json.JSONDecodeError as error:
        return Fault("bad_json", f"{error.msg} at character {error.pos + 1}")
    except RecursionError:
        return Fault("bad_json", "nested too deeply")
    except ValueError as error:
        return Fault("bad_json", str(error)[:100])


def decode(payload: bytes) -> str | Fault:
    """Decode one record: UTF-8, or CP949 where it is not UTF-8 and plainly Korean."""
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError as error:
        if is_cp949(payload):
            with contextlib.suppress(UnicodeDecodeError):
                return payload.decode("cp949")
        return Fault("invalid_utf8", f"byte {error.start + 1} is 0x{payload[error.start]:02x}")


def kind_of(value: Any) -> str:
    """Return JSON's word for the type of a value."""
    names: dict[type, str] = {list: "list", dict: "object", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
