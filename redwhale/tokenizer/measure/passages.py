"""A sample of passages that is the same whatever the order of the documents."""

from __future__ import annotations

import heapq
import re

import xxhash

from redwhale.tokenizer.hangul import has_hangul

PASSAGE_CHARACTERS = 1000
_SPACE = re.compile(r"\s")


class PassageSample:
    """Keeps passages with Hangul, one of a document, those of the lowest hashes up to ``limit_bytes`` in all."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._above = 1 << 64  # of what was let go of the lowest: whatever is not below it would not have stayed
        self._kept: list[tuple[int, str]] = []

    def see(self, text: str) -> None:
        """Take one document in."""
        key = xxhash.xxh64_intdigest(text.encode())
        if key >= self._above:
            return
        passage = passage_of(text, key)
        if not has_hangul(passage):
            return
        heapq.heappush(self._kept, (-key, passage))
        self._bytes += len(passage.encode())
        while self._bytes > self._limit_bytes:
            highest, dropped = heapq.heappop(self._kept)
            self._bytes -= len(dropped.encode())
            self._above = -highest

    def passages(self) -> list[str]:
        """Return what was kept, lowest hash first."""
        kept = sorted(self._kept, reverse=True)
        return [passage for negated, passage in kept if -negated < self._above]


def passage_of(text: str, key: int) -> str:
    """Cut at most 1,000 characters out of a text, between eojeols where it has any; ``key`` chooses where."""
    spare = len(text) - PASSAGE_CHARACTERS
    if spare <= 0:
        return text.strip()
    start = key % (spare + 1)
    window = text[start : start + PASSAGE_CHARACTERS]
    spaces = [found.start() for found in _SPACE.finditer(window)]
    first = spaces[0] if start and spaces else 0
    last = spaces[-1] if start < spare and spaces else len(window)
    return window[first:last].strip() or window
