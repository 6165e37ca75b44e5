"""Write benchmark texts the way they turn up on the web: other spaces, quotes, punctuation, width and case."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F) if chr(code).isalnum()}


def without_spaces(text: str, share: float, seed: int = 0) -> str:
    """Remove about this share of the spaces."""
    chance = random.Random(seed)
    return re.sub("[ \t]+", lambda match: "" if chance.random() < share else match[0], text)


def with_spaces(text: str, share: float, seed: int = 0) -> str:
    """Put a space after about this share of the characters."""
    chance = random.Random(seed)
    return "".join(character + " " * (chance.random() < share) for character in text)


def other_punctuation(text: str) -> str:
    """Exchange quotes and stops, double the commas, and end in other marks."""
    table = str.maketrans({'"': "“", "'": "’", ",": "、", "(": "（", ")": "）", "?": "？", ":": "："})
    return text.translate(table).rstrip(".!?？ ") + "…!"


WRITINGS: dict[str, Callable[[str], str]] = {
    "verbatim": lambda text: text,
    "5 % of the spaces removed": lambda text: without_spaces(text, 0.05),
    "50 % of the spaces removed": lambda text: without_spaces(text, 0.5),
    "all spaces removed": lambda text: without_spaces(text, 1.0),
    "spaces added": lambda text: with_spaces(text, 0.3),
    "a line broken anywhere": lambda text: with_spaces(text, 0.1).replace(" ", "\n"),
    "other punctuation": other_punctuation,
    "full width": lambda text: text.translate(_WIDE),
    "capitals": str.upper,
}
