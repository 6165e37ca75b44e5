"""The ``evaluate`` section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from redwhale.core.recipe.fields import Section

KobestTask = Literal["boolq", "copa", "wic", "hellaswag", "sentineg"]


class Kobest(Section):
    """KoBEST with the prompts of lm-evaluation-harness."""

    data: str
    """Folder of the release (`BoolQ/test.tsv`, …) or of JSONL files (`boolq/test.jsonl`, …); relative to the recipe."""
    shots: int = Field(default=5, ge=0)
    """Examples before each question, drawn from the training split."""
    tasks: tuple[KobestTask, ...] = Field(default=("boolq", "copa", "wic", "hellaswag", "sentineg"), strict=False)
    """Tasks to run."""
    limit: int | None = Field(default=None, ge=1)
    """Only the first questions of each task; unset: all."""
    batch_tokens: int = Field(default=16_384, ge=64)
    """Tokens per forward pass."""


class BitsPerByte(Section):
    """Bits per byte on the corpus's held-out documents, per source and language."""

    documents: int = Field(default=500, ge=1)
    """Most documents per source."""
    document_bytes: int = Field(default=1024, ge=16)
    """Bytes scored of each document, from its beginning, cut at a character."""


class Evaluate(Section):
    """What `eval` measures."""

    kobest: Kobest | None = None
    """KoBEST; unset: not part of `run`."""
    bits_per_byte: BitsPerByte = BitsPerByte()
    """Bits per byte."""
