"""Make what the tokenizer step reads: a small corpus of real Korean and English, bases, recipes."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from redwhale.core.console import Console
from redwhale.core.publish import write_json
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from redwhale.corpus.reader import STATISTICS_NAME, CorpusSource
from tests import pico

QUIET = Console(quiet=True)
Texts = dict[str, tuple[str, list[str], list[str]]]
"""Source → language, training texts, held-out texts."""


def demo_korean(name: str) -> list[str]:
    """Return the documents of one kind of the bundled Korean text."""
    lines = (files("redwhale") / "demo_data" / "ko" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines if line]


def small_texts() -> Texts:
    """Return two Korean sources and an English one, the first ten documents of each held out."""
    english = pico.english_lines()
    texts = {"news": demo_korean("news"), "reviews": demo_korean("reviews"), "docs": english}
    return {name: ("en" if name == "docs" else "ko", docs[10:], docs[:10]) for name, docs in texts.items()}


def write_corpus(folder: Path, texts: Texts) -> Path:
    """Write a finished corpus artifact in the form that the corpus step writes."""

    def build() -> Built:
        outputs, numbers = [], []
        for name, (language, train, held_out) in texts.items():
            for part, documents in (("train", train), ("held_out", held_out)):
                path = folder / part / f"{name}-00000.parquet"
                path.parent.mkdir(exist_ok=True)
                pq.write_table(pa.table({"text": pa.array(documents, pa.string())}), path)
                outputs.append(path)
            sizes = {"documents": len(train), "bytes": sum(len(text.encode()) for text in train)}
            numbers.append({"name": name, "language": language, "train": sizes})
        write_json(folder / STATISTICS_NAME, {"sources": numbers})
        return Built([*outputs, folder / STATISTICS_NAME])

    produce(Plan("preprocess", "redwhale preprocess", folder, (), {}, 1), build, console=QUIET)
    return folder


def parquet_source(folder: Path, name: str, texts: list[str], *, language: str = "ko") -> CorpusSource:
    """Return a source of one training file."""
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), path)
    return CorpusSource(name, language, [path], [], len(texts), sum(len(text.encode()) for text in texts))


def recipe(root: Path, base: Path, **tokenizer: Any) -> Recipe:
    """Return a recipe whose corpus stands in ``root/corpus``."""
    settings = {"new_tokens": 150, "min_count": 2} | tokenizer
    return Recipe.model_validate(
        {"version": 1, "workdir": str(root), "base": {"model": str(base)}, "tokenizer": settings}
    )
