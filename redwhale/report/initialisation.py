"""Model 0: how the new rows were made, and the methods that were compared before."""

from __future__ import annotations

from functools import partial
from typing import Any

from redwhale.core.artifact import Manifest
from redwhale.core.recipe.recipe import Recipe
from redwhale.report import plots
from redwhale.report.formats import fixed
from redwhale.report.plots import Marks, Plot
from redwhale.report.reading import Reader


def gather(recipe: Recipe, reader: Reader) -> dict[str, Any] | None:
    """Return what ``init-model`` recorded, and the comparison of methods where there is one."""
    facts: dict[str, Any] = {"model": None, "comparison": None}
    model = reader.manifest("model 0", recipe.model_0_folder, "init-model")
    if model:
        facts["model"] = reader.attempt(recipe.model_0_folder, lambda: _model(model))
    folder = recipe.init_comparison_folder
    asked = () if recipe.init and recipe.init.compare else ("--set", "init.compare=true")
    compared = reader.manifest("a comparison of initialisations", folder, "init-model", "--compare", *asked)
    if compared:
        facts["comparison"] = reader.attempt(folder, lambda: comparison(compared.metrics))
    return facts if facts["model"] or facts["comparison"] else None


def _model(manifest: Manifest) -> dict[str, Any]:
    counts, metrics, fields = manifest.counts, manifest.metrics, manifest.fields
    return {
        "embedding": fields.get("embedding"), "head": fields.get("head"), "new_rows": counts.get("new_rows"),
        "rows": counts.get("rows"), "padding_rows": counts.get("padding_rows"), "parameters": counts.get("parameters"),
        "leak": metrics.get("leak", {}).get("mean"), "old_logits_change": metrics.get("old_logits_change"),
        "norms": {part: metrics[part] for part in ("embedding", "head") if part in metrics},
    }  # fmt: skip


def comparison(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the methods, best first: Korean and English bits per byte before training and after the last step."""
    rows = []
    for row in metrics["rows"]:
        last = max(row["steps"], key=int)
        rows.append({
            "embedding": row["embedding"], "head": row["head"], "leak": row["leak"]["mean"], "last_step": int(last),
            "start": row["steps"]["0"], "end": row["steps"][last],
        })  # fmt: skip
    rows.sort(key=lambda row: row["end"]["ko"])
    best = metrics["best"]
    return {"rows": rows, "base": metrics["base"], "best": f"{best['embedding']} / {best['head']}"}


def draw(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the plot of the comparison, where there is one."""
    return {"comparison": _plot(facts["comparison"])} if facts["comparison"] else {}


def _plot(compared: dict[str, Any]) -> Plot:
    rows, base = compared["rows"], compared["base"].get("ko")
    marks: list[tuple[str, Marks]] = []
    for row in rows:
        own = {"before training": (row["start"]["ko"], None, None)}
        if row["last_step"]:
            own[f"after {row['last_step']} steps"] = (row["end"]["ko"], None, None)
        marks.append((f"{row['embedding']} / {row['head']}", own))
    best = rows[0]
    caption = (
        f"{compared['best']} is best: {fixed(best['end']['ko'])} bits per byte of Korean"
        + (f" after {best['last_step']} steps" if best["last_step"] else " before training")
        + (f" (the base with its own tokenizer: {fixed(base)})." if base else ".")
        + " Less is better."
    )
    drawn = partial(
        plots.intervals, rows=marks, x_label="bits per byte of Korean", joined=True,
        looks=("base", "new"),
    )  # fmt: skip
    return plots.both_widths("init-comparison", "Methods of embedding / head", caption, drawn)
