"""The ``compare-init`` step: every method's bits per byte in Korean and English, before training and after a little.

One model is loaded; the rows of the new tokens are exchanged, method after method. Where training is asked for,
each method gets a model 0 of its own and the same steps of the first stage on the same tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redwhale.core.artifact import Input, Manifest, is_finished, need_made, read_manifest
from redwhale.core.base import INDEX_NAME, base_folder, weight_files
from redwhale.core.console import Console
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.publish import write_json
from redwhale.core.recipe.init import Init, InitComparison, Initialisation, pair_of
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from redwhale.corpus.reader import corpus_input, held_out_texts
from redwhale.tokenizer.reader import tokenizer_input

if TYPE_CHECKING:
    import torch

    from redwhale.measure.bits_per_byte import BitsPerByte
    from redwhale.weights.prepare import Prepared

STEP = "compare-init"
ALGORITHM = 3  # 3: padding rows hold the mean
RESULT_NAME = "comparison.json"
TRIED_FOLDER = "tried"
BATCH_TOKENS = 4096

Pair = tuple[Initialisation, Initialisation]
"""Methods of embedding and head."""
Train = Callable[[Recipe, Pair, Path, Console], dict[str, dict[str, float]]]
"""Trains a model 0 made by a pair, in a folder; returns bits per byte by language, by step."""


def plan(recipe: Recipe) -> Plan:
    """Return what the comparison reads and writes; a hub base must be fetched already."""
    init: Init = recipe.need("init")
    settings = _settings(recipe)
    base = base_folder(recipe, weights=True, fetch=False)
    files = [base / "config.json", *weight_files(base)]
    if (base / INDEX_NAME).is_file():
        files.append(base / INDEX_NAME)
    fields: dict[str, Any] = {
        "comparison": settings.model_dump(), "seed": recipe.seed, "context_tokens": context_limit(recipe),
        **init.model_dump(include={"align_sample", "pad_rows_to", "add_layers"}),
    }  # fmt: skip
    if settings.steps:
        unshared = {"stages", "packed", "checkpoints", "measure", "trackers"}
        shared = recipe.need("pretrain").model_dump(mode="json", exclude=unshared)
        fields["training"] = shared | {"stage": recipe.need("pretrain").stages[0].model_dump(mode="json")}
    return Plan(
        step=STEP, command=recipe.command("init-model", "--compare"), folder=recipe.init_comparison_folder,
        inputs=(*(Input(f"base {path.name}", path) for path in files), tokenizer_input(recipe), corpus_input(recipe)),
        fields=fields, algorithm=ALGORITHM,
    )  # fmt: skip


def _settings(recipe: Recipe) -> InitComparison:
    settings = recipe.need("init").compare
    if settings is None:
        raise RedwhaleError(
            "there is nothing to compare", where=f"{recipe.file}: init.compare", fix="set it to `true`", exit_code=USAGE
        )
    return settings


def context_limit(recipe: Recipe) -> int:
    """Return the most tokens read at once: what training reads."""
    return recipe.pretrain.sequence_length if recipe.pretrain else BATCH_TOKENS


def comparison_input(recipe: Recipe) -> Input:
    """Return the comparison as what init-model reads where it takes the best."""
    return Input("comparison", recipe.init_comparison_folder, recipe.command("init-model", "--compare"))


def best(recipe: Recipe) -> Pair:
    """Return the methods that a finished comparison found best."""
    chosen = read_manifest(recipe.init_comparison_folder, step=STEP).metrics["best"]
    return chosen["embedding"], chosen["head"]


def run(
    recipe: Recipe, *, console: Console, fresh: bool = False, verify: bool = False, train: Train | None = None
) -> Manifest:
    """Compare the methods, or say that it is done. ``train`` is needed where the recipe asks for steps."""
    need_made([tokenizer_input(recipe), corpus_input(recipe)])
    base_folder(recipe, weights=True, fetch=not is_finished(recipe.init_comparison_folder))  # done: no network
    steps = plan(recipe)
    return produce(steps, partial(build, recipe, train, console), console=console, fresh=fresh, verify=verify)


def build(recipe: Recipe, train: Train | None, console: Console) -> Built:
    """Measure every method that is not measured yet, and write the table."""
    from redwhale.weights.prepare import prepare

    settings, folder = _settings(recipe), recipe.init_comparison_folder
    job = prepare(recipe, recipe.need("init"))
    texts = held_out_texts(recipe.corpus_folder, documents=settings.documents)
    if not any(language == "ko" for language, _ in texts.values()):
        raise RedwhaleError(
            "the corpus holds no held-out Korean documents, so nothing can be compared",
            where=str(recipe.corpus_folder), fix="raise `preprocess.held_out.fraction` and make the corpus again",
            exit_code=USAGE,
        )  # fmt: skip
    (folder / TRIED_FOLDER).mkdir(exist_ok=True)
    trial = _Trial(recipe, job, texts)

    rows = []
    for pair in pairs(settings, tied=job.matrices.tied):
        path = folder / TRIED_FOLDER / f"{'+'.join(pair)}.json"
        if not path.is_file():
            row = trial.measure(pair)
            if settings.steps and train is not None:
                row["steps"] |= train(recipe, pair, folder / f"{'+'.join(pair)}", console)
            write_json(path, row)
        rows.append(json.loads(path.read_text(encoding="utf-8")))
        console.note(f"{STEP}: {describe(rows[-1])}")
    metrics = {"base": trial.base, "rows": rows, "best": min(rows, key=korean)}
    write_json(folder / RESULT_NAME, metrics)
    tried = [folder / TRIED_FOLDER / f"{row['embedding']}+{row['head']}.json" for row in rows]
    return Built([folder / RESULT_NAME, *tried], counts={"methods": len(rows)}, metrics=metrics)


def pairs(settings: InitComparison, *, tied: bool) -> list[Pair]:
    """Return the different pairs to try, in order; in a tied model only the embedding's method counts."""
    found = [pair_of(written) for written in settings.methods]
    return list(dict.fromkeys((embedding, embedding) if tied else (embedding, head) for embedding, head in found))


