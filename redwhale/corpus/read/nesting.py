"""Brackets of wiki markup, nested in each other, replaced from the inside out in linear time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

# Each level is copied once into the one around it: a bound on the levels keeps the time linear.
_DEEPEST = 30


@dataclass(frozen=True)
class Nesting:
    """A bracket's end, and what it turns its content into."""

    end: str
    replace: Callable[[str], str]
    is_text_alone: bool = False  # without its other half it is a character like any other


def unnest(text: str, tokens: re.Pattern[str], nestings: Mapping[str, Nesting]) -> str:
    """Replace every bracket that is closed; the group of ``tokens`` is a beginning (key of ``nestings``) or an end.

    What is opened and not closed, or closed and not opened, loses its bracket and keeps its content.
    """
    kept = {nesting.end for nesting in nestings.values() if nesting.is_text_alone}
    levels: list[tuple[str, list[str]]] = [("", [])]
    open_ends: dict[str, int] = {}
    place = 0
    for match in tokens.finditer(text):
        levels[-1][1].append(text[place : match.start()])
        place = match.end()
        token = match[match.lastindex or 0]
        if token in nestings and len(levels) <= _DEEPEST:
            levels.append((token, []))
            end = nestings[token].end
            open_ends[end] = open_ends.get(end, 0) + 1
        elif open_ends.get(token):
            while True:
                begin, parts = levels.pop()
                nesting = nestings[begin]
                open_ends[nesting.end] -= 1
                if nesting.end == token:
                    levels[-1][1].append(nesting.replace("".join(parts)))
                    break
                levels[-1][1].extend([begin, *parts] if nesting.is_text_alone else parts)
        elif token in kept or (token in nestings and nestings[token].is_text_alone):
            levels[-1][1].append(token)
    levels[-1][1].append(text[place:])
    texts = levels[0][1]
    for begin, parts in levels[1:]:
        texts += [begin, *parts] if nestings[begin].is_text_alone else parts
    return "".join(texts)
