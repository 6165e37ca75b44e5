"""Turn the bytes of a record into its text and id, or into the reason why it has none."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from redwhale.core.errors import first_line
from redwhale.corpus.read.encodings import is_cp949
from redwhale.corpus.read.streams import Fault


def checked(value: Any) -> str | Fault:
    """Return a value as text, or the reason why it is none."""
    if value is None:
        return Fault("no_text", "null")
    if not isinstance(value, str):
        return Fault("text_not_a_string", f"a JSON {kind_of(value)}")
    return value if value.strip("\0 \t\r\n") else Fault("empty_text", f"{len(value)} characters of white space")


def parse_leniently(line: bytes, **options: Any) -> Any:
    """Parse what the strict parser refuses: lone surrogates, NaN, raw control characters; ``options`` as json has."""
    text = decode(line.strip(b"\xef\xbb\xbf\0 \t\r"))
    if isinstance(text, Fault):
        return text
    try:
        return json.loads(text, strict=False, **options)
    except json.JSONDecodeError as error:
        return Fault("bad_json", f"{error.msg} at character {error.pos + 1}")
    except RecursionError:
        return Fault("bad_json", "nested too deeply")
    except ValueError as error:
        return Fault("bad_json", first_line(error))


def has_doubled_key(record: bytes, key: str) -> bool:
    """Tell whether an object has ``key`` twice: parsers keep the last one, and lose the other without a word."""
    pairs = parse_leniently(record, object_pairs_hook=list)
    return isinstance(pairs, list) and [name for name, _ in pairs].count(key) > 1


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
