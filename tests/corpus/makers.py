"""Make recipes and source files for the tests of the preprocess step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from redwhale.core.console import Console
from redwhale.core.recipe.recipe import Recipe
from redwhale.corpus import step

QUIET = Console(quiet=True)


def make_recipe(folder: Path, sources: list[dict[str, Any]] | None, **section: Any) -> Recipe:
    """Return a recipe in ``folder`` with these sources (Korean unless they say otherwise)."""
    listed = [{"language": "ko", **source} for source in sources or []]
    preprocess = {"sources": listed, **section} if sources is not None else section
    recipe = Recipe.model_validate(
        {"version": 1, "workdir": "run", "machine": {"workers": 1}, "preprocess": preprocess}
    )
    recipe._file = folder / "redwhale.yaml"
    return recipe


def korean(index: int) -> str:
    """Return a sentence that no other index gives."""
    places = ["강가", "바닷가", "시장", "도서관", "산길", "골목", "학교", "공원"]
    people, hours = index * 7 + 3, index % 13 + 1
    return f"{index}번째 날에는 {places[index % 8]}에서 {people}명이 모여 이야기를 {hours}시간 나누었습니다."


def write_jsonl(path: Path, rows: list[Any]) -> Path:
    """Write rows as JSON lines; strings are written as they are."""
    lines = [row if isinstance(row, (str, bytes)) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines) + b"\n")
    return path


def run(recipe: Recipe, **options: Any):
    """Run the step quietly and return its manifest."""
    return step.run(recipe, console=QUIET, **options)


def rows(recipe: Recipe, kind: str) -> list[dict[str, Any]]:
    """Return all rows of ``train``, ``held_out`` or ``rejects``."""
    files = sorted((recipe.corpus_folder / kind).glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def reasons(recipe: Recipe) -> dict[int, str]:
    """Return the reason of each rejected row."""
    return {row["row"]: row["reason"] for row in rows(recipe, "rejects")}
