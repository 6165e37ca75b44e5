"""The ``tokenizer`` section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from redwhale.core.recipe.fields import Bytes, Fraction, Section


class AutoSize(Section):
    """How `new_tokens: auto` chooses: up by doublings from 1,000 while each saves enough of the training."""

    largest: int = Field(default=32_000, ge=1)
    """Largest size that is tried."""
    least_saving: Fraction = 0.05
    """Share of the training compute per character that a doubling must save; all of the extension too, else 0."""
    training_text: Bytes = 40 * 10**9
    """Korean text that will be trained on (the paper: 44 GB); an extension that pays later than that is not made."""


class TokenizerGates(Section):
    """What happens where an adopted tokenizer falls short of the guarantees that our own ones keep."""

    existing: Literal["stop", "warn"] = "stop"
    """Unreachable pieces, English that is cut otherwise, pieces that are no Hangul, files that differ:
    `stop`: exit code 3 and `run` goes no further; `warn`: warnings."""


class Tokenizer(Section):
    """Learn Korean tokens and merge them into the base vocabulary."""

    existing: str | None = None
    """Folder of a tokenizer to use in place of making one: a finished artifact, or any tokenizer that another team
    extended from this base, which is verified and adopted."""
    method: Literal["continued", "auxiliary"] = "continued"
    """`continued`: go on with byte-pair merges from the base's own segmentation of the corpus; `auxiliary`: learn a
    tokenizer of the corpus alone and merge its Korean pieces into the base (the paper's route)."""
    new_tokens: int | Literal["auto"] = 17_072
    """Tokens to add; 0 keeps the base vocabulary as it is; `auto` chooses by `auto`."""
    auto: AutoSize = AutoSize()
    """How `new_tokens: auto` chooses."""
    morphemes: bool = False
    """Let morphemes guide the learning: joins across the boundaries that Kiwi finds in the most frequent words are
    not counted. Tokens follow stems and endings more and text becomes longer; nothing changes at runtime."""
    sample: Bytes = 64 * 10**6
    """Text read for learning, shared over the Korean sources by size."""
    source_weights: dict[str, float] | None = None
    """Share the sample by these weights of sources in place of their sizes; a source left out gives nothing."""
    syllable_coverage: Fraction = 0.9995
    """Single syllables are added first, the most frequent ones, up to this share of all syllables."""
    min_count: int = Field(default=5, ge=1)
    """Fewest occurrences in the sample of a new token."""
    max_chars: int = Field(default=16, ge=1, le=64)
    """Most characters of a new token, the space mark not counted."""
    extra_characters: bool = True
    """Also add single signs and Hanja that the base spells in bytes and the corpus uses (`①`, `㎡`, `♡`)."""
    excluded_words: list[str] = Field(default=[])
    """Words that must not become tokens of their own; longer words that hold them may."""
    exclude_adverts: bool = False
    """Also exclude the terms by which the corpus filters know adult, gambling and advert pages."""
    gates: TokenizerGates = TokenizerGates()
    """Limits that stop or warn."""

    @model_validator(mode="after")
    def _sizes_and_methods(self) -> Tokenizer:
        if self.new_tokens != "auto" and self.new_tokens < 0:
            raise ValueError(f"`new_tokens` must be 0 or more, or `auto`, got {self.new_tokens}")
        if self.morphemes and self.method != "continued":
            raise ValueError("`morphemes` guide the method `continued` only")
        return self
