"""Count the lines without Hangul that an extension cuts otherwise than the tokenizer it extends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from redwhale.tokenizer.byte_alphabet import raw
from redwhale.tokenizer.characters import is_extra
from redwhale.tokenizer.hangul import has_hangul
from redwhale.tokenizer.measure.encoder import Encoder, added_ids

_BATCH_LINES = 2000


class Untouched:
    """Takes texts in, line by line; lines with a sign that an extension adds by name are not counted for it."""

    def __init__(self, encoders: Mapping[str, Encoder]) -> None:
        names = list(encoders)
        self._reference = encoders[names[0]]
        self._extensions = {
            name: (encoders[name], _signs(encoders[name], added))
            for name in names[1:]
            if (added := added_ids(self._reference, encoders[name]))
        }
        self._waiting: list[str] = []
        self._found: dict[str, dict[str, Any]] = {
            name: {"lines_without_hangul": 0, "changed": 0, "example": None} for name in self._extensions
        }

    def see(self, text: str) -> None:
        """Take in one text."""
        if self._extensions:
            self._waiting += [line for line in text.splitlines() if line and not has_hangul(line)]
            if len(self._waiting) >= _BATCH_LINES:
                self._compare()

    def figures(self) -> dict[str, dict[str, Any]]:
        """Return for each extension the lines, how many are cut otherwise, and the first of them."""
        self._compare()
        return self._found

    def _compare(self) -> None:
        for name, (encoder, signs) in self._extensions.items():
            lines = [line for line in self._waiting if signs.isdisjoint(line)]
            found = self._found[name]
            found["lines_without_hangul"] += len(lines)
            if np.array_equal(self._reference.encode(lines), encoder.encode(lines)):
                continue
            changed = [i for i in lines if not np.array_equal(self._reference.encode([i]), encoder.encode([i]))]
            found["changed"] += len(changed)
            found["example"] = found["example"] or changed[0][:80]
        self._waiting = []


def _signs(encoder: Encoder, added: list[int]) -> frozenset[str]:
    """Return the added tokens that are single signs."""
    tokens = {identifier: token for token, identifier in encoder.vocabulary.items()}
    texts = [tokens[identifier] for identifier in added]
    if encoder.byte_level:
        texts = [(raw(token) or b"").decode(errors="ignore") for token in texts]
    return frozenset(text for text in texts if len(text) == 1 and is_extra(text))