def korean(row: dict[str, Any]) -> float:
    """Return the Korean bits per byte after the last step: the less, the better."""
    last = max(row["steps"], key=int)
    return float(row["steps"][last]["ko"])


def describe(row: dict[str, Any]) -> str:
    """Return a row as people read it."""
    steps = "; ".join(
        f"step {step} " + ", ".join(f"{language} {value:.4f}" for language, value in measured.items())
        for step, measured in row["steps"].items()
    )
    return f"{row['embedding']} / {row['head']}: {steps}; English leak {row['leak']['mean']:.2%}"


class _Trial:
    """The base with room for the new rows, in memory, and the text to measure on."""

    def __init__(self, recipe: Recipe, job: Prepared, texts: dict[str, tuple[str, list[str]]]) -> None:
        from redwhale.core.device import choose_device
        from redwhale.measure import models
        from redwhale.tokenizer.reader import load_tokenizer
        from redwhale.weights.layers import repeat_in_memory

        self._settings, self._job, self._texts = _settings(recipe), job, texts
        self._device = choose_device(recipe)
        self._model = models.load_model(job.base.folder, self._device)
        if self._device.type == "cpu":
            self._model = self._model.float()  # faster there than bfloat16, and as exact as it can be
        self._tokenizer = load_tokenizer(job.base.folder)
        self._context = min(context_limit(recipe), models.context_of(self._model))
        self._base = self._bits()
        self._tokenizer = load_tokenizer(recipe.tokenizer_folder)
        if job.deeper and job.deeper.how == "repeat":  # identity layers change nothing
            repeat_in_memory(self._model, job.base, job.deeper)
        self._model.resize_token_embeddings(job.layout.rows, mean_resizing=False)

    @property
    def base(self) -> dict[str, float]:
        """Return the bits per byte of the base with its own tokenizer, by language."""
        return _pooled(self._base)

    def measure(self, pair: Pair) -> dict[str, Any]:
        """Return bits per byte before training, by source and language, and the English leak."""
        from redwhale.weights import english

        noise = {"embedding": self._put("embedding", pair[0])}
        if not self._job.matrices.tied:
            noise["head"] = self._put("head", pair[1])
        measured = self._bits()
        ids = english.english_ids(self._tokenizer)
        leak = english.leak(self._logits(ids), self._job.layout.known_rows)
        return {
            "embedding": pair[0], "head": pair[1], "rows_with_noise": noise, "leak": leak,
            "steps": {"0": _pooled(measured)},
            "sources": {name: round(part.bits_per_byte, 6) for name, (_, part) in measured.items()},
        }  # fmt: skip

    def _bits(self) -> dict[str, tuple[str, BitsPerByte]]:
        """Measure the model as it is now: language and sums of every source."""
        from redwhale.measure.bits_per_byte import measure_texts

        return {
            source: (language, measure_texts(
                self._model, self._tokenizer, part, document_bytes=self._settings.document_bytes,
                context_tokens=self._context, batch_tokens=BATCH_TOKENS, device=self._device,
            ))
            for source, (language, part) in self._texts.items()
        }  # fmt: skip

    def _put(self, matrix: Any, method: Initialisation) -> int:
        """Write the new rows of one matrix into the model; return how many got noise."""
        import torch

        from redwhale.weights.checkpoint import read_rows
        from redwhale.weights.methods.new_rows import new_rows
        from redwhale.weights.methods.statistics import mean_row

        layout, matrices = self._job.layout, self._job.matrices
        stored = matrices.embedding if matrix == "embedding" or matrices.stored_head is None else matrices.stored_head
        base = read_rows(stored, 0, layout.known_rows)
        made = new_rows(base, self._job.tokens, method=method, matrix=matrix)
        module = self._model.get_input_embeddings() if matrix == "embedding" else self._model.get_output_embeddings()
        with torch.no_grad():
            module.weight[layout.base_rows :] = mean_row(base).to(module.weight)  # padding rows, as `expand` has them
            part = module.weight[layout.base_tokens : layout.base_tokens + layout.new_tokens]
            part.copy_(made.rows.to(part))
        return made.rows_with_noise

    def _logits(self, ids: list[int]) -> torch.Tensor:
        import torch

        with torch.no_grad():
            return self._model(input_ids=torch.tensor([ids], device=self._device), use_cache=False).logits[0].float()


def _pooled(measured: dict[str, tuple[str, BitsPerByte]]) -> dict[str, float]:
    from redwhale.measure.bits_per_byte import by_language

    return {language: round(part.bits_per_byte, 6) for language, part in by_language(measured).items()}
