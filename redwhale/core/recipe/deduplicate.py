"""Duplicate removal, a part of the ``preprocess`` section."""

from __future__ import annotations

from pydantic import Field

from redwhale.core.recipe.fields import Section


class NearDuplicates(Section):
    """MinHash-LSH over character shingles without white space: Korean reposts differ in spacing."""

    bands: int = Field(default=14, ge=1, le=64)
    """Bands of the signature; more bands find less similar pairs."""
    rows: int = Field(default=8, ge=1, le=32)
    """Hash values per band; more rows ask for more similarity."""
    shingle_chars: int = Field(default=12, ge=2, le=64)
    """Characters per shingle, white space removed."""


class Deduplicate(Section):
    """Which duplicates are removed; of each group the first document in recipe order stays.

    A source that is held out as a whole comes first: copies of its texts in training sources go.
    """

    exact: bool = True
    """Remove documents whose normalised text is equal."""
    near: NearDuplicates | None = NearDuplicates()
    """Remove near-duplicates; `null` turns it off."""
