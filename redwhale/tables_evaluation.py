"""Tables of what was measured of models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redwhale.core.artifact import Manifest
from redwhale.core.console import Console
from redwhale.core.publish import write_bytes


def show_kobest(
    results: dict[str, Manifest], console: Console, *, without: dict[str, dict[str, Any] | None]
) -> None:  # fmt: skip
    """Show accuracy and macro-F1 per task and model, and the same ``without`` questions that the corpus holds."""
    scores = {model: manifest.metrics | {"without_overlap": without[model]} for model, manifest in results.items()}
    if console.result("eval kobest", {"models": scores}):
        return
    kobest_table(results, console)
    looked = {model: found for model, found in without.items() if found}
    if not looked:
        return
    first = next(iter(looked.values()))
    left_out, unknown = (", ".join(f"{t} {n}" for t, n in first[key].items()) for key in ("left_out", "unknown"))
    if left_out:
        columns = ["model", *first["tasks"], "mean macro-F1"]
        rows = [
            [model, *(_accuracy_and_f1(own["tasks"][task]) for task in first["tasks"]), own["mean"]["macro_f1"]]
            for model, own in looked.items()
        ]
        console.table(f"The same without questions that the corpus holds ({left_out})", columns, rows)
    else:
        console.note("eval kobest: the corpus holds none of the questions that could be looked for")
    if unknown:
        console.note(f"eval kobest: too short to be looked for in the corpus: {unknown}")


def kobest_table(results: dict[str, Manifest], console: Console) -> None:
    """Show the scores of a measure alone."""
    tasks = list(next(iter(results.values())).metrics["tasks"])
    rows = []
    for model, manifest in results.items():
        scores = manifest.metrics["tasks"]
        rows.append([model, *(_accuracy_and_f1(scores[task]) for task in tasks), manifest.metrics["mean"]["macro_f1"]])
    console.table("KoBEST: accuracy / macro-F1", ["model", *tasks, "mean macro-F1"], rows)


def _accuracy_and_f1(scores: dict[str, float]) -> str:
    return f"{scores['acc']:.4f} / {scores['macro_f1']:.4f}"


def show_bits_per_byte(results: dict[str, Manifest], console: Console) -> None:
    """Show bits per byte by language and by source, one column a model."""
    if console.result("eval bpb", {"models": {model: m.metrics for model, m in results.items()}}):
        return
    first = next(iter(results.values())).metrics
    rows = [
        [f"{label}{name}", *(m.metrics[kind][name]["bits_per_byte"] for m in results.values())]
        for kind, label in (("languages", "all "), ("sources", ""))
        for name in first[kind]
    ]
    console.table("Bits per byte on held-out text", ["", *results], rows)


def show_retention(results: dict[str, Manifest], console: Console) -> None:
    """Show what became of English, a row a model and source."""
    if console.result("eval retention", {"models": {model: m.metrics for model, m in results.items()}}):
        return
    rows = []
    for model, manifest in results.items():
        for source, own in (*manifest.metrics["sources"].items(), ("all", manifest.metrics["all"])):
            bits = [own[side]["bits_per_byte"] for side in ("base", "model")]
            same, kl = own["same_likeliest_share"], own["kl_nats_per_token"]
            rows.append([
                model, source, *bits, f"{own['bits_per_byte_change']:+.2%}", "-" if kl is None else kl,
                "-" if same is None else f"{same:.2%}",
            ])  # fmt: skip
    columns = ["model", "English", "base bits/byte", "bits/byte", "change", "KL nats/token", "same likeliest token"]
    console.table("English kept", columns, rows)
    for model, manifest in results.items():
        if tasks := manifest.metrics.get("tasks"):
            _show_tasks("English tasks", {"base": tasks["base"], model: tasks["model"]}, console)


def show_samples(results: dict[str, Manifest], console: Console) -> None:
    """Show rates of what goes wrong in written text, a row a model and language."""
    if console.result("eval samples", {"models": {model: m.metrics for model, m in results.items()}}):
        return
    rows = []
    for model, manifest in results.items():
        for language, own in manifest.metrics["languages"].items():
            letters = own["letters"] or {}
            shares = [f"{letters[name]:.1%}" if letters else "-" for name in ("hangul", "latin", "han", "other")]
            repeated = "-" if own["seq_rep_4"] is None else f"{own['seq_rep_4']:.1%}"
            broken = "-" if own["broken_share"] is None else f"{own['broken_share']:.2%}"
            rows.append([model, language, repeated, *shares, broken, f"{own['ended_share']:.0%}"])
    columns = ["model", "language", "repeated 4-grams", "Hangul", "Latin", "Han", "other", "broken", "ended"]
    console.table("Written samples", columns, rows)


def show_harness(results: dict[str, Manifest], console: Console) -> None:
    """Show the scores of each task, a column a model."""
    if console.result("eval harness", {"models": {model: m.metrics for model, m in results.items()}}):
        return
    _show_tasks("lm-evaluation-harness", {model: m.metrics["tasks"] for model, m in results.items()}, console)


def _show_tasks(title: str, tasks: dict[str, dict[str, dict[str, Any]]], console: Console) -> None:
    """Show scores by model, task and metric, as the harness step keeps them."""
    rows = [
        [task, metric, *(own.get(task, {}).get(metric, "") for own in tasks.values())]
        for task, scores in next(iter(tasks.values())).items()
        for metric in scores
        if metric != "questions" and not metric.endswith("_stderr")
    ]
    console.table(title, ["task", "score", *tasks], rows)


Table = tuple[str, list[str], list[list[Any]]]
"""Title, columns, rows."""


def show_comparison(result: dict[str, Any], console: Console, *, page: Path | None) -> None:
    """Show models side by side, and write the same as a Markdown page where one is asked for."""
    if page:
        write_bytes(page, comparison_page(result).encode())
    if console.result("eval compare", result):
        return
    for measure, body in result["measures"].items():
        for title, columns, rows in _comparison_tables(measure, body, result["models"]):
            console.table(title, columns, rows)
        for remark in _remarks(body):
            console.note(f"{measure}: {remark}")
    for model, measures in result["missing"].items():
        console.note(f"{model} lacks {', '.join(measures)}")
    if page:
        console.note(f"eval compare: written to {page}")


def comparison_page(result: dict[str, Any]) -> str:
    """Return the comparison as Markdown."""
    lines = [f"# {' against '.join(result['models'])}", ""]
    for measure, body in result["measures"].items():
        lines += [f"## {measure}", "", *(f"{remark[0].upper()}{remark[1:]}.\n" for remark in _remarks(body))]
        for title, columns, rows in _comparison_tables(measure, body, result["models"]):
            shown = [[f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
            table = [columns, ["---"] * len(columns), *shown]
            lines += [
                f"{title.removeprefix(measure).lstrip(': ').capitalize()}:",
                "",
                *(f"| {' | '.join(cells)} |" for cells in table),
                "",
            ]
    lines += [
        f"Intervals: the middle {result['level']:.0%} of {result['draws']:,} draws of the questions or documents with "
        "replacement. p: McNemar's exact test on the questions that one of the two alone answers rightly.", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _comparison_tables(measure: str, body: dict[str, Any], models: list[str]) -> list[Table]:
    if "texts" in body:
        return [_bits_table(measure, body, models)]
    if "harness" in body:
        rows = [
            [task, model, own["metric"], f"{own['mean']:.4f} ({own['interval'][0]:.3f}-{own['interval'][1]:.3f})",
             "{:+.4f} to {:+.4f}".format(*own["difference_interval"])]
            for task, of_model in body["harness"].items()
            for model, own in of_model.items()
        ]  # fmt: skip
        return [(measure, ["task", "model", "metric", "mean", f"difference to {models[0]}"], rows)]
    tasks = [*body["tasks"], "mean"]
    rows = [
        [task, model, *(_with_interval(scores[task], metric) for metric in ("acc", "macro_f1", "acc_norm"))]
        for task in tasks
        for model, scores in body["scores"].items()
    ]
    tables: list[Table] = [(f"{measure}: scores", ["task", "model", "accuracy", "macro-F1", "acc_norm"], rows)]
    if body["pairs"]:
        columns = ["task", "difference", "accuracy", "macro-F1", "right alone", "p"]
        tables.append((f"{measure}: differences", columns, [_pair_row(pair) for pair in body["pairs"]]))
    return tables


def _pair_row(pair: dict[str, Any]) -> list[str]:
    low, high = pair["macro_f1_difference_interval"]
    row = [pair["task"], f"{pair['second']} - {pair['first']}"]
    if "mcnemar_p" not in pair:
        return [*row, "", f"{pair['macro_f1_difference']:+.4f} ({low:+.4f} to {high:+.4f})", "", ""]
    alone = f"{pair['only_second_right']} : {pair['only_first_right']}"
    return [*row, f"{pair['acc_difference']:+.4f}", f"{low:+.4f} to {high:+.4f}", alone, f"{pair['mcnemar_p']:.3g}"]


def _with_interval(scores: dict[str, Any], metric: str) -> str:
    if metric not in scores:
        return ""
    low, high = scores[f"{metric}_interval"]
    return f"{scores[metric]:.4f} ({low:.3f}-{high:.3f})"


def _bits_table(measure: str, body: dict[str, Any], models: list[str]) -> Table:
    shown = [model for model in models if any(model in row for row in body["texts"].values())]
    rows = [[text, *(_bits_cell(own.get(model)) for model in shown)] for text, own in body["texts"].items()]
    return f"{measure}: bits per byte, and ratios to {shown[0]}", ["text", *shown], rows


def _bits_cell(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return ""
    ratio = f"x{figures['bits_ratio']:.3f}"
    if figures["bits_ratio_interval"] and figures["bits_ratio"] != 1:
        ratio += " ({:.3f}-{:.3f})".format(*figures["bits_ratio_interval"])
    return f"{figures['bits_per_byte']:.4f}, {ratio}, tokens x{figures['token_ratio']:.3f}"


def _remarks(body: dict[str, Any]) -> list[str]:
    """Return what is to be known of a comparison: order, and differences that forbid or qualify it."""
    remarks = []
    if ranking := body.get("ranking"):
        signs = [one["model"] + (" > " if one.get("surely_above_next") else " ~ ") for one in ranking[:-1]]
        remarks.append(f"order {''.join(signs)}{ranking[-1]['model']} (> surely above the next, ~ not surely)")
    if body["protocol_differences"]:
        remarks.append(f"not ranked, taken differently: {'; '.join(body['protocol_differences'])}")
    if body["version_differences"]:
        remarks.append(f"libraries differ: {'; '.join(body['version_differences'])}")
    if speed := body.get("characters_per_second"):
        each = ", ".join(f"{model} {value:,.0f}" for model, value in speed.items())
        remarks.append(f"characters scored in a second, loading included: {each}")
    return remarks
