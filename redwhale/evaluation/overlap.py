"""Which KoBEST questions stand in the recipe's corpus: found once, and scores given without them.

A step of its own, since it says something of the corpus and not of a model: models that are scored later share it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redwhale.core.artifact import Input, Manifest, is_finished
from redwhale.core.console import Console
from redwhale.core.publish import write_json
from redwhale.core.recipe.evaluate import Kobest
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce, state_of
from redwhale.corpus.reader import corpus_input
from redwhale.evaluation.kobest import data, metrics
from redwhale.evaluation.kobest.metrics import Record

STEP = "kobest-overlap"
ALGORITHM = 1
RESULT_NAME = "overlap.json"


def result_folder(recipe: Recipe) -> Path:
    """Return where the questions found in the corpus stand."""
    return recipe.root / "evaluation" / "corpus" / STEP


def is_wanted(recipe: Recipe) -> bool:
    """Tell whether the recipe asks for the search and its corpus is made."""
    settings: Kobest | None = recipe.evaluate.kobest if recipe.evaluate else None
    return bool(settings and settings.find_overlap and recipe.preprocess and is_finished(recipe.corpus_folder))


def plan(recipe: Recipe) -> Plan:
    """Return what the search reads and writes."""
    files = [Input(f"kobest {task} test", path) for task, path in _files(recipe).items()]
    given = recipe.preprocess.decontaminate if recipe.preprocess else None
    return Plan(
        step=STEP, command=recipe.command("eval", "kobest"), folder=result_folder(recipe),
        inputs=(corpus_input(recipe), *files), fields={"passages": given.passages if given else None},
        algorithm=ALGORITHM,
    )  # fmt: skip


def run(recipe: Recipe, *, console: Console, fresh: bool = False, verify: bool = False) -> Manifest:
    """Search the corpus for the questions, or say that it is done; one made of another corpus is made again."""
    steps = plan(recipe)
    fresh = fresh or state_of(steps)[0] == "changed"  # by a newer corpus: nothing here is worth keeping

    def build() -> Built:
        from redwhale.evaluation.contamination import find_overlap  # its kernels are slow to load

        overlap = find_overlap(recipe, _files(recipe), console=console)
        write_json(steps.folder / RESULT_NAME, overlap.as_record())
        found = {task: len(own.found) for task, own in overlap.tasks.items()}
        return Built(
            [steps.folder / RESULT_NAME],
            counts={"found": found, "too_short": {task: len(own.too_short) for task, own in overlap.tasks.items()}},
        )

    return produce(steps, build, console=console, fresh=fresh, verify=verify)


def scores_without(recipe: Recipe, records: Sequence[Record]) -> dict[str, Any] | None:
    """Return scores of the questions that the corpus does not hold, None where nobody has looked.

    ``left_out``: found questions by task; ``unknown``: those too short to be looked for, which stay in.
    """
    path = result_folder(recipe) / RESULT_NAME
    if not is_finished(path.parent):
        return None
    tasks = json.loads(path.read_text(encoding="utf-8"))["tasks"]
    found = {(task, one["index"]) for task, own in tasks.items() for one in own["found"]}
    too_short = {(task, index) for task, own in tasks.items() for index in own["too_short"]}
    kept: dict[str, list[Record]] = {}
    for record in records:
        if (record["task"], record["index"]) not in found:
            kept.setdefault(record["task"], []).append(record)
    left_out, unknown = (
        dict(Counter(record["task"] for record in records if (record["task"], record["index"]) in some))
        for some in (found, too_short)
    )
    scores = {task: metrics.task_scores(task, own) for task, own in kept.items()}
    mean = metrics.mean_scores(scores, by_size=False) if scores else None
    return {
        "left_out": left_out, "unknown": unknown, "tasks": scores, "mean": mean,
    }  # fmt: skip


def _files(recipe: Recipe) -> dict[str, Path]:
    """Return the test split of each task that the release folder has; all of them, whatever is scored."""
    settings: Kobest = recipe.need("evaluate").kobest
    folder = data.data_folder(settings.data, recipe.path(settings.data), where=f"{recipe.file}: evaluate.kobest.data")
    return {task: path for task in data.LAYOUTS if (path := data.find_split(folder, task, "test"))}
