"""The ``eval bpb`` step: bits per byte on the corpus's held-out documents, per source and per language."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from redwhale.core.artifact import Manifest, is_finished
from redwhale.core.console import Console
from redwhale.core.device import choose_device
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.publish import write_bytes, write_json
from redwhale.core.recipe.evaluate import BitsPerByte as Settings
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from redwhale.corpus.reader import corpus_input
from redwhale.evaluation import targets
from redwhale.evaluation.targets import Target
from redwhale.measure import models
from redwhale.measure.bits_per_byte import BitsPerByte, by_language, measure_texts
from redwhale.measure.spans import measure_beginnings, measure_spans

STEP = "eval-bpb"
ALGORITHM = 2  # 2: documents.jsonl
SCHEMA = 1
RESULT_NAME = "bits_per_byte.json"
DOCUMENTS_NAME = "documents.jsonl"
DEFAULT_CONTEXT_TOKENS = 4096
# A forward pass over 4,096 tokens fills any device; its logits are below 1 GiB for most vocabularies.
BATCH_TOKENS = 4096


def result_folder(recipe: Recipe, model: str) -> Path:
    """Return where a model's bits per byte stand."""
    return targets.result_folder(recipe, model, "bits_per_byte")


def plan(recipe: Recipe, model: str) -> Plan:
    """Return what ``eval bpb`` reads and writes for ``model``; a hub base must be fetched already."""
    settings: Settings = recipe.need("evaluate").bits_per_byte
    return Plan(
        step=STEP, command=recipe.command("eval", "bpb", "--model", model), folder=result_folder(recipe, model),
        inputs=(*targets.find_target(recipe, model).inputs(), corpus_input(recipe)),
        fields=_fields(recipe, settings), algorithm=ALGORITHM,
    )  # fmt: skip


def _fields(recipe: Recipe, settings: Settings) -> dict[str, Any]:
    """Return the settings that decide the result.

    Those of a mode stand there only where it is chosen, so that results from before there were modes stay valid.
    """
    unused = {"windows": {"mode", "span_bytes"}, "document": {"span_bytes"}, "comparable": set[str]()}
    fields = settings.model_dump(mode="json", exclude=unused[settings.mode])
    return fields if settings.mode == "comparable" else {**fields, "context_tokens": context_limit(recipe)}


def run(recipe: Recipe, model: str, *, console: Console, fresh: bool = False, verify: bool = False) -> Manifest:
    """Measure a model's bits per byte, or say that it is done."""
    target = targets.find_target(recipe, model, fetch=not is_finished(result_folder(recipe, model)))
    steps = plan(recipe, model)
    return produce(
        steps, lambda: build(recipe, target, steps.folder, console=console), console=console, fresh=fresh, verify=verify
    )


def context_limit(recipe: Recipe) -> int:
    """Return the most tokens read at once: the length that training uses, so that its figures are the same."""
    return recipe.pretrain.sequence_length if recipe.pretrain else DEFAULT_CONTEXT_TOKENS


def build(recipe: Recipe, target: Target, folder: Path, *, console: Console) -> Built:
    """Measure every source's held-out documents and pool them by language."""
    from redwhale.tokenizer.reader import load_tokenizer

    settings: Settings = recipe.need("evaluate").bits_per_byte
    device = choose_device(recipe)
    sources = held_out(recipe, settings.documents)
    model = models.load_model(target.folder, device)
    tokenizer = load_tokenizer(target.folder)
    context_tokens = min(context_limit(recipe), models.context_of(model))
    results: dict[str, tuple[str, BitsPerByte]] = {}
    total = sum(len(texts) for _, texts in sources.values())
    fix = "lower `pretrain.sequence_length`, or measure on a device with more memory"
    with models.explain_out_of_memory(fix), console.progress("bits per byte", total, "documents") as progress:
        for source, (language, texts) in sources.items():
            measured = _measure(model, tokenizer, texts, settings=settings, context_tokens=context_tokens)
            results[source] = (language, measured)
            progress.advance(len(texts), source)
            warn_of_crossings(measured, f"{source}, {target.label}", console)
    mode = settings.mode
    figures = {
        "sources": {s: {"language": language, **as_figures(r, mode)} for s, (language, r) in results.items()},
        "languages": {language: as_figures(result, mode) for language, result in by_language(results).items()},
    }
    protocol = {
        **_fields(recipe, settings), **({} if mode == "comparable" else {"context_tokens": context_tokens}),
        "weights_dtype": models.dtype_of(model), "softmax_dtype": "float32",
    }  # fmt: skip
    write_json(folder / RESULT_NAME, {"schema": SCHEMA, "protocol": protocol, **figures})
    lines = [
        json.dumps({"source": source, "nats": round(nats, 4), "bytes": size}) + "\n"
        for source, (_, result) in results.items()
        for nats, size in result.documents
    ]
    write_bytes(folder / DOCUMENTS_NAME, "".join(lines).encode())
    documents = {source: len(texts) for source, (_, texts) in sources.items()}
    outputs = [folder / RESULT_NAME, folder / DOCUMENTS_NAME]
    return Built(outputs, counts={"documents": documents}, metrics={**figures, "protocol": protocol})


def _measure(model: Any, tokenizer: Any, texts: list[str], *, settings: Settings, context_tokens: int) -> BitsPerByte:
    """Score the texts as the mode says; spans are the same for every model and need only fit what it can read."""
    shared: dict[str, Any] = {
        "document_bytes": settings.document_bytes, "batch_tokens": BATCH_TOKENS, "device": model.device,
    }  # fmt: skip
    if settings.mode == "comparable":
        readable = models.context_of(model)
        return measure_spans(
            model, tokenizer, texts, span_bytes=settings.span_bytes, context_tokens=readable, **shared
        )  # fmt: skip
    measure = measure_beginnings if settings.mode == "document" else measure_texts
    return measure(model, tokenizer, texts, context_tokens=context_tokens, **shared)


def warn_of_crossings(result: BitsPerByte, what: str, console: Console) -> None:
    """Say where tokens lie across borders of spans: the bytes that they take from a span are scored by nobody."""
    if result.crossings:
        console.warn(
            f"{what}: {result.crossings} tokens cross the borders of spans; bits per byte are a little too low"
        )


def held_out(recipe: Recipe, documents: int) -> dict[str, tuple[str, list[str]]]:
    """Return language and texts of every source that has held-out documents; raise where none has."""
    from redwhale.corpus.reader import held_out_texts

    sources = held_out_texts(recipe.corpus_folder, documents=documents)
    if not sources:
        raise RedwhaleError(
            "the corpus holds no held-out documents, so nothing can be measured", where=str(recipe.corpus_folder),
            fix="raise `preprocess.held_out.fraction` and make the corpus again", exit_code=USAGE,
        )  # fmt: skip
    return sources


def as_figures(result: BitsPerByte, mode: str = "windows") -> dict[str, Any]:
    """Return a result as it is written: ratios to 1e-6, sums beside them, and what the mode counts."""
    counted = {"document": {"unscored_bytes": result.unscored_bytes}, "comparable": {"crossings": result.crossings}}
    return {
        "bits_per_byte": round(result.bits_per_byte, 6),
        "bits_per_character": round(result.bits_per_character, 6),
        "tokens_per_character": round(result.tokens_per_character, 6),
        "text_bytes": result.text_bytes,
        "characters": result.characters,
        "tokens": result.tokens,
        **counted.get(mode, {}),
    }
