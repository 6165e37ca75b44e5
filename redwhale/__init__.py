"""RedWhale turns an English base language model into a strong Korean one by continual pretraining.

The names here are the public API, imported when they are first used (docs/api.md). A step is a module with ``plan``,
what it reads and writes, and ``run``, which makes it or says that it is done.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redwhale.chain import ChainStep, Outcome, chain_steps, run_chain
    from redwhale.chain_lineage import lineage
    from redwhale.chain_status import status
    from redwhale.core.artifact import Manifest, read_manifest
    from redwhale.core.console import Console, quiet_libraries
    from redwhale.core.errors import RedwhaleError
    from redwhale.core.recipe.load import load_recipe
    from redwhale.core.recipe.recipe import Recipe
    from redwhale.core.step import Plan
    from redwhale.corpus import step as preprocess
    from redwhale.evaluation import bits as eval_bpb
    from redwhale.evaluation import compare as eval_compare
    from redwhale.evaluation import harness as eval_harness
    from redwhale.evaluation import retention as eval_retention
    from redwhale.evaluation import samples as eval_samples
    from redwhale.evaluation.kobest import step as eval_kobest
    from redwhale.tokenizer import step as train_tokenizer
    from redwhale.training import packing as pack
    from redwhale.training import step as pretrain
    from redwhale.weights import step as init_model

__version__ = "0.1.0"

__all__ = [
    "ChainStep", "Console", "Manifest", "Outcome", "Plan", "Recipe", "RedwhaleError", "chain_steps", "eval_bpb",
    "eval_compare", "eval_harness", "eval_kobest", "eval_retention", "eval_samples", "init_model", "lineage",
    "load_recipe", "pack", "preprocess", "pretrain", "quiet_libraries", "read_manifest", "run_chain", "status",
    "train_tokenizer",
]  # fmt: skip
_MODULES = {
    "eval_bpb": "evaluation.bits", "eval_compare": "evaluation.compare", "eval_harness": "evaluation.harness",
    "eval_kobest": "evaluation.kobest.step", "eval_retention": "evaluation.retention",
    "eval_samples": "evaluation.samples", "init_model": "weights.step", "pack": "training.packing",
    "preprocess": "corpus.step", "pretrain": "training.step", "train_tokenizer": "tokenizer.step",
}  # fmt: skip
_HOMES = {
    "ChainStep": "chain", "Console": "core.console", "Manifest": "core.artifact", "Outcome": "chain",
    "Plan": "core.step", "Recipe": "core.recipe.recipe", "RedwhaleError": "core.errors", "chain_steps": "chain",
    "lineage": "chain_lineage", "load_recipe": "core.recipe.load", "quiet_libraries": "core.console",
    "read_manifest": "core.artifact", "run_chain": "chain",
    "status": "chain_status",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import redwhale`` costs nothing."""
    if name in _MODULES:
        return import_module(f"redwhale.{_MODULES[name]}")
    if name in _HOMES:
        return getattr(import_module(f"redwhale.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'redwhale' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, which a notebook completes."""
    return sorted({*__all__, "__version__"})
