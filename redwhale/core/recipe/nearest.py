"""The word that was meant where a recipe has one that is nearly it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_LETTERS_PER_EDIT = 4  # a word of eight letters may have two slips
_LOOSE = 0.6  # of difflib, whose own default it is


def folded(word: str) -> str:
    """Return a word as it is compared: capitals, dashes and underscores do not count."""
    return re.sub(r"[-_\s]", "", word.casefold())


def edits(first: str, second: str) -> int:
    """Count letters to add, drop, change or swap with their neighbour (optimal string alignment)."""
    above: list[int] = []
    row = list(range(len(second) + 1))
    for i, letter in enumerate(first, start=1):
        above, before, row = row, above, [i]
        for j, other in enumerate(second, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (letter != other)))
            if i > 1 and j > 1 and (letter, first[i - 2]) == (second[j - 2], other):
                row[j] = min(row[j], before[j - 2] + 1)
    return row[-1]


def misspelt(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that ``word`` is with a slip or two, None where it is none."""
    written = folded(word)
    if len(written) > 100:  # no key is, and the table grows with it
        return None
    distances = {other: edits(written, folded(other)) for other in known}
    best = min(distances, key=lambda other: (distances[other], -_likeness(word, other)), default=None)
    return best if best and distances[best] <= max(1, len(written) // _LETTERS_PER_EDIT) else None


def alike(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that has most in common with ``word``, None where that is little."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=_LOOSE)
    return found[0] if found else None


def _likeness(word: str, other: str) -> float:
    return difflib.SequenceMatcher(None, word, other).ratio()
