"""Quality filters of the ``preprocess`` section, and their presets."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from redwhale.core.recipe.fields import Fraction, Section


class Filters(Section):
    """Quality filters; a document that breaks one is rejected with the filter's name.

    Ratios are over letters or characters outside code. Repeated lines and sentences are not counted in
    documents of fewer than five.
    """

    min_chars: int = Field(default=20, ge=0)
    """Fewest characters of a document."""
    max_chars: int = Field(default=1_000_000, ge=1)
    """Most characters of a document."""
    min_hangul: Fraction | None = None
    """Lowest share of Hangul among letters; unset: 15 % where the source's language is `ko`, else 0."""
    min_letters: Fraction = 0.4
    """Lowest share of letters and digits among characters that are not white space."""
    max_replacement: Fraction = 0.01
    """Highest share of U+FFFD and of letters typical of mojibake (Latin-1 read as text)."""
    max_boilerplate: Fraction = 0.5
    """Highest share of characters in menu, byline and copyright lines, which are removed in any case."""
    max_duplicate_lines: Fraction = 0.5
    """Highest share of characters in lines and sentences that occur more than once."""
    max_repeated_ngrams: Fraction = 0.4
    """Highest share of characters covered by the most frequent eojeol 3-gram that occurs three times or more."""


FILTER_PRESETS: dict[str, dict[str, Any]] = {
    "redwhale-web": {},
    "off": {
        "min_chars": 1,
        "min_hangul": 0.0,
        "min_letters": 0.0,
        "max_replacement": 1.0,
        "max_boilerplate": 1.0,
        "max_duplicate_lines": 1.0,
        "max_repeated_ngrams": 1.0,
    },
}


def _preset(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in FILTER_PRESETS:
        raise ValueError(f"there is no filter preset {value!r}; presets: {', '.join(FILTER_PRESETS)}")
    return FILTER_PRESETS[value]


FilterChoice = Annotated[Filters, BeforeValidator(_preset)]
