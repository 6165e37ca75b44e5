"""The ``preprocess`` section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from redwhale.core.recipe.cleaning import Clean
from redwhale.core.recipe.decontaminate import DecontaminateChoice
from redwhale.core.recipe.deduplicate import Deduplicate
from redwhale.core.recipe.fields import Bytes, Fraction, Section
from redwhale.core.recipe.filters import FilterChoice, Filters
from redwhale.core.recipe.perplexity import Perplexity
from redwhale.core.recipe.pii import Pii
from redwhale.core.recipe.sources import HeldOut, Source


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
    clean: Clean = Clean()
    """What is removed from each text."""
    filters: FilterChoice = Filters()
    """A preset name (`redwhale-web`, `fineweb2-ko`, `books`, `forum`, `law`, `pairs`, `off`), or `preset` with
    changes."""
    pii: Pii = Pii()
    """Masking of personal data."""
    deduplicate: Deduplicate = Deduplicate()
    """Duplicate removal over all sources together."""
    perplexity: Perplexity | None = None
    """Removal of each source's most and least likely documents; unset: none."""
    decontaminate: DecontaminateChoice | None = None
    """Benchmarks to keep out of the corpus: `[kobest]`, or a mapping; unset: none."""
    held_out: HeldOut = HeldOut()
    """Held-out share of each source."""
    max_record_bytes: Bytes = 16 * 2**20
    """Longest record read; longer ones are rejected as `too_large`."""
    shard_bytes: Bytes = 256 * 2**20
    """Text bytes per output shard."""
    gates: CorpusGates = CorpusGates()
    """Limits that stop or warn."""

    @model_validator(mode="after")
    def _needs_text(self) -> Preprocess:
        if bool(self.sources) == bool(self.existing):
            raise ValueError(
                f"give either `sources` or `existing`; here {'both' if self.sources else 'neither'} is set"
            )
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"source names must differ; twice: {', '.join(twice)}")
        strata = [source.name for source in self.sources if source.sample and source.sample.strata]
        if strata and self.perplexity is None:
            raise ValueError(f"`sample.strata` of {', '.join(strata)} goes by perplexity: add `perplexity: {{}}`")
        return self
