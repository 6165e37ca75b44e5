"""The ``eval retention`` step: how much of the base's English a model has kept, on held-out documents.

1. Bits per byte of base and model over the same spans of text (mode ``comparable``).
2. Their distributions of the next token on the same ids, over the base's vocabulary: the model's other logits are left
   out before the softmax, so that this tells what became of the old tokens, and bits per byte what new ones cost.
   Documents that the model's tokenizer cuts differently have no such positions; they are counted.
3. For model 0, whether the logits are still the base's own.

Base and model stand in memory together, and no more logits than those of one batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redwhale.core.artifact import Input, Manifest, is_finished
from redwhale.core.console import Console
from redwhale.core.device import choose_device
from redwhale.core.errors import FAILED, USAGE, RedwhaleError
from redwhale.core.publish import write_json
from redwhale.core.recipe.evaluate import Retention as Settings
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from redwhale.corpus.reader import corpus_input
from redwhale.evaluation import bits, targets
from redwhale.measure import models
from redwhale.measure.bits_per_byte import BitsPerByte, cut_to_bytes, encode, start_of_text
from redwhale.measure.spans import measure_spans

if TYPE_CHECKING:
    import torch

    from redwhale.measure.divergence import Divergence

STEP = "eval-retention"
ALGORITHM = 1
SCHEMA = 1
RESULT_NAME = "retention.json"
# Logits of both models over 1,024 tokens are 0.5 GiB at 128,000 rows in bfloat16.
LOGITS_BATCH_TOKENS = 1024

ScoreTasks = Callable[[Recipe, str, Console], dict[str, Any]]
"""Called as ``score_tasks(recipe, model, console)``; returns the scores of ``evaluate.retention.tasks``."""


@dataclass(frozen=True)
class Loaded:
    """A model on its device, with its tokenizer."""

    model: Any
    tokenizer: Any

    @classmethod
    def read(cls, folder: Path, device: torch.device) -> Loaded:
        """Load both from a folder."""
        from redwhale.tokenizer.reader import load_tokenizer

        return cls(models.load_model(folder, device), load_tokenizer(folder))


@dataclass(frozen=True)
class Kept:
    """What was measured on some documents; ``recut`` are those whose ids differ, which ``divergence`` leaves out."""

    documents: int
    recut: int
    base: BitsPerByte
    model: BitsPerByte
    divergence: Divergence

    def __add__(self, other: Kept) -> Kept:
        """Pool two sources."""
        return Kept(
            self.documents + other.documents, self.recut + other.recut, self.base + other.base,
            self.model + other.model, self.divergence + other.divergence,
        )  # fmt: skip


def result_folder(recipe: Recipe, model: str) -> Path:
    """Return where stands how much English a model has kept."""
    return targets.result_folder(recipe, model, "retention")


def plan(recipe: Recipe, model: str) -> Plan:
    """Return what ``eval retention`` reads and writes for ``model``; a hub base must be fetched already."""
    evaluate = recipe.need("evaluate")
    settings: Settings = evaluate.retention
    base = targets.find_target(recipe, "base").inputs()
    return Plan(
        step=STEP, command=recipe.command("eval", "retention", "--model", model), folder=result_folder(recipe, model),
        inputs=(*targets.find_target(recipe, model).inputs(),
                *(Input(f"base {item.path.name}", item.path) for item in base), corpus_input(recipe)),
        fields={
            **settings.model_dump(mode="json", exclude=None if settings.tasks else {"tasks", "shots", "limit"}),
            "span_bytes": evaluate.bits_per_byte.span_bytes, "context_tokens": bits.context_limit(recipe),
        }, algorithm=ALGORITHM,
    )  # fmt: skip


def run(
    recipe: Recipe, model: str, *, console: Console, fresh: bool = False, verify: bool = False,
    score_tasks: ScoreTasks | None = None,
) -> Manifest:  # fmt: skip
    """Measure how much English a model has kept, or say that it is done; ``score_tasks`` runs English tasks.

    Raises exit code 2 where no English is held out, or tasks are asked for and nothing can run them.
    """
    fetch = not is_finished(result_folder(recipe, model))
    targets.find_target(recipe, "base", fetch=fetch)
    steps = plan(recipe, model)
    return produce(
        steps, lambda: build(recipe, model, steps.folder, console=console, score_tasks=score_tasks), console=console,
        fresh=fresh, verify=verify,
    )  # fmt: skip


def build(recipe: Recipe, model: str, folder: Path, *, console: Console, score_tasks: ScoreTasks | None) -> Built:
    """Measure every English source and pool them; join the scores of tasks."""
    settings: Settings = recipe.need("evaluate").retention
    if settings.tasks and score_tasks is None:
        raise RedwhaleError(
            f"the English tasks {', '.join(settings.tasks)} are asked for, and nothing here can run them",
            where=f"{recipe.file}: evaluate.retention.tasks", exit_code=USAGE,
            fix="install the extra `redwhale[lm-eval]`, or leave the key out",
        )  # fmt: skip
    kept, protocol = measure_sources(recipe, model, english_texts(recipe, settings.documents), console=console)
    pooled = kept[0][1]
    for _, part in kept[1:]:
        pooled += part
    result: dict[str, Any] = {"sources": {name: as_figures(part) for name, part in kept}, "all": as_figures(pooled)}
    if model == "0":
        result["all"]["logits_equal"] = judge_logits(pooled, protocol["logits_tolerance"], console)
    if settings.tasks and score_tasks is not None:
        result["tasks"] = {
            "base": score_tasks(recipe, "base", console), "model": score_tasks(recipe, model, console)
        }  # fmt: skip
    write_json(folder / RESULT_NAME, {"schema": SCHEMA, "protocol": protocol, **result})
    documents = {name: part.documents for name, part in kept}
    return Built([folder / RESULT_NAME], counts={"documents": documents}, metrics={**result, "protocol": protocol})


def english_texts(recipe: Recipe, documents: int) -> dict[str, list[str]]:
    """Return the held-out texts of every English source; raise exit code 2 where there is none."""
    from redwhale.corpus.reader import held_out_texts

    held_out = held_out_texts(recipe.corpus_folder, documents=documents)
    if english := {name: texts for name, (language, texts) in held_out.items() if language == "en"}:
        return english
    raise RedwhaleError(
        "the corpus holds no held-out English, so what a model has kept of it cannot be measured",
        where=str(recipe.corpus_folder), exit_code=USAGE,
        fix="add a source of `language: en` and a `preprocess.held_out.fraction`, and make the corpus again",
    )  # fmt: skip


def measure_sources(
    recipe: Recipe, model: str, sources: dict[str, list[str]], *, console: Console
) -> tuple[list[tuple[str, Kept]], dict[str, Any]]:
    """Load base and model; return what was measured by source, and the protocol."""
    from redwhale.measure.divergence import logits_tolerance

    evaluate = recipe.need("evaluate")
    device = choose_device(recipe)
    base = Loaded.read(targets.find_target(recipe, "base").folder, device)
    changed = Loaded.read(targets.find_target(recipe, model).folder, device)
    context_tokens = min(bits.context_limit(recipe), models.context_of(base.model), models.context_of(changed.model))
    read = {
        "document_bytes": evaluate.retention.document_bytes, "span_bytes": evaluate.bits_per_byte.span_bytes,
        "context_tokens": context_tokens,
    }  # fmt: skip
    kept = []
    fix = "measure on a device with more memory: base and model stand in it together"
    total = sum(map(len, sources.values()))
    with models.explain_out_of_memory(fix), console.progress("retention", total, "documents") as progress:
        for source, texts in sources.items():
            measured = measure_kept(base, changed, texts, **read)
            kept.append((source, measured))
            progress.advance(len(texts), source)
            for name, part in (("base", measured.base), (model, measured.model)):
                bits.warn_of_crossings(part, f"{source}, model {name}", console)
    dtypes = [side.model.get_input_embeddings().weight.dtype for side in (base, changed)]
    protocol = {
        "documents": evaluate.retention.documents, **read, "base_ids": base_ids(base),
        "weights_dtype": {"base": models.dtype_of(base.model), "model": models.dtype_of(changed.model)},
        "softmax_dtype": "float32", "logits_tolerance": max(map(logits_tolerance, dtypes)),
    }  # fmt: skip
    return kept, protocol


def measure_kept(
    base: Loaded, model: Loaded, texts: list[str], *, document_bytes: int, span_bytes: int, context_tokens: int
) -> Kept:
    """Measure base and model on the first ``document_bytes`` bytes of the same texts.

    ``context_tokens`` bounds what is read for the distributions; spans may be as long as each model can read.
    Raises where a model predicts what is no number.
    """
    from redwhale.measure.divergence import compare_distributions

    old_bits, new_bits = (
        measure_spans(
            side.model, side.tokenizer, texts, document_bytes=document_bytes, span_bytes=span_bytes,
            context_tokens=models.context_of(side.model), batch_tokens=bits.BATCH_TOKENS, device=side.model.device,
        )
        for side in (base, model)
    )  # fmt: skip
    read = [cut_to_bytes(text, document_bytes) for text in texts]
    cuts = list(zip(encode(base.tokenizer, read), encode(model.tokenizer, read), strict=True))
    start = start_of_text(base.tokenizer)
    divergence = compare_distributions(
        base.model, model.model, [[start, *ids] for ids, others in cuts if ids and ids == others],
        base_ids=base_ids(base), context_tokens=context_tokens, batch_tokens=LOGITS_BATCH_TOKENS,
        device=base.model.device,
    )  # fmt: skip
    if not math.isfinite(old_bits.nats + new_bits.nats + divergence.kl):
        which, side = ("model", model) if math.isfinite(old_bits.nats) else ("base", base)
        raise RedwhaleError(
            f"the {which} predicts what is no number", where=models.folder_of(side.model), fix="make or fetch it again",
            exit_code=FAILED,
        )  # fmt: skip
    return Kept(len(texts), sum(ids != others for ids, others in cuts), old_bits, new_bits, divergence)


def base_ids(base: Loaded) -> int:
    """Return how many ids the base's vocabulary has: those of its tokenizer that have a row."""
    return min(max(base.tokenizer.get_vocab().values()) + 1, base.model.get_input_embeddings().weight.shape[0])


