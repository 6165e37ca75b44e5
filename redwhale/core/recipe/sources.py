"""Sources of the ``preprocess`` section: where raw text lies and what is done with it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from redwhale.core.recipe.cleaning import Clean
from redwhale.core.recipe.fields import Fraction, Section
from redwhale.core.recipe.filters import FilterChoice
from redwhale.core.recipe.perplexity import PerplexityShares
from redwhale.core.recipe.sampling import Sample


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
    """File or pattern (`data/news/*.jsonl.zst`) relative to the recipe, an archive (`data/*.zip`), the folder of a
    saved `datasets` set, an fsspec address (`s3://bucket/*.parquet`), or a set of the hub (`hub:owner/name`)."""
    format: Literal[
        "auto", "jsonl", "parquet", "txt", "datasets", "csv", "tsv", "xlsx", "html", "json",
        "aihub", "nikl", "kowiki", "namuwiki", "pairs",
    ] = "auto"  # fmt: skip
    """`auto` goes by the file's ending. `aihub` and `nikl` know the usual shapes of these corpora, in zips or outside;
    `kowiki` is a MediaWiki XML dump, `namuwiki` the JSON dump. `pairs` is parallel text, in files as `auto` reads
    them: each record becomes one document of `text` and `translation`, either first in half of the documents."""
    text: str = "text"
    """Name of the text column, or in JSON a path to one or more texts (`document[*].paragraph[*].form`)."""
    join: str = "\n"
    """What stands between the texts that a path finds in one record."""
    translation: str | None = None
    """Column or path of the translation, for `format: pairs`."""
    between: str = "\n\n"
    """What stands between text and translation in a document of `format: pairs`."""
    records: str | None = None
    """Path of what is one record in a JSON file (`document[*]`); unset: `text` up to its first `[*]`."""
    id: str = "id"
    """Column or path of the record's id; records without one are named after their file and row."""
    url: str = "url"
    """Column or path of the record's address."""
    licence_column: str | None = None
    """Column or path of the record's licence, where records differ; others have `licence`."""
    members: str | None = None
    """Pattern of the files to read inside archives (`**/*.json`); unset: all whose ending is known."""
    split: str = "train"
    """Split of a hub set."""
    config: str | None = None
    """Configuration of a hub set."""
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    """Commit of a hub set, in full: the result is tied to it."""
    documents: Literal["file", "line", "paragraph"] = "paragraph"
    """What a document is in a txt file: the file, each line, or blocks between blank lines."""
    licence: str | None = None
    """Licence of the text, carried to each document and to the statistics."""
    clean: Clean | None = None
    """What is removed from the texts of this source, in place of the section's."""
    filters: FilterChoice | None = None
    """Filters of this source in place of the section's; the preset `pairs` for `format: pairs` that names none."""
    perplexity: PerplexityShares | Literal["off"] | None = None
    """Shares of this source in place of the section's; `off`, as for `format: pairs`, leaves it alone. Sources that are
    not Korean need it."""
    sample: Sample | None = None
    """Random selection of this source's training documents; unset: all stay."""
    deduplicate: bool = True
    """Whether this source takes part in near-duplicate removal; exact copies go in any case."""
    held_out: HeldOut | None = None
    """Held-out share of this source in place of the section's."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_pairs(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("format") == "pairs":
            return {"filters": "pairs", "perplexity": "off"} | given
        return given

    @model_validator(mode="after")
    def _two_sides(self) -> Source:
        if (self.format == "pairs") != (self.translation is not None):
            raise ValueError("`format: pairs` and `translation`, the column of the translations, go together")
        if self.text == self.translation:
            raise ValueError(f"`text` and `translation` are both {self.text!r}")
        return self
