"""Training: the curves of all stages over one axis of tokens, and what each stage came to, beside what was planned."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from redwhale.core.artifact import Manifest, is_finished
from redwhale.core.recipe.recipe import Recipe
from redwhale.report import plots
from redwhale.report.formats import change, fixed, gib, rate, short
from redwhale.report.metrics import Metrics, Thinned, read_metrics
from redwhale.report.plots import Curve, Plot
from redwhale.report.reading import Reader
from redwhale.training.estimate.cards import ASSUMED_UTILISATION
from redwhale.training.layout import METRICS_NAME, trained_parts
from redwhale.training.schedule import Course

_LANGUAGE, _RATE, _QUESTIONS = "bits_per_byte/language/", "learning_rate/", "after/kobest/"
_GIB = 2**30
Points = list[tuple[float, float]]


def gather(recipe: Recipe, reader: Reader) -> dict[str, Any] | None:
    """Return rows of stages and the curves of those that have begun; None where none has."""
    settings = recipe.pretrain
    if settings is None:
        reader.lacks("training", "pretrain", "--stage", "1")
        return None
    stages: list[dict[str, Any]] = []
    curves: dict[str, list[tuple[str, Points]]] = {}
    begins = 0.0
    for index, stage in enumerate(settings.stages):
        folder, command = recipe.stage_folder(index), ("pretrain", "--stage", str(index + 1))
        manifest = reader.manifest(f"stage {index + 1} {stage.name}", folder, *command)
        path = folder / METRICS_NAME
        metrics = reader.attempt(path, lambda path=path: read_metrics(path)) if path.is_file() else None  # type: ignore[misc]
        if metrics and metrics.unreadable:
            reader.damaged.append(f"{reader.shown(path)}: {metrics.unreadable} lines that cannot be read are left out")
        planned = Course.of(settings, index).tokens
        row = reader.attempt(folder, lambda m=manifest, k=metrics: stage_row(m, k))  # type: ignore[misc]
        whole = manifest is not None and row is not None
        row = (row or stage_row(None, metrics)) | {
            "number": index + 1, "name": stage.name, "begins": begins, "planned_tokens": planned,
            "state": _state(folder, whole=whole, begun=metrics is not None),
        }  # fmt: skip
        stages.append(row)
        if metrics:
            for name, own in curves_of(metrics).items():
                curves.setdefault(name, []).extend((key, _moved(points, begins)) for key, points in own.items())
        begins += row.get("tokens") or planned
    if not curves and not any(stage["state"] == "done" for stage in stages):
        return None
    done = [stage for stage in stages if "trains" in stage]
    return {
        "stages": stages, "curves": curves, "utilisation": ASSUMED_UTILISATION, "engines": _engines(done),
        "languages": list(dict.fromkeys(name for stage in done for name in stage["end"])),
        "sources": list(dict.fromkeys(
            name for stage in done for name, own in stage["mixture"].items() if own["sequences"]
        )),
        "on_cpu": any(stage["device"] == "cpu" for stage in done),
    }  # fmt: skip


def _state(folder: Path, *, whole: bool, begun: bool) -> str:
    if is_finished(folder):
        return "done" if whole else "damaged"
    return "begun" if begun else "not begun"


def _engines(done: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Return how stages were run, those that were run alike together."""
    found: list[tuple[list[str], dict[str, Any]]] = []
    for stage in done:
        alike = next((numbers for numbers, facts in found if facts == stage["facts"]), None)
        if alike is None:
            found.append(([str(stage["number"])], stage["facts"]))
        else:
            alike.append(str(stage["number"]))
    return [(", ".join(numbers), facts) for numbers, facts in found]


def _moved(points: Points, by: float) -> Points:
    return [(tokens + by, value) for tokens, value in points]


