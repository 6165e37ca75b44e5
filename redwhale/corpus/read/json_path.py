"""Paths into JSON: ``document[*].paragraph[*].form``, keys and ``[*]`` for each element of a list."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any, Final

from redwhale.core.errors import USAGE, RedwhaleError

EACH: Final = 0
"""Step into each element of a list, written ``[*]``; a key is a step as a string."""
ANY_KEY: Final = 1
"""Step into each value of an object, written ``*``."""

Step = str | int
Path = tuple[Step, ...]
_STEP = re.compile(r'\[\*\]|(?:^|\.)(?:"((?:[^"\\]|\\.)*)"|(\*)|([^.\[\]"*]+))')
_FORM = "keys between points, [*] for each element, * for each key, as in document[*].paragraph[*].form"


@functools.cache
def parse_path(written: str) -> Path:
    """Return the steps of a path; raise exit code 2 where it is none. A key with points stands in quotes."""
    steps: list[Step] = []
    place = 0
    while place < len(written) and (match := _STEP.match(written, place)):
        if match[0] == "[*]":
            steps.append(EACH)
        elif match[2]:
            steps.append(ANY_KEY)
        else:
            steps.append(match[3] if match[1] is None else re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL))
        place = match.end()
    if place < len(written) or not steps:
        raise RedwhaleError(
            f"{written!r} is no path into JSON: it cannot be read from character {place + 1} on",
            where="preprocess.sources",
            fix=f"write {_FORM}",
            exit_code=USAGE,
        )
    return tuple(steps)


def write_path(path: Path) -> str:
    """Return a path as it is written in a recipe."""
    parts = []
    for step in path:
        if step == EACH:
            parts.append("[*]")
        else:
            plain = isinstance(step, str) and re.fullmatch(r'[^.\[\]"*]+', step)
            quoted = '"' + re.sub(r'(["\\])', r"\\\1", str(step)) + '"'
            parts.append(("." if parts else "") + ("*" if step == ANY_KEY else str(step) if plain else quoted))
    return "".join(parts)


def find(value: Any, path: Path) -> Iterator[Any]:
    """Yield what ``path`` leads to in a parsed JSON value, in the order of the file."""
    if not path:
        yield value
    elif path[0] == EACH:
        if isinstance(value, list):
            for item in value:
                yield from find(item, path[1:])
    elif isinstance(value, dict):
        if path[0] == ANY_KEY:
            for item in value.values():
                yield from find(item, path[1:])
        elif path[0] in value:
            yield from find(value[path[0]], path[1:])


def split_path(text: Path, records: Path | None) -> tuple[Path, Path]:
    """Return the path of a record, and that of the text inside it; the record ends by default at the first ``[*]``."""
    if records is None:
        records = text[: text.index(EACH) + 1] if EACH in text else ()
    if text[: len(records)] != records:
        raise RedwhaleError(
            f"`text: {write_path(text)}` does not lie inside `records: {write_path(records)}`",
            where="preprocess.sources",
            fix="begin `text` with the path of the records",
            exit_code=USAGE,
        )
    return records, text[len(records) :]
