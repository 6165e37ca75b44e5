"""The summary: what is done, the numbers that matter most, and what is to be thought over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from redwhale import chain, chain_status
from redwhale.core.artifact import DAMAGE, GateRecord, Manifest, is_finished, read_manifest
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.evaluation.compare import MEAN
from redwhale.report.evaluation import BASE
from redwhale.report.formats import change, fixed, share, short, signed, size, time_taken, whole
from redwhale.report.reading import Reader

Facts = dict[str, dict[str, Any] | None]
"""The facts of the other sections by key."""
_BAD_STATES = {
    "changed": "was made from other settings than the recipe has now", "damaged": "has a file that is gone or another",
    "stale": "was made from what is to be made again",
}  # fmt: skip


def gather(recipe: Recipe, reader: Reader, others: Facts) -> dict[str, Any]:
    """Return the state of every step, the headline numbers and the warnings."""
    state = reader.attempt(recipe.file, lambda: chain_status.status(recipe))
    steps = [asdict(step) for step in state.steps] if state else []
    gates: list[dict[str, Any]] = []
    seconds = 0.0
    for link in reader.attempt(recipe.file, lambda: chain.chain_steps(recipe)) or []:
        manifest = (
            reader.attempt(link.folder, partial(read_manifest, link.folder)) if is_finished(link.folder) else None
        )
        if manifest:
            gates += [{"step": link.name, **gate.model_dump()} for gate in _judged(link, manifest)]
            seconds += manifest.timings.get("wall_seconds", 0.0)
    done = sum(step["state"] == "done" for step in steps)
    return {
        "name": recipe.name, "base": _base(recipe), "recipe": recipe.file.name, "no_steps": chain.NO_STEPS,
        "steps": [step | {"folder": reader.shown(step["folder"])} for step in steps], "done": done, "gates": gates,
        "next": state.next_command if state else None, "seconds": seconds,
        "headline": reader.attempt("headline", lambda: headline(others)) or [],
        "warnings": reader.attempt("warnings", lambda: warnings(steps, gates, others, known=reader.damaged)) or [],
    }  # fmt: skip


def _judged(link: chain.ChainStep, manifest: Manifest) -> list[GateRecord]:
    """Return the gates as the recipe has them now; the manifest has those only from the next run on."""
    try:
        return link.plan().gates(manifest.counts)
    except (RedwhaleError, *DAMAGE):  # not planned here, as what another recipe made; or lacking a count
        return manifest.gates


def _base(recipe: Recipe) -> str:
    if recipe.base is None:
        return "none named"
    return recipe.base.model + (f" at {recipe.base.revision[:12]}" if recipe.base.revision else "")


def headline(others: Facts) -> list[dict[str, str]]:
    """Return the numbers that stand first: label, value, and what it is to be seen beside."""
    found = []
    corpus, tokenizer, training, measured = (others.get(k) for k in ("corpus", "tokenizer", "training", "evaluation"))
    if measured and measured["bits"]:
        models, last = measured["bits"]["models"], measured["last"]
        names = {"ko": "Korean", "en": "English"}
        for language in models.get(last, {}):
            now, before = models[last][language], models.get(BASE, {}).get(language)
            beside = f"base {fixed(before)}, {change(now / before - 1)}" if before else "no base beside it"
            label = f"{names.get(language, language)} bits per byte"
            found.append({"label": label, "value": fixed(now), "beside": beside})
    if measured and measured["kobest"]:
        found += _kobest(measured)
    if tokenizer and tokenizer["rows"]:
        row = next((row for row in tokenizer["rows"] if row["language"] == "ko"), tokenizer["rows"][0])
        beside = f"base {fixed(row['base'], 2)}, {change(row['ratio'] - 1)}"
        label = f"tokens per {'Korean ' if row['language'] == 'ko' else ''}character"
        found.append({"label": label, "value": fixed(row["new"], 2), "beside": beside})
    if corpus:
        beside = f"{size(corpus['kept_bytes'])}, {share(corpus['kept_share'])} of what came in"
        found.append({"label": "documents kept", "value": whole(corpus["kept"]), "beside": beside})
    if training:
        tokens = sum(stage.get("done_tokens") or 0 for stage in training["stages"])
        taken = sum(stage.get("seconds") or 0 for stage in training["stages"])
        beside = f"{len(training['stages'])} stages, {time_taken(taken)} of steps"
        found.append({"label": "tokens trained on", "value": short(tokens), "beside": beside})
    return found


def _kobest(measured: dict[str, Any]) -> list[dict[str, str]]:
    own, last = measured["kobest"], measured["last"]
    if last not in own["scores"]:
        return []
    beside = "no base beside it"
    if pair := own["pairs"].get(MEAN):
        low, high = pair["macro_f1_difference_interval"]
        base = own["scores"][BASE][MEAN]["macro_f1"]
        beside = f"base {fixed(base)}, difference {signed(low, 2)} to {signed(high, 2)}"
    return [{"label": "KoBEST, mean macro-F1", "value": fixed(own["scores"][last][MEAN]["macro_f1"]), "beside": beside}]


def warnings(
    steps: list[dict[str, Any]], gates: list[dict[str, Any]], others: Facts, *, known: Sequence[str] = ()
) -> list[str]:  # fmt: skip
    """Return in words what a reader has to know before believing the rest; damage that is ``known`` is said elsewhere.

    A step whose input cannot be read counts as changed, but nobody knows whether it is.
    """
    found = [
        f"{gate['step']}: {gate['name']} is {gate['value']:.4g}, above the gate {gate['above']:.4g} ({gate['do']})"
        for gate in gates
        if gate["breached"]
    ]
    found += [
        f"{step['step']} {_BAD_STATES[step['state']]}" + (f" ({'; '.join(step['why'][:3])})" if step["why"] else "")
        for step in steps
        if step["state"] in _BAD_STATES and not (step["why"] and set(step["why"]) <= set(known))
    ]
    lineage, measured = others.get("lineage"), others.get("evaluation")
    if lineage and lineage["stale"]:
        found.append(f"made from results that were made again since: {', '.join(lineage['stale'])}")
    for key, name in (("bits", "bits per byte"), ("kobest", "KoBEST")):
        if measured and measured[key] and measured[key]["differences"]:
            found.append(f"{name}: base and last model were measured differently: {measured[key]['differences'][0]}")
    training = others.get("training")
    for stage in training["stages"] if training else []:
        if stage.get("skipped"):
            found.append(f"stage {stage['number']} {stage['name']}: {stage['skipped']} updates were skipped")
    return found
