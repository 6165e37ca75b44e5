"""``eval compare``: models side by side on every measure that was taken of them, with intervals and paired tests.

Only results that stand in the store are read; nothing is measured here. Scores that were taken under different
protocols are shown with the difference and not ranked.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from redwhale.core.artifact import Manifest, is_finished, read_manifest
from redwhale.core.differences import field_differences
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.evaluation import bits, harness, statistics, targets
from redwhale.evaluation.harness_results import SAMPLES_NAME
from redwhale.evaluation.kobest import step as kobest
from redwhale.evaluation.kobest.metrics import NORMALISED_TASKS, Record

SEED = 1234
MEAN = "mean"


@dataclass(frozen=True)
class Result:
    """A finished measure of one model."""

    folder: Path
    manifest: Manifest

    @property
    def protocol(self) -> dict[str, Any]:
        """Return what the score depends on besides the model; the context only where it cut something off."""
        protocol = dict(self.manifest.metrics["protocol"])
        tasks = self.manifest.metrics.get("tasks", {}).values()
        if not any(scores.get("truncated_requests") for scores in tasks):
            protocol.pop("context_tokens", None)
        return protocol


def run(recipe: Recipe, names: Sequence[str]) -> dict[str, Any]:
    """Compare models on all measures that two of them have; raise exit code 2 where there is none."""
    if len(set(names)) < 2:
        raise RedwhaleError(
            f"two models at least are compared, given: {', '.join(names)}", where="eval compare",
            fix="name them, as in `redwhale eval compare base 4`", exit_code=USAGE,
        )  # fmt: skip
    found = {name: find_results(recipe, name) for name in dict.fromkeys(names)}
    measures = dict.fromkeys(measure for results in found.values() for measure in results)
    compared: dict[str, Any] = {}
    for measure in measures:
        results = {name: found[name][measure] for name in found if measure in found[name]}
        compare = _COMPARERS.get(next(iter(results.values())).manifest.step)
        if len(results) > 1 and compare:
            compared[measure] = shared_protocol(results) | compare(results)
    if not compared:
        lacking = next((name for name in found if not found[name]), names[0])
        raise RedwhaleError(
            "no measure stands for two of these models", where=str(recipe.root / "evaluation"),
            fix=recipe.command("eval", "kobest", "--model", lacking), exit_code=USAGE,
        )  # fmt: skip
    missing = {name: sorted(set(measures) - set(results)) for name, results in found.items()}
    return {
        "models": list(found), "level": statistics.LEVEL, "draws": statistics.DRAWS, "measures": compared,
        "missing": {name: lacking for name, lacking in missing.items() if lacking},
    }  # fmt: skip


def find_results(recipe: Recipe, model: str) -> dict[str, Result]:
    """Return the finished measures of a model by the names of their folders."""
    folder = targets.result_folder(recipe, model, "")
    folders = sorted(path for path in folder.iterdir() if is_finished(path)) if folder.is_dir() else []
    return {path.name: Result(path, read_manifest(path)) for path in folders}


def shared_protocol(results: dict[str, Result]) -> dict[str, Any]:
    """Return what differs between the protocols, and between the libraries, of the first model and each other one."""
    (first, reference), *others = results.items()
    protocol, versions = [], []
    for name, result in others:
        against = f"{name} against {first}: "
        protocol += [against + line for line in field_differences(reference.protocol, result.protocol)]
        packages = (one.manifest.environment.get("versions", {}) for one in (reference, result))
        versions += [against + line for line in field_differences(*packages)]
    return {"protocol": reference.protocol, "protocol_differences": protocol, "version_differences": versions}


def compare_kobest(results: dict[str, Result]) -> dict[str, Any]:
    """Compare answers question by question: scores with intervals, differences of every pair, an order of models."""
    records = {name: _by_task(kobest.read_records(result.folder)) for name, result in results.items()}
    tasks = [task for task in next(iter(records.values())) if all(task in own for own in records.values())]
    alike = len({_questions(own, tasks) for own in records.values()}) == 1
    scores: dict[str, Any] = {name: {} for name in results}
    draws: dict[str, dict[str, np.ndarray]] = {name: {} for name in results}
    pairs: list[dict[str, Any]] = []
    for number, task in enumerate(tasks):
        own = {name: [found[task][index] for index in sorted(found[task])] for name, found in records.items()}
        # Another seed for each task: their errors are independent, and so must the draws of their mean be.
        for name, drawn in _draw(own, alike=alike, seed=SEED + number).items():
            draws[name][task] = drawn["macro_f1"]
            scores[name][task] = results[name].manifest.metrics["tasks"][task] | {
                f"{metric}_interval": statistics.interval(values) for metric, values in drawn.items()
            }
        if alike:
            pairs += [_pair(task, a, b, own, draws) for a, b in itertools.combinations(results, 2)]
    for name, drawn_tasks in draws.items():
        drawn_mean = np.mean(list(drawn_tasks.values()), axis=0)
        drawn_tasks[MEAN] = drawn_mean
        mean = float(np.mean([scores[name][task]["macro_f1"] for task in tasks]))
        scores[name][MEAN] = {"macro_f1": mean, "macro_f1_interval": statistics.interval(drawn_mean)}
    body: dict[str, Any] = {"tasks": tasks, "scores": scores, "pairs": [], "ranking": None}
    if alike:
        means = [_difference(MEAN, a, b, scores, draws) for a, b in itertools.combinations(results, 2)]
        body |= {"pairs": pairs + means}
        if not shared_protocol(results)["protocol_differences"]:
            body["ranking"] = _ranking(scores, means)
    return body


def _by_task(records: Sequence[Record]) -> dict[str, dict[int, Record]]:
    """Return records by task and question."""
    found: dict[str, dict[int, Record]] = {}
    for record in records:
        found.setdefault(record["task"], {})[record["index"]] = record
    return found


def _questions(records: dict[str, dict[int, Record]], tasks: Sequence[str]) -> tuple[Any, ...]:
    """Return what was asked: task, number and right answer of each question."""
    return tuple((task, index, records[task][index]["gold"]) for task in tasks for index in sorted(records[task]))


def _draw(own: dict[str, list[Record]], *, alike: bool, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """Return draws of each score by model; the same questions are drawn for all models where they are ``alike``."""
    if not alike:
        return {name: _draw({name: records}, alike=True, seed=seed)[name] for name, records in own.items()}
    first = next(iter(own.values()))
    normalised = first[0]["task"] in NORMALISED_TASKS
    columns = [[record["gold"] for record in first]]
    columns += [[record["prediction"] for record in records] for records in own.values()]
    if normalised:
        columns += [[record["prediction_norm"] for record in records] for records in own.values()]
    kinds, counts = statistics.draw_counts(columns, seed=seed)
    drawn: dict[str, dict[str, np.ndarray]] = {}
    for number, name in enumerate(own, start=1):
        gold, predicted = kinds[:, 0], kinds[:, number]
        drawn[name] = {
            "acc": statistics.accuracies(gold, predicted, counts),
            "macro_f1": statistics.macro_f1s(gold, predicted, counts),
        }
        if normalised:
            drawn[name]["acc_norm"] = statistics.accuracies(gold, kinds[:, len(own) + number], counts)
    return drawn


def _pair(
    task: str, first: str, second: str, own: dict[str, list[Record]], draws: dict[str, dict[str, np.ndarray]]
) -> dict[str, Any]:
    """Return how ``second`` differs from ``first`` on a task: accuracy, macro-F1, and McNemar's test."""
    right = {name: np.array([r["gold"] == r["prediction"] for r in own[name]]) for name in (first, second)}
    only_first, only_second = (int((right[x] & ~right[y]).sum()) for x, y in ((first, second), (second, first)))
    drawn = draws[second][task] - draws[first][task]
    return {
        "task": task, "first": first, "second": second,
        "acc_difference": float(right[second].mean() - right[first].mean()),
        "only_first_right": only_first, "only_second_right": only_second,
        "mcnemar_p": statistics.mcnemar(only_first, only_second),
        "macro_f1_difference_interval": statistics.interval(drawn),
    }  # fmt: skip


