"""The perplexity filter, a part of the ``preprocess`` section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from redwhale.core.recipe.fields import Bytes, Fraction, Section


class PerplexityShares(Section):
    """Most of a source's documents that go because the language model finds them too easy or too hard.

    The shares are of the documents of one source. Documents under 200 bytes of prose, and sources with fewer than
    200 longer ones, are left alone.
    """

    drop_lowest: Fraction = 0.02
    """Largest share of documents dropped for the lowest perplexity: the same phrases over and over, templates."""
    drop_highest: Fraction = 0.1
    """Largest share of documents dropped for the highest perplexity: noise, lists of names and codes, other scripts."""
    outliers: float = Field(default=4.0, ge=0)
    """Drop only documents this many standard deviations (by quartiles) from the median; 0: the whole shares."""

    @model_validator(mode="after")
    def _leaves_something(self) -> PerplexityShares:
        if self.drop_lowest + self.drop_highest >= 1:
            raise ValueError(
                f"`drop_lowest` ({self.drop_lowest:g}) and `drop_highest` ({self.drop_highest:g}) leave nothing"
            )
        return self


class Perplexity(PerplexityShares):
    """Drop documents by the perplexity of an n-gram model, among the documents of their source."""

    reference: str | None = None
    """Text file or pattern to train the model on; unset: the Korean sources themselves, each document then scored by
    a model that has not seen it."""
    model: str | None = None
    """KenLM file (`.arpa`, `.bin`) to use in place of training; needs `pieces` and `pip install 'redwhale[kenlm]'`."""
    pieces: str | None = None
    """SentencePiece model that the KenLM file was made with."""
    sample: Bytes = 20 * 2**20
    """Bytes of text to train on, shared out alike over the sources."""
    order: int = Field(default=4, ge=2, le=5)
    """Longest n-gram of the model, in pieces."""

    @model_validator(mode="after")
    def _one_model(self) -> Perplexity:
        if (self.model is None) != (self.pieces is None):
            raise ValueError(f"`model` and `pieces` go together; `{'pieces' if self.model else 'model'}` is missing")
        if self.model and self.reference:
            raise ValueError("give either `model` or `reference`")
        return self


def shares_of(
    section: Perplexity | None, own: PerplexityShares | Literal["off"] | None, *, language: str
) -> PerplexityShares | None:
    """Return the shares of one source, None where it is left alone: what the source says, else the section's.

    Sources that are not Korean take part only where they say so. Nothing takes part where the section is null.
    """
    if section is None or own == "off":
        return None
    if own is not None:
        return own
    return section if language == "ko" else None
