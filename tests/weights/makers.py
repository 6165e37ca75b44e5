"""What the tests of init-model share: a tokenizer artifact, a recipe and a base, all real and tiny."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from redwhale.core.artifact import Input, Manifest
from redwhale.core.console import Console
from redwhale.core.recipe.load import load_recipe
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from redwhale.corpus import step as preprocess
from redwhale.tokenizer.base import tokenizer_files
from redwhale.weights import step
from tests import pico

PIECES = ["▁오늘", "날씨", "도서관", "하", "다"]


def extend(base: Path, folder: Path, *, pieces: list[str]) -> list[list[int]]:
    """Write a tokenizer artifact of base plus ``pieces``, as train-tokenizer does; return the decompositions."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    count = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    decomposition = [[token.id for token in tokenizer.model.tokenize(piece)] for piece in pieces]

    def build() -> Built:
        content = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
        added = {token["content"]: token["id"] for token in content["added_tokens"] if token["special"]}
        content["model"]["vocab"] |= added | {piece: count + i for i, piece in enumerate(pieces)}
        (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
        shutil.copyfile(base / "tokenizer_config.json", folder / "tokenizer_config.json")
        extension = {"family": "sentencepiece-bpe", "base_tokens": count, "new_tokens": len(pieces), "pieces": pieces,
                     "decomposition": decomposition}  # fmt: skip
        (folder / "extension.json").write_text(json.dumps(extension), encoding="utf-8")
        return Built([folder / name for name in ("tokenizer.json", "tokenizer_config.json", "extension.json")])

    inputs = tuple(Input(f"base {path.name}", path) for path in tokenizer_files(base))
    plan = Plan("train-tokenizer", "redwhale train-tokenizer", folder, inputs, {"pieces": pieces}, 1)
    produce(plan, build, console=Console(quiet=True))
    return decomposition


def make_recipe(folder: Path, base: Path, *, corpus: Path | None = None, seed: int = 1234, **init: object) -> Recipe:
    file = folder / "redwhale.yaml"
    recipe = {"version": 1, "workdir": "run", "seed": seed, "base": {"model": str(base)}, "init": init}
    if corpus is not None:
        recipe["preprocess"] = {"existing": str(corpus)}
    file.write_text(json.dumps(recipe), encoding="utf-8")
    return load_recipe(file)


def make_base(folder: Path, *, extra_rows: int = 0, tied: bool = False) -> Path:
    base = pico.make_spm_base(folder / "base", vocabulary=420)
    return pico.make_llama(base, rows=pico.token_count(base) + extra_rows, tied=tied)


def run(recipe: Recipe, **more: bool) -> Manifest:
    return step.run(recipe, console=Console(quiet=True), **more)


def rows_of(folder: Path) -> dict[str, object]:
    return json.loads((folder / "rows.json").read_text())


def make_corpus(folder: Path, *, language: str = "ko") -> Path:
    lines = [
        json.dumps({"text": f"{text} {i}"}, ensure_ascii=False) for i, text in enumerate(pico.korean_documents(40))
    ]
    (folder / "text.jsonl").write_text("\n".join(lines), encoding="utf-8")
    recipe = folder / "corpus.yaml"
    source = {"name": "news", "language": language, "path": "text.jsonl", "text": "text"}
    settings = {"sources": [source], "filters": "off", "deduplicate": {"exact": False, "near": None},
                "held_out": {"fraction": "0%"}}  # fmt: skip
    recipe.write_text(json.dumps({"version": 1, "workdir": "made", "preprocess": settings}), encoding="utf-8")
    loaded = load_recipe(recipe)
    preprocess.run(loaded, console=Console(quiet=True))
    return loaded.corpus_folder


def change_config(base: Path, **changes: object) -> None:
    config = json.loads((base / "config.json").read_text()) | changes
    (base / "config.json").write_text(json.dumps(config))


def change_tensors(base: Path, changes: dict[str, torch.Tensor]) -> None:
    save_file(load_file(base / "model.safetensors") | changes, base / "model.safetensors", metadata={"format": "pt"})


def shard_weights(base: Path) -> Path:
    """Store the base's weights in several shards."""
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(base).save_pretrained(base, max_shard_size="60KB")
    (base / "model.safetensors").unlink(missing_ok=True)
    return base
