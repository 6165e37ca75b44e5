"""Read a finished corpus; open to every later step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from redwhale.core.artifact import Input, read_manifest
from redwhale.core.recipe.recipe import Recipe

STEP = "preprocess"
STATISTICS_NAME = "statistics.json"


@dataclass(frozen=True)
class CorpusSource:
    """One source of the corpus; ``documents`` and ``text_bytes`` (UTF-8) are those of its training files."""

    name: str
    language: str
    train_files: list[Path]
    held_out_files: list[Path]
    documents: int
    text_bytes: int


def corpus_input(recipe: Recipe) -> Input:
    """Return the recipe's corpus as what a later step reads."""
    return Input("corpus", recipe.corpus_folder, recipe.command("preprocess"))


def read_sources(folder: Path) -> list[CorpusSource]:
    """Return the sources in recipe order; raise exit code 2 where the corpus is not finished."""
    outputs = [record.path for record in read_manifest(folder, step=STEP).outputs]
    statistics = json.loads((folder / STATISTICS_NAME).read_text(encoding="utf-8"))

    def files(kind: str, name: str) -> list[Path]:
        return [folder / path for path in outputs if path.rpartition("-")[0] == f"{kind}/{name}"]

    return [
        CorpusSource(
            name=source["name"],
            language=source["language"],
            train_files=files("train", source["name"]),
            held_out_files=files("held_out", source["name"]),
            documents=source["train"]["documents"],
            text_bytes=source["train"]["bytes"],
        )
        for source in statistics["sources"]
    ]


def iterate_texts(files: list[Path], *, batch_documents: int = 1000) -> Iterator[list[str]]:
    """Yield the texts of corpus files in order, at most ``batch_documents`` at once."""
    import pyarrow.parquet as pq

    for path in files:
        with pq.ParquetFile(path) as parquet:
            for batch in parquet.iter_batches(batch_size=batch_documents, columns=["text"]):
                yield batch.column(0).to_pylist()


def held_out_texts(folder: Path, *, documents: int) -> dict[str, tuple[str, list[str]]]:
    """Return (language, first ``documents`` held-out texts) by source, those with any, in recipe order."""
    found: dict[str, tuple[str, list[str]]] = {}
    for source in read_sources(folder):
        texts: list[str] = []
        for batch in iterate_texts(source.held_out_files, batch_documents=documents):
            texts += batch
            if len(texts) >= documents:
                break
        if texts:
            found[source.name] = (source.language, texts[:documents])
    return found