def judge_logits(kept: Kept, tolerance: float, console: Console) -> bool | None:
    """Tell whether model 0 has the base's logits, None where no position could be compared; warn where it has not."""
    found = kept.divergence
    if not found.positions:
        console.warn("model 0: its tokenizer cuts all English differently from the base's, so no logits were compared")
        return None
    if found.difference <= tolerance * found.largest:
        return True
    console.warn(
        f"model 0: English logits of the base's tokens differ by up to {found.difference:.3g}, with {found.largest:.3g}"
        " the largest; nothing but new rows and layers of `how: identity` leaves them equal"
    )
    return False


def as_figures(kept: Kept) -> dict[str, Any]:
    """Return what was measured as it is written: ratios and nats to 1e-6; null where no position was compared."""
    found = kept.divergence
    return {
        "documents": kept.documents,
        "recut_documents": kept.recut,
        "base": bits.as_figures(kept.base, "comparable"),
        "model": bits.as_figures(kept.model, "comparable"),
        "bits_per_byte_change": round(kept.model.bits_per_byte / kept.base.bits_per_byte - 1, 6),
        "positions": found.positions,
        "kl_nats_per_token": round(found.kl / found.positions, 6) if found.positions else None,
        "same_likeliest_share": round(found.same / found.positions, 6) if found.positions else None,
        "largest_logit_difference": float(f"{found.difference:.6g}") if found.positions else None,
        "largest_logit": float(f"{found.largest:.6g}") if found.positions else None,
    }
