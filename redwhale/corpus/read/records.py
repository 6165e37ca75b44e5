"""Turn the bytes of a record into its text and id, or into the reason why it has none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import orjson

from redwhale.corpus.read.streams import Fault

_CP949_SAMPLE_BYTES = 4096
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
        value = _parse_leniently(line)
    if isinstance(value, Fault):
        return Parsed(value)
    if not isinstance(value, dict):
        return Parsed(Fault("not_an_object", f"a JSON {_kind(value)}"))
    identifier = value.get(_ID)
    if text_column not in value:
        keys = tuple(str(key) for key in value)
        return Parsed(Fault("no_text", f"no key {text_column!r}"), identifier, keys)
    return Parsed(_checked(value[text_column]), identifier, has_column=True)


def parse_text(payload: bytes | None) -> Parsed:
    """Decode one text; None (a null column) is no text."""
    if payload is None:
        return Parsed(Fault("no_text", "null"))
    decoded = _decode(payload)
    return Parsed(decoded if isinstance(decoded, Fault) else _checked(decoded))


def _checked(value: Any) -> str | Fault:
    if value is None:
        return Fault("no_text", "null")
    if not isinstance(value, str):
        return Fault("text_not_a_string", f"a JSON {_kind(value)}")
    return value if value.strip("\0 \t\r\n") else Fault("empty_text", f"{len(value)} characters of white space")


def _parse_leniently(line: bytes) -> Any:
    """Parse what the strict parser refuses: lone surrogates, NaN, raw control characters."""
    text = _decode(line.strip(b"\xef\xbb\xbf\0 \t\r"))
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


def _decode(payload: bytes) -> str | Fault:
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError as error:
        detail = f"byte {error.start + 1} is 0x{payload[error.start]:02x}"
        if _is_cp949(payload):
            detail += "; it reads as CP949: convert the file with `iconv -f cp949 -t utf-8`"
        return Fault("invalid_utf8", detail)


def _is_cp949(payload: bytes) -> bool:
    """Tell whether the bytes are Korean in CP949: they decode, and most of what is not ASCII is Hangul."""
    sample = payload[:_CP949_SAMPLE_BYTES]
    for text in (sample, sample[:-1]):
        try:
            foreign = [character for character in text.decode("cp949") if character > "\x7f"]
        except UnicodeDecodeError:
            continue
        hangul = sum("가" <= character <= "힣" for character in foreign)
        return len(foreign) >= 2 and hangul >= 0.8 * len(foreign)
    return False


def _kind(value: Any) -> str:
    names: dict[type, str] = {list: "list", dict: "object", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
