"""Evaluation: bits per byte after every step, KoBEST against the base with intervals, English kept, written samples."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from redwhale.core.artifact import Manifest, is_finished
from redwhale.core.recipe.recipe import Recipe
from redwhale.evaluation import bits, compare, overlap, retention, samples, statistics
from redwhale.evaluation.compare import Result
from redwhale.evaluation.kobest import step as kobest
from redwhale.report import plots
from redwhale.report.formats import change, fixed, share, signed
from redwhale.report.plots import Marks, Plot
from redwhale.report.reading import Reader

BASE = "base"
_FEWEST_DOCUMENTS = 5
"""Fewer of them are drawn anew to nearly the same every time, and their interval would say more than is known."""
_TASKS = {"boolq": "BoolQ", "copa": "COPA", "wic": "WiC", "hellaswag": "HellaSwag", "sentineg": "SentiNeg"}


def models_of(recipe: Recipe) -> dict[str, str]:
    """Return how the command line names each model of the chain, and what the report calls it."""
    stages = recipe.pretrain.stages if recipe.pretrain else []
    return {BASE: "base", "0": "model 0"} | {
        str(number): f"{number} {stage.name}" for number, stage in enumerate(stages, 1)
    }


def gather(recipe: Recipe, reader: Reader) -> dict[str, Any] | None:
    """Return what stands of each measure; None where nothing has been measured."""
    if recipe.evaluate is None:
        reader.lacks("evaluation", "eval", "bpb")
        return None
    models = models_of(recipe)
    last = list(models)[-1]
    measured = _results(recipe, reader, bits.result_folder, [BASE, *([] if last == BASE else [last])], ("eval", "bpb"))
    facts: dict[str, Any] = {"models": models, "last": last, "level": statistics.LEVEL, "draws": statistics.DRAWS}
    facts["fewest_documents"] = _FEWEST_DOCUMENTS
    facts["bits"] = reader.attempt("bits per byte", lambda: bits_per_byte(measured, last)) if measured else None
    scored: dict[str, Result] = {}
    if recipe.evaluate.kobest:
        scored = _results(recipe, reader, kobest.result_folder, [BASE, last], ("eval", "kobest"))
    else:
        reader.lacks("KoBEST: `evaluate.kobest` does not say where it is", "eval", "kobest", "--data", "FOLDER")
    facts["kobest"] = reader.attempt("KoBEST", lambda: kobest_scores(scored, last)) if scored else None
    if facts["kobest"]:
        facts["kobest"]["without"] = reader.attempt("KoBEST", lambda: _without_overlap(recipe, scored))
    for key, folder_of, command in (
        ("retention", retention.result_folder, "retention"), ("samples", samples.result_folder, "samples")
    ):  # fmt: skip
        found = _results(recipe, reader, folder_of, [], ("eval", command))
        facts[key] = {name: result.manifest.metrics for name, result in found.items()}
        if not found:
            reader.lacks({"retention": "English kept", "samples": "samples with rates"}[key], "eval", command)
    return facts if measured or scored or facts["retention"] or facts["samples"] else None


def _results(
    recipe: Recipe, reader: Reader, folder_of: Callable[[Recipe, str], Path], wanted: list[str],
    command: tuple[str, str],
) -> dict[str, Result]:  # fmt: skip
    """Return the finished results of a measure by model; a ``wanted`` one that is lacking is noted."""
    found = {}
    for model, name in models_of(recipe).items():
        folder = folder_of(recipe, model)
        if is_finished(folder) or model in wanted:
            manifest: Manifest | None = reader.manifest(f"{' '.join(command)} of {name}", folder, *command, "-m", model)
            if manifest:
                found[model] = Result(folder, manifest)
    return found


def bits_per_byte(results: dict[str, Result], last: str) -> dict[str, Any]:
    """Return bits per byte by model and language, and by text the ratio of the last model to the base's."""
    models = {
        model: {language: own["bits_per_byte"] for language, own in result.manifest.metrics["languages"].items()}
        for model, result in results.items()
    }
    facts = {"models": models, "texts": {}, "protocol": next(iter(results.values())).protocol, "differences": []}
    if BASE in results and last in results and last != BASE:
        pair = {model: results[model] for model in (BASE, last)}
        facts["texts"] = _texts(pair)
        facts["differences"] = compare.shared_protocol(pair)["protocol_differences"]
    return facts


