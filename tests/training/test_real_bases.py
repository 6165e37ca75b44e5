"""Real English bases on real Korean text: the loss falls, whatever the stage trains."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from redwhale.core.artifact import Manifest
from redwhale.core.publish import write_json
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from redwhale.training import step
from tests.training import stages
from tests.training.stages import QUIET, stage, write_recipe

DATA = Path(os.environ.get("REDWHALE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")).absolute()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "models").is_dir(), reason=f"no real data at {DATA} (REDWHALE_TEST_DATA)"),
]


def real_texts(count: int) -> dict[str, list[str]]:
    """Return the first Korean and English documents, cut to a paragraph."""
    files = {"news": "ko/webnews.jsonl.gz", "docs": "en/prose.jsonl.gz"}
    texts: dict[str, list[str]] = {}
    for name, path in files.items():
        with gzip.open(DATA / path, "rt", encoding="utf-8") as lines:
            texts[name] = [json.loads(line)["text"][:600] for line, _ in zip(lines, range(count), strict=False)]
    return texts


def start(root: Path, base: Path, *, settings: dict[str, Any], entries: list[dict[str, Any]]) -> Recipe:
    """Take a real base as model 0 without new rows; added tokens that have no row are left out."""
    recipe = write_recipe(root, *entries, **settings)
    stages.write_corpus(recipe.corpus_folder, real_texts(300))
    base = Path(shutil.copytree(base, root / "base"))
    rows = int(json.loads((base / "config.json").read_text())["vocab_size"])
    tied = bool(json.loads((base / "config.json").read_text())["tie_word_embeddings"])

    tokenizer = json.loads((base / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["id"] < rows]
    (base / "tokenizer.json").chmod(0o644)
    (base / "tokenizer.json").write_text(json.dumps(tokenizer))
    stages.write_tokenizer(recipe.tokenizer_folder, base)

    def build() -> Built:
        for path in base.iterdir():
            shutil.copy(path, recipe.model_0_folder / path.name)
        numbers = {"first_new_row": rows, "new_rows": 0, "padding_rows": 0, "base_rows": rows, "tied": tied}
        write_json(recipe.model_0_folder / "rows.json", numbers)
        return Built([recipe.model_0_folder / name for name in ("rows.json", "config.json", "model.safetensors")])

    produce(Plan("init-model", "redwhale init-model", recipe.model_0_folder, (), {}, 1), build, console=QUIET)
    return recipe


def korean(manifest: Manifest) -> list[float]:
    """Return Korean bits per byte before and after the stage."""
    return [manifest.metrics[when]["bits_per_byte"]["language"]["ko"] for when in ("start", "end")]


def test_every_kind_of_stage_on_a_tied_base(tmp_path: Path) -> None:
    entries = [
        stage("rows", embedding="all", head="all", tokens=16_384),
        stage("odd", layers="odd", tokens=16_384),
        stage("even", layers="even", norms="final", tokens=16_384),
        stage("lora", lora={"rank": 4}, tokens=16_384),
    ]
    settings = {"sequence_length": 128, "batch_tokens": 1024}
    recipe = start(tmp_path, DATA / "models" / "stories260k", settings=settings, entries=entries)
    made = [step.run(recipe, index, console=QUIET) for index in range(4)]
    assert all(after < before for before, after in map(korean, made)), list(map(korean, made))
    assert all(manifest.metrics["export_logit_gap"] < 1e-4 for manifest in made)


@pytest.mark.parametrize("engine", [{}, {"deepspeed": {"zero": 2}, "precision": "bf16", "recompute": True}])
def test_a_bf16_base_learns_korean(tmp_path: Path, engine: dict[str, Any]) -> None:
    entries = [stage("all", embedding="all", head="all", layers="odd", tokens=8_192)]
    settings = {"sequence_length": 128, "batch_tokens": 1024} | engine
    recipe = start(tmp_path, DATA / "models" / "english-20m", settings=settings, entries=entries)
    manifest = step.run(recipe, 0, console=QUIET)
    before, after = korean(manifest)
    assert after < before - 0.05, (before, after)
    assert {tensor.dtype for tensor in stages.state_of(recipe.model_folder(0)).values()} == {torch.bfloat16}