def stage_row(manifest: Manifest | None, metrics: Metrics | None) -> dict[str, Any]:
    """Return the numbers of a stage; those of one at work are what its rows say so far."""
    row: dict[str, Any] = {"seconds": metrics.step_seconds if metrics else None}
    if manifest is None:
        return row | {"done_tokens": metrics.last_tokens if metrics else None}
    counts, numbers = manifest.counts, manifest.metrics
    start, end = (numbers[side]["bits_per_byte"]["language"] for side in ("start", "end"))
    row |= {
        "tokens": counts["tokens"], "done_tokens": counts["tokens"], "steps": counts["steps"],
        "trained": counts["trainable_parameters"], "skipped": counts.get("skipped_updates"),
        "mixture": counts.get("realised_mixture", {}), "english_over_base": counts.get("english_over_base"),
        "trains": trained_parts(manifest.fields["stage"]["train"]), "rate": manifest.fields["stage"]["learning_rate"],
        "loss": numbers["loss"], "start": start, "end": end, "tokens_per_second": numbers["tokens_per_second"],
        "mfu": numbers.get("mfu"), "hfu": numbers.get("hfu"), "other_seconds": numbers["seconds"],
        "peak": numbers["peak_memory_bytes"], "planned_peak": numbers.get("planned_peak_bytes"),
        "device": numbers.get("device"),
        "facts": {key: numbers[key] for key in ("engine", "attention", "loss_kernel", "optimizer", "precision",
                                                "recompute", "micro_batch", "device") if key in numbers},
    }  # fmt: skip
    return row | {"planned_seconds": planned_seconds(row)}


def planned_seconds(row: dict[str, Any]) -> float | None:
    """Return the seconds of a stage's steps at the utilisation that plans assume, None where the card is not known.

    The share of the card's peak that was reached is recorded (HFU); time goes with its inverse.
    """
    if not row.get("hfu") or not row.get("seconds"):
        return None
    return float(row["seconds"] * row["hfu"] / ASSUMED_UTILISATION)


def curves_of(metrics: Metrics) -> dict[str, dict[str, Points]]:
    """Return the curves of a stage by plot and series, over its own tokens; what has no rows is not there."""
    steps, measured = metrics.steps, metrics.measured
    found = {
        "loss": {"loss": steps.series("loss")},
        "bits": {name.removeprefix(_LANGUAGE): measured.series(name) for name in measured.names(_LANGUAGE)},
        "rate": _rates({name.removeprefix(_RATE): steps.series(name) for name in steps.names(_RATE)}),
        "norm": _with_highest(steps, "gradient_norm"),
        "memory": {"measured": [(x, y / _GIB) for x, y in steps.series("peak_memory_bytes", highest=True)]},
        "speed": {"tokens": steps.series("tokens_per_second")},
        "questions": {"KoBEST": _questions(metrics)},
    }  # fmt: skip
    return {
        plot: kept for plot, own in found.items() if (kept := {name: points for name, points in own.items() if points})
    }


def _with_highest(steps: Thinned, name: str) -> dict[str, Points]:
    """Return the means of stretches, and their highest values where a stretch is more than a step."""
    means, highest = steps.series(name), steps.series(name, highest=True)
    return {"mean": means} if means == highest else {"mean": means, "highest": highest}


def _rates(rates: dict[str, Points]) -> dict[str, Points]:
    """Return one curve for parts that have the same learning rate throughout."""
    alike: dict[tuple[tuple[float, float], ...], list[str]] = {}
    for part, points in rates.items():
        alike.setdefault(tuple(points), []).append(part)
    return {" + ".join(parts) if len(alike) > 1 else "all": list(points) for points, parts in alike.items()}


def _questions(metrics: Metrics) -> Points:
    """Return the mean accuracy over tasks of the questions asked at each measurement."""
    tasks = [name for name in metrics.measured.names(_QUESTIONS) if name.endswith("/acc")]
    by_tokens: dict[float, list[float]] = {}
    for task in tasks:
        for tokens, value in metrics.measured.series(task):
            by_tokens.setdefault(tokens, []).append(value)
    return [(tokens, sum(values) / len(values)) for tokens, values in by_tokens.items() if len(values) == len(tasks)]