def _difference(
    task: str, first: str, second: str, scores: dict[str, Any], draws: dict[str, dict[str, np.ndarray]]
) -> dict[str, Any]:
    low, high = statistics.interval(draws[second][task] - draws[first][task])
    return {
        "task": task, "first": first, "second": second,
        "macro_f1_difference": scores[second][task]["macro_f1"] - scores[first][task]["macro_f1"],
        "macro_f1_difference_interval": (low, high), "differ": low > 0 or high < 0,
    }  # fmt: skip


def _ranking(scores: dict[str, Any], means: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the models from the best mean macro-F1 on; ``surely_above_next`` where the interval leaves out 0."""
    differ = {frozenset((pair["first"], pair["second"])): pair["differ"] for pair in means}
    order = sorted(scores, key=lambda name: -scores[name][MEAN]["macro_f1"])
    return [
        {"model": name, "surely_above_next": differ[frozenset((name, order[place + 1]))]}
        if place + 1 < len(order)
        else {"model": name}
        for place, name in enumerate(order)
    ]


def compare_harness(results: dict[str, Result]) -> dict[str, Any]:
    """Compare tasks of lm-evaluation-harness question by question, by the first metric that all questions have."""
    items: dict[str, dict[str, dict[Any, dict[str, Any]]]] = {}
    for name, result in results.items():
        for line in (result.folder / SAMPLES_NAME).read_text(encoding="utf-8").splitlines():
            item = json.loads(line)
            key = (item["doc_id"], item["prompt_sha256"])
            items.setdefault(item["task"], {}).setdefault(name, {})[key] = item["metrics"]
    tasks: dict[str, Any] = {}
    for task, own in items.items():
        first, *others = own.values()
        shared = [key for key in first if all(key in found for found in others)]
        metric = next((name for name in first[shared[0]] if _everywhere(name, own, shared)), None) if shared else None
        if len(own) == len(results) and metric:
            values = {name: [float(found[key][metric]) for key in shared] for name, found in own.items()}
            tasks[task] = _harness_task(metric, values)
    return {"harness": tasks}


def _everywhere(metric: str, own: dict[str, dict[Any, dict[str, Any]]], shared: Sequence[Any]) -> bool:
    return all(isinstance(found[key].get(metric), int | float) for found in own.values() for key in shared)


def _harness_task(metric: str, values: dict[str, list[float]]) -> dict[str, Any]:
    """Return means with intervals, and the differences to the first model; the same questions are drawn for all."""
    first = next(iter(values))
    kinds, counts = statistics.draw_counts(list(values.values()), seed=SEED)
    drawn = {name: counts @ kinds[:, place] / counts.sum(axis=1) for place, name in enumerate(values)}
    return {
        name: {
            "metric": metric, "mean": float(np.mean(own)), "interval": statistics.interval(drawn[name]),
            "difference_interval": statistics.interval(drawn[name] - drawn[first]), "questions": len(own),
        }
        for name, own in values.items()
    }  # fmt: skip


def compare_bits(results: dict[str, Result]) -> dict[str, Any]:
    """Compare bits per byte and tokens per character by language and source, the first model being the reference."""
    metrics = {name: result.manifest.metrics for name, result in results.items()}
    first = next(iter(metrics.values()))
    drawn = _ratio_intervals(results, first["sources"])
    rows: dict[str, Any] = {}
    for kind in ("languages", "sources"):
        for body, reference in first[kind].items():
            label = f"all {body}" if kind == "languages" else body
            rows[label] = {
                name: {
                    "bits_per_byte": own[kind][body]["bits_per_byte"],
                    "bits_ratio": own[kind][body]["bits_per_byte"] / reference["bits_per_byte"],
                    "bits_ratio_interval": drawn.get(label, {}).get(name),
                    "token_ratio": own[kind][body]["tokens"] / reference["tokens"],
                }
                for name, own in metrics.items()
                if body in own[kind]
            }
    characters = {name: sum(own["characters"] for own in one["languages"].values()) for name, one in metrics.items()}
    seconds = {name: result.manifest.timings["wall_seconds"] for name, result in results.items()}
    return {
        "texts": rows,
        "characters_per_second": {name: round(characters[name] / max(seconds[name], 1e-3), 1) for name in results},
    }


def _ratio_intervals(results: dict[str, Result], sources: dict[str, Any]) -> dict[str, dict[str, tuple[float, float]]]:
    """Return intervals of the ratio to the first model, by text and model; documents are drawn, the same for all.

    Empty where the models did not read the same documents.
    """
    found: dict[str, list[tuple[str, float, int]]] = {}
    for name, result in results.items():
        lines = (result.folder / bits.DOCUMENTS_NAME).read_text(encoding="utf-8").splitlines()
        found[name] = [(one["source"], one["nats"], one["bytes"]) for one in map(json.loads, lines)]
    read = {tuple((source, size) for source, _, size in documents) for documents in found.values()}
    if len(read) > 1:
        return {}
    languages = {source: own["language"] for source, own in sources.items()}
    intervals: dict[str, dict[str, tuple[float, float]]] = {}
    for label in [*languages, *(f"all {language}" for language in dict.fromkeys(languages.values()))]:
        chosen = {
            name: [one for one in documents if label in (one[0], f"all {languages[one[0]]}")]
            for name, documents in found.items()
        }
        nats, sizes = (np.array([[one[k] for one in own] for own in chosen.values()], dtype=float) for k in (1, 2))
        draws = statistics.pooled_ratios(nats, sizes, seed=SEED)
        ratios = draws / draws[:, :1]
        intervals[label] = {name: statistics.interval(ratios[:, place]) for place, name in enumerate(found)}
    return intervals


_COMPARERS = {kobest.STEP: compare_kobest, bits.STEP: compare_bits, harness.STEP: compare_harness}
