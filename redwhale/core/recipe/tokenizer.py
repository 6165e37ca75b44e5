"""The ``tokenizer`` section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from redwhale.core.recipe.fields import Bytes, Fraction, Section


class Tokenizer(Section):
    """Learn Korean tokens and merge them into the base vocabulary."""

    existing: str | None = None
    """Folder of a finished tokenizer to use in place of making one."""
    method: Literal["continued"] = "continued"
    """`continued`: go on with byte-pair merges from the base's own segmentation of the corpus."""
    new_tokens: int = Field(default=17_072, ge=0)
    """Tokens to add; 0 keeps the base vocabulary as it is."""
    sample: Bytes = 64 * 10**6
    """Text read for learning, shared over the Korean sources by size."""
    syllable_coverage: Fraction = 0.9995
    """Single syllables are added first, the most frequent ones, up to this share of all syllables."""
    min_count: int = Field(default=5, ge=1)
    """Fewest occurrences in the sample of a new token."""
    max_chars: int = Field(default=16, ge=1, le=64)
    """Most characters of a new token, the space mark not counted."""
