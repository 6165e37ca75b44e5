"""Sources of the ``preprocess`` section: where raw text lies and what is done with it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from redwhale.core.recipe.fields import Fraction, Section
from redwhale.core.recipe.filters import FilterChoice


class HeldOut(Section):
    """Documents kept out of training, to measure on; chosen by a hash of their text."""

    fraction: Fraction = 0.001
    """Share of the source's documents; 100% makes a whole file held out."""
    at_most: int = Field(default=2000, ge=0)
    """Most documents per source; of a source that is held out as a whole the rest is rejected, never trained on."""


class Source(Section):
    """One named body of raw text."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """Name of the source, used in file names, the mixture and reports."""
    language: str
    """`ko`, `en`, `code`, …: Korean text gets the Hangul filter, and figures are given per language."""
    path: str
    """File or pattern (`data/news/*.jsonl.zst`), or the folder of a saved `datasets` set; relative to the recipe."""
    format: Literal["auto", "jsonl", "parquet", "txt", "datasets"] = "auto"
    """`auto` goes by the file's ending."""
    text: str = "text"
    """Name of the text column (jsonl, parquet, datasets)."""
    documents: Literal["file", "line", "paragraph"] = "paragraph"
    """What a document is in a txt file: the file, each line, or blocks between blank lines."""
    licence: str | None = None
    """Licence of the text, carried to the statistics."""
    filters: FilterChoice | None = None
    """Filters of this source in place of the section's."""
    deduplicate: bool = True
    """Whether this source takes part in near-duplicate removal; exact copies go in any case."""
    held_out: HeldOut | None = None
    """Held-out share of this source in place of the section's."""
