"""What a model card says, read from the recipe and the manifests of what is done."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from redwhale.core.artifact import Manifest, is_finished, read_manifest
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.corpus.reader import STATISTICS_NAME
from redwhale.evaluation import compare, retention
from redwhale.tokenizer.step import STEP as TOKENIZER_STEP
from redwhale.training.layout import trained_parts

_AS_RUN = ("engine", "attention", "optimizer", "recompute", "micro_batch", "device")
UNKNOWN_BASE: dict[str, Any] = {"model": "a base model", "revision": None, "licence": {}, "is_folder": True}


def gather(recipe: Recipe, index: int) -> dict[str, Any]:
    """Return the facts of the model that stage ``index`` (from 0) made; what is not known is None or empty.

    How it was made is what the manifests say, for the recipe may have changed since. Raises where something that it
    was made from has been made again.
    """
    stages = _stages(recipe, index)
    model_0 = _made_of(stages[0], "parent", recipe.model_0_folder)
    tokenizer = _made_of(model_0, "tokenizer", recipe.tokenizer_folder) if model_0 else None
    corpus = _made_of(stages[-1], "corpus", recipe.corpus_folder)
    rows, last = [_stage(stage) for stage in stages], stages[-1]
    return {
        "name": recipe.name,
        "stage": last.fields["stage"]["name"],
        "base": (model_0.metrics.get("base") if model_0 else None) or UNKNOWN_BASE,
        "parameters": model_0.counts.get("parameters") if model_0 else None,
        "vocabulary": _vocabulary(tokenizer),
        "stages": rows,
        "sources": _sources(recipe, rows) if corpus else [],
        "corpus": _corpus(corpus),
        "bits": last.metrics.get("end", {}).get("bits_per_byte", {}).get("language", {}),
        "compared": _compared(recipe, index),
        "kept": _kept(recipe, index),
        "recipe": render_settings(tokenizer, model_0, stages),
        "digest": last.digest,
        "versions": last.environment.get("versions", {}),
    }  # fmt: skip


def _stages(recipe: Recipe, index: int) -> list[Manifest]:
    """Return the manifests of stage ``index`` and of those before it, the first one first."""
    stages = [read_manifest(recipe.stage_folder(index))]
    for number in range(index - 1, -1, -1):
        parent = _made_of(stages[0], "parent", recipe.stage_folder(number))
        stages.insert(0, parent or read_manifest(recipe.stage_folder(number)))
    return stages


def _made_of(made: Manifest, role: str, folder: Path) -> Manifest | None:
    """Return the manifest of what ``made`` was made from, None where it stands elsewhere; raise where it is another."""
    manifest = read_manifest(folder) if is_finished(folder) else None
    digest = next((record.digest for record in made.inputs if record.role == role), None)
    if manifest and digest and digest != manifest.digest:
        raise RedwhaleError(
            "this was made again since the model was trained on it", where=str(folder),
            fix="make what follows again too (`redwhale status` names it)", exit_code=USAGE,
        )  # fmt: skip
    return manifest


def render_settings(tokenizer: Manifest | None, model_0: Manifest | None, stages: Sequence[Manifest]) -> str:
    """Return as YAML how the model was made, by sections of a recipe; what is the same in all stages stands once."""
    sections: dict[str, Any] = {
        name: manifest.fields for name, manifest in (("tokenizer", tokenizer), ("init", model_0)) if manifest
    }
    own = [{key: value for key, value in stage.fields.items() if key != "stage"} for stage in stages]
    shared = {key: value for key, value in own[0].items() if all(fields.get(key) == value for fields in own)}
    sections["pretrain"] = shared | {"stages": [
        stage.fields["stage"] | {key: value for key, value in fields.items() if key not in shared}
        | {"ran": {key: stage.metrics[key] for key in _AS_RUN if key in stage.metrics}}
        for stage, fields in zip(stages, own, strict=True)
    ]}  # fmt: skip
    return str(
        yaml.safe_dump(sections, allow_unicode=True, sort_keys=False, default_flow_style=None, width=110)
    ).strip()


def _vocabulary(tokenizer: Manifest | None) -> dict[str, Any]:
    """Return sizes, and the share of the base's tokens that the same Korean text takes now."""
    if tokenizer is None or tokenizer.step != TOKENIZER_STEP:
        return {}
    korean = tokenizer.metrics.get("languages", {}).get("ko", {})
    return {
        "base": tokenizer.counts.get("base_tokens"), "new": tokenizer.counts.get("new_tokens"),
        "ratio": korean.get("ratio"),
    }  # fmt: skip


def _stage(manifest: Manifest) -> dict[str, Any]:
    """Return what a stage trained, on how much, and how."""
    settings = manifest.fields["stage"]
    return {
        "name": settings["name"],
        "train": trained_parts(settings["train"]),
        "tokens": manifest.counts["tokens"],
        "trained": manifest.counts.get("trainable_parameters"),
        "learning_rate": f"{settings['learning_rate']:g}",
        "schedule": settings["schedule"],
        "hours": manifest.timings.get("wall_seconds", 0.0) / 3600,
        "engine": manifest.metrics.get("engine"),
        "mixture": manifest.counts.get("realised_mixture", {}),
    }


def _sources(recipe: Recipe, stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the sources that the stages have read, each with its share of all tokens and how often it was read."""
    total = sum(stage["tokens"] for stage in stages)
    statistics = json.loads((recipe.corpus_folder / STATISTICS_NAME).read_text(encoding="utf-8"))
    rows = []
    for source in statistics["sources"]:
        parts = [stage["mixture"].get(source["name"], {}) for stage in stages]
        tokens = sum(stage["tokens"] * part.get("share", 0.0) for stage, part in zip(stages, parts, strict=True))
        if tokens:
            rows.append({
                "name": source["name"], "language": source["language"], "licence": source.get("licence"),
                "documents": source["train"]["documents"], "bytes": source["train"]["bytes"],
                "share": tokens / total, "epochs": parts[-1].get("epochs", 0.0),
            })  # fmt: skip
    return rows


def _corpus(corpus: Manifest | None) -> dict[str, Any] | None:
    """Return how the text was treated, and the digest that ties it to its files."""
    if corpus is None:
        return None
    fields = corpus.fields
    return {
        "digest": corpus.digest,
        "files": [{"role": record.role, "sha256": record.digest} for record in corpus.inputs],
        "masked": (fields.get("pii") or {}).get("action") == "mask",
        "decontaminated": bool(fields.get("decontaminate")),
    }


def _compared(recipe: Recipe, index: int) -> dict[str, Any]:
    """Return the measures that stand for both the base and this model, with intervals; None where one lacks."""
    found: dict[str, Any] = {"model": str(index + 1), "bits": None, "kobest": None}
    with contextlib.suppress(RedwhaleError):
        measures = compare.run(recipe, ["base", found["model"]])["measures"]
        found["bits"] = measures.get("bits_per_byte")
        found["kobest"] = next((scores for name, scores in measures.items() if name.startswith("kobest")), None)
    return found


def _kept(recipe: Recipe, index: int) -> dict[str, Any] | None:
    """Return what `eval retention` found of the model's English, None where it has not run."""
    folder = retention.result_folder(recipe, str(index + 1))
    return read_manifest(folder).metrics if is_finished(folder) else None