def _texts(pair: dict[str, Result]) -> dict[str, Any]:
    """Return what ``eval compare`` says of each text, with its documents; an interval of a few is none."""
    read = pair[BASE].manifest.counts["documents"]
    languages = {source: own["language"] for source, own in pair[BASE].manifest.metrics["sources"].items()}
    texts: dict[str, Any] = compare.compare_bits(pair)["texts"]
    for text, own in texts.items():
        documents = sum(count for name, count in read.items() if text in (name, f"all {languages[name]}"))
        for figures in own.values():
            figures["documents"] = documents
            if documents < _FEWEST_DOCUMENTS:
                figures["bits_ratio_interval"] = None
    return texts


def kobest_scores(results: dict[str, Result], last: str) -> dict[str, Any]:
    """Return macro-F1 and accuracy by task and model with intervals, and what differs between base and last model."""
    compared = compare.compare_kobest(results)
    shared = compare.shared_protocol(results)
    pairs = {pair["task"]: pair for pair in compared["pairs"] if (pair["first"], pair["second"]) == (BASE, last)}
    return {
        "tasks": compared["tasks"], "scores": compared["scores"], "pairs": pairs, "names": _TASKS,
        "protocol": shared["protocol"], "differences": shared["protocol_differences"],
        "questions": {task: own["questions"] for task, own in next(iter(compared["scores"].values())).items()
                      if "questions" in own},
        "chance": {task: next(iter(compared["scores"].values()))[task]["majority"]["macro_f1"]
                   for task in compared["tasks"]},
    }  # fmt: skip


def _without_overlap(recipe: Recipe, results: dict[str, Result]) -> dict[str, Any] | None:
    """Return scores without the questions that the corpus holds, None where nobody has looked for them."""
    if not overlap.is_wanted(recipe):
        return None
    found = {
        model: overlap.scores_without(recipe, kobest.read_records(result.folder)) for model, result in results.items()
    }
    return found if all(found.values()) else None


def draw(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the plots: bits per byte along the chain, and KoBEST by task."""
    made = {}
    if facts["bits"] and len(facts["bits"]["models"]) > 1:
        made["bits"] = _bits_plot(facts)
    if facts["kobest"]:
        made["kobest"] = _kobest_plot(facts)
    return made


def _bits_plot(facts: dict[str, Any]) -> Plot:
    models, last = facts["bits"]["models"], facts["last"]
    rows: list[tuple[str, Marks]] = [
        (facts["models"][model], {language: (value, None, None) for language, value in own.items()})
        for model, own in models.items()
    ]
    caption = "Bits per byte of held-out text, less is better."
    if BASE in models and last in models:
        said = [f"{name} {fixed(models[BASE][name])} to {fixed(models[last][name])} "
                f"({change(models[last][name] / models[BASE][name] - 1)})" for name in models[BASE]]  # fmt: skip
        caption = f"From the base to the last model: {'; '.join(said)}. Less is better."
    drawn = partial(plots.intervals, rows=rows, x_label="bits per byte of held-out text")
    return plots.both_widths("bits", "Bits per byte along the chain", caption, drawn)


def _kobest_plot(facts: dict[str, Any]) -> Plot:
    own, last = facts["kobest"], facts["last"]
    shown = [model for model in (BASE, last) if model in own["scores"]] or list(own["scores"])[:2]
    rows: list[tuple[str, Marks]] = []
    for task in [*own["tasks"], compare.MEAN]:
        marks = {}
        for model in shown:
            scores = own["scores"][model][task]
            marks[facts["models"][model]] = (scores["macro_f1"], *scores["macro_f1_interval"])
        rows.append((_TASKS.get(task, task), marks))
    chance = {_TASKS.get(task, task): value for task, value in own["chance"].items()}
    drawn = partial(
        plots.intervals, rows=rows, x_label="macro-F1 (more is better)", chance=chance, looks=("base", "new")
    )
    return plots.both_widths("kobest", "KoBEST, macro-F1 by task", verdict(facts), drawn)


def verdict(facts: dict[str, Any]) -> str:
    """Return in words whether the last model's mean score surely differs from the base's."""
    own, last = facts["kobest"], facts["last"]
    mean = own["pairs"].get(compare.MEAN)
    if mean is None:
        model = next(iter(own["scores"]))
        return f"Mean macro-F1 of {facts['models'][model]}: {fixed(own['scores'][model][compare.MEAN]['macro_f1'])}."
    low, high = mean["macro_f1_difference_interval"]
    sure = "so the two surely differ" if mean["differ"] else "which holds 0: no difference is shown"
    return (
        f"Mean macro-F1 {fixed(own['scores'][BASE][compare.MEAN]['macro_f1'])} of the base, "
        f"{fixed(own['scores'][last][compare.MEAN]['macro_f1'])} of {facts['models'][last]}; the difference is "
        f"{signed(mean['macro_f1_difference'])}, between {signed(low)} and {signed(high)} at {share(facts['level'], 0)}"
        f", {sure}."
    )
