"""What a model card says, read from the recipe and the manifests of what is done."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import yaml

from redwhale.core.artifact import Manifest, is_finished, read_manifest
from redwhale.core.base import base_folder
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.corpus.reader import STATISTICS_NAME
from redwhale.evaluation import compare, retention
from redwhale.tokenizer.step import STEP as TOKENIZER_STEP

CARD_NAME = "README.md"
_PATHS = {"existing", "packed", "trackers", "checkpoints"}


def gather(recipe: Recipe, index: int) -> dict[str, Any]:
    """Return the facts of the model that stage ``index`` (from 0) made; what is not known is None or empty."""
    stage = read_manifest(recipe.stage_folder(index))
    stages = [_stage(recipe, number) for number in range(index + 1)]
    corpus = _manifest(recipe.corpus_folder)
    return {
        "name": recipe.name,
        "stage": recipe.need("pretrain").stages[index].name,
        "base": base_facts(recipe),
        "parameters": _manifest_counts(recipe.model_0_folder).get("parameters"),
        "vocabulary": _vocabulary(recipe),
        "stages": stages,
        "sources": _sources(recipe, stages) if corpus else [],
        "corpus": _corpus(corpus),
        "bits": stage.metrics.get("end", {}).get("bits_per_byte", {}).get("language", {}),
        "compared": _compared(recipe, index),
        "kept": _kept(recipe, index),
        "recipe": render_settings(recipe),
        "digest": stage.digest,
        "versions": stage.environment.get("versions", {}),
    }  # fmt: skip


def render_settings(recipe: Recipe) -> str:
    """Return the sections that say how the model was made, every value filled in; none of them holds a path."""
    sections = {name: getattr(recipe, name) for name in ("tokenizer", "init", "pretrain")}
    kept = {name: section.model_dump(mode="json", exclude=_PATHS) for name, section in sections.items() if section}
    return str(yaml.safe_dump(kept, allow_unicode=True, sort_keys=False, default_flow_style=None, width=110)).strip()


def base_facts(recipe: Recipe) -> dict[str, Any]:
    """Return the base's name and revision, and the licence that its own card states."""
    facts: dict[str, Any] = {"model": "a base model", "revision": None, "licence": {}, "is_folder": True}
    if (base := recipe.base) is None:
        return facts
    facts |= {"model": base.model, "revision": base.revision, "is_folder": False}
    with contextlib.suppress(RedwhaleError):  # not fetched to this machine
        folder = base_folder(recipe, fetch=False)
        if recipe.path(base.model) == folder:  # its path is the trainer's own business
            facts |= {"model": folder.name, "is_folder": True}
        facts["licence"] = stated_licence(folder / CARD_NAME)
    return facts


def stated_licence(card: Path) -> dict[str, str]:
    """Return what the front matter of a card of the hub says of the licence: ``license``, its name, its link."""
    if not card.is_file():
        return {}
    lines = card.read_text(encoding="utf-8", errors="replace").split("\n")
    if lines[0].strip() != "---" or "---" not in [line.strip() for line in lines[1:]]:
        return {}
    end = [line.strip() for line in lines[1:]].index("---") + 1
    try:
        front = yaml.safe_load("\n".join(lines[1:end]))
    except yaml.YAMLError:
        return {}
    if not isinstance(front, dict) or not front.get("license"):
        return {}
    return {key: str(front[key]) for key in ("license", "license_name", "license_link") if front.get(key)}


def _manifest(folder: Path) -> Manifest | None:
    return read_manifest(folder) if is_finished(folder) else None


def _manifest_counts(folder: Path) -> dict[str, Any]:
    manifest = _manifest(folder)
    return manifest.counts if manifest else {}


def _vocabulary(recipe: Recipe) -> dict[str, Any]:
    """Return sizes, and the share of the base's tokens that the same Korean text takes now."""
    manifest = _manifest(recipe.tokenizer_folder)
    if manifest is None or manifest.step != TOKENIZER_STEP:
        return {}
    korean = manifest.metrics.get("languages", {}).get("ko", {})
    return {
        "base": manifest.counts.get("base_tokens"), "new": manifest.counts.get("new_tokens"),
        "ratio": korean.get("ratio"),
    }  # fmt: skip


def _stage(recipe: Recipe, number: int) -> dict[str, Any]:
    """Return what a stage trained, on how much, and how."""
    settings, manifest = recipe.need("pretrain").stages[number], read_manifest(recipe.stage_folder(number))
    train = settings.train.model_dump(exclude_defaults=True, mode="json")
    return {
        "name": settings.name,
        "train": ", ".join(f"{part}: {_word(value)}" for part, value in train.items()),
        "tokens": manifest.counts["tokens"],
        "trained": manifest.counts.get("trainable_parameters"),
        "learning_rate": f"{settings.learning_rate:g}",
        "schedule": settings.schedule,
        "hours": manifest.timings.get("wall_seconds", 0.0) / 3600,
        "engine": manifest.metrics.get("engine"),
        "mixture": manifest.counts.get("realised_mixture", {}),
    }


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {item}" for key, item in value.items() if item is not None)
    return str(value)


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
    manifest = _manifest(retention.result_folder(recipe, str(index + 1)))
    return manifest.metrics if manifest else None
