"""Benchmark decontamination, a part of the ``preprocess`` section."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from redwhale.core.recipe.fields import Section

KOBEST = "kobest"


class Benchmark(Section):
    """One benchmark whose texts are looked for in the corpus: KoBEST, or files of any other."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """`kobest`, or a name of your own for the report."""
    path: str | None = None
    """Folder of the KoBEST release (unset: `evaluate.kobest.data`), or file or pattern (jsonl, json, csv, tsv, parquet,
    txt: an item per line) of another benchmark; relative to the recipe."""
    columns: tuple[str, ...] = Field(default=(), strict=False)
    """Columns that hold questions, sentences or choices; a column may hold text or a list of texts."""
    passages: tuple[str, ...] = Field(default=(), strict=False)
    """Columns that hold passages to read, which are public text more often than not; see `passages` above."""
    splits: tuple[str, ...] = Field(default=("train", "dev", "test"), strict=False)
    """Splits of KoBEST; examples for few-shot prompts come from `train`."""

    @model_validator(mode="after")
    def _says_where(self) -> Benchmark:
        if self.name == KOBEST:
            if self.columns or self.passages:
                raise ValueError("the columns of kobest are known; leave `columns` and `passages` out")
            return self
        if "splits" in self.model_fields_set:
            raise ValueError("`splits` is for kobest only; name the files of the splits by `path`")
        if self.path is None:
            raise ValueError(f"`{self.name}` is not built in (`kobest` is): give its file as `path`")
        if not (self.columns or self.passages or self.path.endswith(".txt")):
            raise ValueError(f"name the text columns of `{self.name}` as `columns`")
        return self


class Decontaminate(Section):
    """Find benchmark texts in the corpus, whatever their spacing, punctuation, case and width.

    A document is contaminated by a question, sentence or choice of 8 Hangul syllables or more (a letter or digit of
    another script counts half) that it holds as a whole: as a sentence of its own up to 10, as whole eojeols up to 15,
    anywhere from 16; by 70 % of one from 24 characters on, or 80 characters of it in one run; or by two shorter ones
    of the same row near each other. Texts that four rows or more share ("다음 중 옳은 것은?") count as short.
    """

    benchmarks: list[Benchmark] = Field(min_length=1)
    """What is looked for."""
    action: Literal["drop", "cut", "report"] = "drop"
    """`drop` rejects a contaminated document; `cut` takes the place and 200 characters around it out, to the ends of
    sentences, and rejects only what would lose more than half; `report` counts and changes nothing."""
    passages: Literal["report", "drop"] = "report"
    """`report` counts documents that hold a passage without its question and keeps them; `drop` treats passages as
    questions."""


def _mapping(value: Any) -> Any:
    """Take a list of benchmarks for a mapping with nothing else, and a name for a benchmark."""
    if isinstance(value, (list, tuple)):
        value = {"benchmarks": list(value)}
    if isinstance(value, dict) and isinstance(value.get("benchmarks"), list):
        named = [{"name": entry} if isinstance(entry, str) else entry for entry in value["benchmarks"]]
        value = {**value, "benchmarks": named}
    return value


DecontaminateChoice = Annotated[Decontaminate, BeforeValidator(_mapping)]
"""``[kobest]``, or a mapping with options."""