def draw(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the plots, one for each kind of curve that there is."""
    begun = [stage for stage in facts["stages"] if stage["state"] != "not begun"]
    boundaries = [(stage["begins"], str(stage["number"])) for stage in begun]
    shared: dict[str, Any] = {"boundaries": boundaries, "x_label": "tokens trained on"}
    made: dict[str, Plot] = {}
    for key, (title, y_label, caption, options) in _PLOTS.items():
        parts = facts["curves"].get(key)
        if parts:
            series = [
                Curve(name, points, marked=len(points) < 20 and key in ("bits", "questions"), faint=name == "highest")
                for name, points in sorted(parts, key=lambda part: part[0] != "highest")
            ]
            drawn = partial(plots.curves, series=series, y_label=y_label, **shared, **options)
            make = plots.both_widths if key == "bits" else plots.narrow_alone
            made[key] = make(f"training-{key}", title, caption(parts, facts), drawn)
    return made


def _ends(parts: list[tuple[str, Points]], name: str) -> tuple[float, float]:
    points = [point for series, own in parts if series == name for point in own]
    return points[0][1], points[-1][1]


def _bits_caption(parts: list[tuple[str, Points]], facts: dict[str, Any]) -> str:
    said = []
    for name in dict.fromkeys(series for series, _ in parts):
        first, last = _ends(parts, name)
        said.append(f"{name} {fixed(first)} to {fixed(last)} ({change(last / first - 1)})")
    return f"On held-out text, from model 0 to the last measurement: {'; '.join(said)}. Less is better."


def _loss_caption(parts: list[tuple[str, Points]], facts: dict[str, Any]) -> str:
    first, last = _ends(parts, "loss")
    return f"Mean of the batch, {fixed(first, 2)} at first, {fixed(last, 2)} at last. Stages may differ in mixture."


def _rate_caption(parts: list[tuple[str, Points]], facts: dict[str, Any]) -> str:
    return f"The highest is {rate(max(value for _, points in parts for _, value in points))}."


def _norm_caption(parts: list[tuple[str, Points]], facts: dict[str, Any]) -> str:
    top = max(value for _, points in parts for _, value in points)
    skipped = sum(stage.get("skipped") or 0 for stage in facts["stages"])
    faint = " The faint line is the highest of each stretch." if any(name == "highest" for name, _ in parts) else ""
    return f"Before clipping; the highest is {short(top)}. {skipped or 'No'} updates were skipped.{faint}"


def _memory_caption(parts: list[tuple[str, Points]], facts: dict[str, Any]) -> str:
    top = max(value for _, points in parts for _, value in points)
    on_gpu = any(stage.get("device") == "cuda" for stage in facts["stages"])
    what = "of the GPU's memory" if on_gpu else "of the whole process, libraries included"
    return f"Peak {what} so far in the stage; {gib(top * _GIB)} GiB at most."


def _speed_caption(parts: list[tuple[str, Points]], facts: dict[str, Any]) -> str:
    values = sorted(value for _, points in parts for _, value in points)
    return f"{short(values[len(values) // 2])} tokens per second in the median, measuring and saving left out."


def _questions_caption(parts: list[tuple[str, Points]], facts: dict[str, Any]) -> str:
    first, last = _ends(parts, "KoBEST")
    return f"{fixed(first, 2)} to {fixed(last, 2)} on a few questions of each task: a trend, not a score."


_PLOTS: dict[str, tuple[str, str, Any, dict[str, Any]]] = {
    "bits": ("Bits per byte", "bits per byte of held-out text", _bits_caption, {"height": 230}),
    "loss": ("Loss", "nats per token", _loss_caption, {}),
    "rate": ("Learning rate", "rate", _rate_caption, {"from_zero": True}),
    "norm": ("Gradient norm", "norm", _norm_caption, {"logarithmic": True}),
    "memory": ("Memory", "GiB per process", _memory_caption, {"from_zero": True}),
    "speed": ("Throughput", "tokens per second", _speed_caption, {"from_zero": True}),
    "questions": ("KoBEST while training", "mean accuracy", _questions_caption, {}),
}  # fmt: skip
