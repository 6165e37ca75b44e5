"""Make tiny real artifacts that a stage starts from: corpus, tokenizer, model 0 and a recipe over them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from redwhale.core.artifact import Manifest, read_manifest, record_files, write_manifest
from redwhale.core.console import Console
from redwhale.core.publish import write_json
from redwhale.core.recipe.load import load_recipe
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from tests import pico

QUIET = Console(quiet=True, json_output=True)
VOCABULARY, NEW_ROWS, PADDING_ROWS = 420, 60, 28
LANGUAGES = {"news": "ko", "docs": "en"}


def write_corpus(folder: Path, texts: dict[str, list[str]] | None = None) -> None:
    """Write Korean ``news`` and English ``docs``, each with a few held-out documents."""
    texts = texts or {"news": pico.korean_documents(120), "docs": pico.english_lines()[:200]}

    def build() -> Built:
        outputs, numbers = [], []
        for name, all_texts in texts.items():
            parts = {"train": all_texts[4:], "held_out": all_texts[:4]}
            for part, shown in parts.items():
                path = folder / part / f"{name}-00000.parquet"
                path.parent.mkdir(exist_ok=True)
                count = len(shown)
                pq.write_table(pa.table({
                    "id": [f"{name}-{i}" for i in range(count)], "text": shown, "source": [name] * count,
                    "language": [LANGUAGES[name]] * count, "file": ["f"] * count, "row": list(range(count)),
                }), path)  # fmt: skip
                outputs.append(path)
            sizes = {part: {"documents": len(shown), "bytes": sum(len(t.encode()) for t in shown)}
                     for part, shown in parts.items()}  # fmt: skip
            numbers.append({"name": name, "language": LANGUAGES[name], **sizes})
        write_json(folder / "statistics.json", {"sources": numbers})
        return Built([*outputs, folder / "statistics.json"])

    produce(Plan("preprocess", "redwhale preprocess", folder, (), {}, 1), build, console=QUIET)


def write_tokenizer(folder: Path, base: Path) -> None:
    """Publish a base's tokenizer files as a tokenizer artifact."""

    def build() -> Built:
        files = [path for path in base.iterdir() if path.name.startswith("tokenizer")]
        for path in files:
            (folder / path.name).write_bytes(path.read_bytes())
        return Built([folder / path.name for path in files])

    produce(Plan("train-tokenizer", "redwhale train-tokenizer", folder, (), {}, 1), build, console=QUIET)


def write_model_0(folder: Path, base: Path, *, tied: bool, dtype: str = "float32", layers: int = 4) -> None:
    """Publish a random Llama whose last 60 tokens count as new, with 28 padding rows after them."""

    def build() -> Built:
        import torch
        from transformers import AutoModelForCausalLM

        rows = VOCABULARY + PADDING_ROWS
        pico.make_llama(folder, rows=rows, tied=tied, layers=layers)
        if dtype != "float32":
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
            model.save_pretrained(folder)
        for path in base.iterdir():
            if path.name.startswith("tokenizer"):
                (folder / path.name).write_bytes(path.read_bytes())
        write_json(folder / "rows.json", {
            "first_new_row": VOCABULARY - NEW_ROWS, "new_rows": NEW_ROWS, "padding_rows": PADDING_ROWS,
            "base_rows": VOCABULARY - NEW_ROWS, "tied": tied,
        })  # fmt: skip
        return Built([p for p in folder.iterdir() if p.is_file() and p.name not in ("begun.json", ".lock", "log.txt")])

    produce(Plan("init-model", "redwhale init-model", folder, (), {}, 1), build, console=QUIET)


def stage(name: str = "one", *, tokens: int = 1280, learning_rate: float = 1e-3, **train: Any) -> dict[str, Any]:
    """Return a stage entry of 5 steps (with the batch of ``write_recipe``)."""
    return {"name": name, "train": train, "tokens": tokens, "learning_rate": learning_rate, "warmup": 0.2}


def write_recipe(root: Path, *stages: dict[str, Any], **settings: Any) -> Recipe:
    """Write ``redwhale.yaml`` with sequences of 32 tokens, 8 to a step; ``settings`` change the section."""
    pretrain = {
        "sequence_length": 32, "batch_tokens": 256, "micro_batch": 4, "precision": "fp32", "deepspeed": None,
        "recompute": False, "mixture": {"news": 0.75, "docs": 0.25}, "measure": {"documents": 3, "document_bytes": 60},
        "stages": list(stages),
    } | settings  # fmt: skip
    recipe = {"version": 1, "workdir": "run", "seed": 5, "machine": {"device": "cpu"}, "pretrain": pretrain}
    (root / "redwhale.yaml").write_text(json.dumps(recipe))
    return load_recipe(root / "redwhale.yaml")


def make_start(
    root: Path, *, tied: bool = False, dtype: str = "float32", layers: int = 4,
    texts: Callable[[Path], dict[str, list[str]]] | None = None,
) -> Path:  # fmt: skip
    """Make all that stage 1 needs (but the tokens) below ``root`` and return it; ``texts`` are given the base."""
    root.mkdir(parents=True, exist_ok=True)
    base = pico.make_spm_base(root / "base", vocabulary=VOCABULARY)
    recipe = write_recipe(root, stage(layers="all"))
    write_corpus(recipe.corpus_folder, texts(base) if texts else None)
    write_tokenizer(recipe.tokenizer_folder, base)
    write_model_0(recipe.model_0_folder, base, tied=tied, dtype=dtype, layers=layers)
    return root


def record_again(folder: Path) -> None:
    """Record the files of an artifact as they are now, where a test changed one on purpose."""
    manifest = read_manifest(folder)
    outputs = record_files([folder / record.path for record in manifest.outputs], relative_to=folder)
    write_manifest(folder, manifest.model_copy(update={"outputs": outputs}))


def state_of(folder: Path) -> dict[str, Any]:
    """Load all tensors of a model folder."""
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def run(recipe: Recipe, index: int = 0, **more: Any) -> Manifest:
    """Train a stage."""
    from redwhale.training import step

    return step.run(recipe, index, console=QUIET, **more)


def rows(recipe: Recipe, index: int = 0) -> list[dict[str, Any]]:
    """Return the rows of a stage's metrics."""
    lines = (recipe.stage_folder(index) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
