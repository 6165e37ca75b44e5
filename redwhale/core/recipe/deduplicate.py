"""Duplicate removal, a part of the ``preprocess`` section."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from redwhale.core.recipe.fields import Fraction, Section

_DEFAULT_EOJEOLS = 5


class NearDuplicates(Section):
    """MinHash-LSH over shingles without white space: Korean reposts differ in spacing."""

    bands: int = Field(default=14, ge=1, le=64)
    """Bands of the signature; more bands find less similar pairs."""
    rows: int = Field(default=8, ge=1, le=32)
    """Hash values per band; more rows ask for more similarity."""
    shingles: Literal["characters", "eojeols"] = "characters"
    """What a shingle is made of; eojeols miss copies whose spacing differs."""
    size: int = Field(default=12, ge=2, le=64)
    """Characters (white space removed) or eojeols per shingle; 5 where eojeols are chosen and no size is given."""
    check: Literal["none", "exact"] = "exact"
    """`exact` removes what shares `at_least` of its shingles with a document that stays; `none` takes the bands' word
    and joins chains, so pages of one template become one."""
    at_least: Fraction = 0.7
    """Least share of common shingles (Jaccard), with `check: exact`."""

    @model_validator(mode="before")
    @classmethod
    def _sizes(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("shingles") == "eojeols":
            return {"size": _DEFAULT_EOJEOLS, **data}
        return data


class LineDuplicates(Section):
    """Lines or paragraphs that occur before, anywhere in the corpus; the first occurrence stays."""

    unit: Literal["line", "paragraph"] = "line"
    """What is compared, white space apart; a paragraph ends at a blank line."""
    min_chars: int = Field(default=30, ge=1)
    """Shorter ones always stay (white space not counted): headings, list items, speakers."""


class Deduplicate(Section):
    """Which duplicates are removed; of each group the first document in recipe order stays.

    A source that is held out as a whole comes first: copies of its texts in training sources go.
    """

    exact: bool = True
    """Remove documents whose normalised text is equal but for white space."""
    urls: bool = False
    """Remove documents whose address (the source's `url`) is that of an earlier one."""
    near: NearDuplicates | None = NearDuplicates()
    """Remove near-duplicates; `null` turns it off."""
    lines: LineDuplicates | None = None
    """Remove repeated lines; they are part of what a statute, a licence or a table means, so off by default."""
    index: bool = False
    """Keep the hashes of all documents in the corpus folder (`index/`), for later corpora to be compared with."""
    against: list[str] = Field(default=[])
    """Index folders of earlier corpora; what duplicates one of their documents is removed here."""
