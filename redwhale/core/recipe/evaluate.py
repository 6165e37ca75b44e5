"""The ``evaluate`` section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from redwhale.core.recipe.fields import Section

KobestTask = Literal["boolq", "copa", "wic", "hellaswag", "sentineg"]
Dtype = Literal["stored", "float32", "bfloat16", "float16"]


class Kobest(Section):
    """KoBEST with the prompts of lm-evaluation-harness."""

    data: str
    """Folder of the release (`BoolQ/test.tsv`, …) or of JSONL files (`boolq/test.jsonl`, …), relative to the recipe; or
    a data set of the hub (`skt/kobest_v1`)."""
    shots: int = Field(default=5, ge=0)
    """Examples before each question, drawn from the training split."""
    tasks: tuple[KobestTask, ...] = Field(default=("boolq", "copa", "wic", "hellaswag", "sentineg"), strict=False)
    """Tasks to run."""
    limit: int | None = Field(default=None, ge=1)
    """Only the first questions of each task; unset: all."""
    fast: bool = False
    """The same examples before every question, read once: much faster, and not comparable with other tools' scores."""
    dtype: Dtype = "stored"
    """Precision of the weights; log-likelihoods are summed from float32 in any case."""
    batch_tokens: int = Field(default=16_384, ge=64)
    """Tokens per forward pass."""
    find_overlap: bool = True
    """Look for the questions in the recipe's corpus, where that is made; score with and without those found."""


class BitsPerByte(Section):
    """Bits per byte on the corpus's held-out documents, per source and language."""

    documents: int = Field(default=500, ge=1)
    """Most documents per source."""
    document_bytes: int = Field(default=1024, ge=16)
    """Bytes scored of each document, from its beginning, cut at a character."""
    mode: Literal["windows", "document", "comparable"] = "windows"
    """How text longer than the context is read: `windows` that overlap by half; `document`, its beginning alone; or
    `comparable`, spans that are the same bytes behind the same bytes for every model, whatever its tokenizer."""
    span_bytes: int = Field(default=512, ge=16)
    """Bytes of a span in mode `comparable`, and of the text before it that the model reads at least."""


class Samples(Section):
    """Text that the model writes, from fixed seeds, with rates of what goes wrong in it."""

    prompts: int = Field(default=8, ge=1)
    """Beginnings of held-out documents per language."""
    tokens: int = Field(default=128, ge=1)
    """Most tokens written behind each."""
    temperature: float = Field(default=0.8, gt=0)
    """Temperature of the draw among the 50 likeliest tokens."""


class Retention(Section):
    """English kept: bits per byte and next-token distributions beside those of the base."""

    documents: int = Field(default=100, ge=1)
    """Most held-out English documents per source."""
    document_bytes: int = Field(default=1024, ge=16)
    """Bytes read of each."""
    tasks: tuple[str, ...] = Field(default=(), strict=False)
    """English tasks of lm-evaluation-harness (extra `[lm-eval]`), run for the base too."""
    shots: int = Field(default=5, ge=0)
    """Examples before each question of `tasks`."""
    limit: int | None = Field(default=None, ge=1)
    """Only the first questions of each task; unset: all."""


class Harness(Section):
    """Tasks of lm-evaluation-harness (extra `[lm-eval]`)."""

    tasks: tuple[str, ...] = Field(default=(), strict=False)
    """Names of tasks or groups, such as `kmmlu`, `haerae` or `click`."""
    shots: int | None = Field(default=None, ge=0)
    """Examples before each question; unset: as each task has it."""
    limit: int | None = Field(default=None, ge=1)
    """Only the first questions of each task; unset: all."""
    include: str | None = None
    """Folder of further task files, which may name local data; relative to the recipe. Task files may run Python."""
    batch: int = Field(default=8, ge=1)
    """Requests per forward pass."""
    dtype: Dtype = "stored"
    """Precision of the weights."""


class Evaluate(Section):
    """What `eval` measures."""

    kobest: Kobest | None = None
    """KoBEST; unset: not part of `run`."""
    bits_per_byte: BitsPerByte = BitsPerByte()
    """Bits per byte."""
    samples: Samples = Samples()
    """Written samples."""
    retention: Retention = Retention()
    """English kept."""
    harness: Harness = Harness()
    """Other tasks."""
