"""Words that must not become tokens of their own, whatever their count."""

from __future__ import annotations

from redwhale.core.recipe.tokenizer import Tokenizer as Settings
from redwhale.corpus.filters.vocabulary import certain_terms


def excluded_strings(settings: Settings) -> list[bytes]:
    """Return what no new piece may be, with and without a space before: whole pieces, never parts of longer ones."""
    words = set(settings.excluded_words)
    if settings.exclude_adverts:
        words |= certain_terms()
    return [string for word in sorted(words) for string in (word.encode(), b" " + word.encode())]
