"""Random selection within a source, a part of each source of the ``preprocess`` section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from redwhale.core.recipe.fields import Bytes, Fraction, Section


class AtMost(Section):
    """The most that stays of a source."""

    documents: int | None = Field(default=None, ge=0)
    """Most documents."""
    bytes: Bytes | None = None
    """Most bytes of cleaned text (UTF-8)."""


class Strata(Section):
    """Equally large parts of a source by a score, each with its share to keep."""

    by: Literal["perplexity"] = "perplexity"
    """The score; `perplexity` needs the perplexity filter on."""
    shares: tuple[Fraction, ...] = Field(min_length=2, max_length=100, strict=False)
    """Share kept of each part, from the lowest scores to the highest: `[50%, 100%, 100%, 20%]` are quarters."""


class Sample(Section):
    """Random selection of a source's training documents by a hash of their text, after duplicates are removed.

    The held-out documents are chosen before and do not count. A larger `fraction` or cap only adds documents.
    """

    fraction: Fraction = 1.0
    """Share of the documents kept."""
    at_most: AtMost = AtMost()
    """Most documents and bytes kept; parts shrink in proportion."""
    strata: Strata | None = None
    """Different shares by a score; they multiply `fraction`."""

    @model_validator(mode="after")
    def _says_something(self) -> Sample:
        if self.fraction == 1 and self.at_most == AtMost() and self.strata is None:
            raise ValueError("a sample needs a `fraction`, `at_most` or `strata`")
        return self
