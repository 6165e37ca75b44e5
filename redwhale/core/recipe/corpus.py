"""The ``preprocess`` section."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from redwhale.core.recipe.fields import Bytes, Fraction, Section


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


class Pii(Section):
    """Personal data in Korean formats."""

    action: Literal["mask", "off"] = "mask"
    """`mask` replaces resident, phone, card and account numbers and mail addresses by their name in brackets."""


class Gate(Section):
    """A limit on loss."""

    above: Fraction = 0.001
    """Breached above this share."""
    do: Literal["stop", "warn"] = "stop"
    """`stop`: exit code 3 and `run` goes no further; `warn`: a warning."""


class CorpusGates(Section):
    """Limits checked at the end of preprocess."""

    bad_records: Gate = Gate()
    """Unreadable records (broken JSON, invalid UTF-8, no text) among all records; a cut or damaged file breaches it."""


class Preprocess(Section):
    """Clean, deduplicate and split raw text."""

    existing: str | None = None
    """Folder of a finished corpus to use in place of making one."""
    sources: list[Source] = Field(default=[])
    """The raw text, in order of precedence for duplicates."""
    filters: FilterChoice = Filters()
    """A preset name (`redwhale-web`, `off`) or a mapping of changes to `redwhale-web`."""
    pii: Pii = Pii()
    """Masking of personal data."""
    deduplicate: Deduplicate = Deduplicate()
    """Duplicate removal over all sources together."""
    held_out: HeldOut = HeldOut()
    """Held-out share of each source."""
    max_record_bytes: Bytes = 64 * 2**20
    """Longest record read; longer ones are rejected as `too_large`."""
    shard_bytes: Bytes = 256 * 2**20
    """Text bytes per output shard."""
    gates: CorpusGates = CorpusGates()
    """Limits that stop or warn."""

    @model_validator(mode="after")
    def _needs_text(self) -> Preprocess:
        if bool(self.sources) == bool(self.existing):
            raise ValueError("give either `sources` or `existing`")
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"source names must differ; twice: {', '.join(twice)}")
        return self
