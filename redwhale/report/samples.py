"""Samples: what the models wrote behind the same beginnings, as training went on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redwhale.core.recipe.recipe import Recipe
from redwhale.evaluation import samples
from redwhale.report.evaluation import models_of
from redwhale.report.reading import Reader, evenly

SAMPLES_NAME = "samples.jsonl"
_PROMPTS, _PLACES, _WRITTEN = 2, 8, 3
_CHARACTERS = 240
_MOST_BYTES = 64 << 20


def gather(recipe: Recipe, reader: Reader) -> dict[str, Any] | None:
    """Return continuations by language and prompt, in order of training, and those that ``eval samples`` wrote."""
    stages = recipe.pretrain.stages if recipe.pretrain else []
    rows: list[dict[str, Any]] = []
    for index, stage in enumerate(stages):
        path = recipe.stage_folder(index) / SAMPLES_NAME
        found = reader.attempt(path, lambda path=path: read_rows(path)) if path.is_file() else None  # type: ignore[misc]
        rows += [{**row, "stage": f"{index + 1} {stage.name}"} for row in found or []]
    written = _written(recipe, reader)
    if recipe.pretrain and not recipe.pretrain.measure.samples:
        reader.lacks("samples while training, for `pretrain.measure.samples` is 0")
    elif not rows:
        reader.lacks("samples while training", "pretrain", "--stage", "1")
    return {"prompts": by_prompt(rows), "written": written} if rows or written else None


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of samples, of a very long one its beginning; a half last line is left out."""
    with path.open("rb") as file:
        lines = file.read(_MOST_BYTES).splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def by_prompt(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first prompts of each language, each with its continuations, the first and the last among them."""
    prompts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        own = prompts.setdefault((row["language"], row["prompt"]), [])
        place = {"stage": row["stage"], "step": row["step"], "text": row["continuation"][:_CHARACTERS]}
        is_repeated = bool(own) and row["step"] == 0 and own[-1]["text"] == place["text"]
        if not is_repeated:  # a stage begins with what the one before ended with
            own.append(place)
    shown = []
    for language in dict.fromkeys(language for language, _ in prompts):
        own_prompts = [(prompt, places) for (spoken, prompt), places in prompts.items() if spoken == language]
        shown += [
            {"language": language, "prompt": prompt, "places": evenly(places, _PLACES), "all": len(places)}
            for prompt, places in own_prompts[:_PROMPTS]
        ]
    return shown


def _written(recipe: Recipe, reader: Reader) -> list[dict[str, Any]]:
    """Return what ``eval samples`` let models write behind the same prompts, a few of each language."""
    if recipe.evaluate is None:
        return []
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for model, name in models_of(recipe).items():
        path = samples.result_folder(recipe, model) / samples.TEXTS_NAME
        rows = reader.attempt(path, lambda path=path: read_rows(path)) if path.is_file() else None  # type: ignore[misc]
        for row in rows or []:
            own = found.setdefault((row["language"], row["prompt"]), {**row, "texts": []})
            own["texts"].append((name, row["continuation"][:_CHARACTERS]))
    kept: list[dict[str, Any]] = []
    for language in dict.fromkeys(language for language, _ in found):
        kept += [own for (spoken, _), own in found.items() if spoken == language][:_WRITTEN]
    return kept
