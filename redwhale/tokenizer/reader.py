"""Load a tokenizer as all encoding for training and measurement uses it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from redwhale.core.artifact import Input, Manifest, digest_inputs
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.tokenizer.base import JSON_NAME, read_base, tokenizer_files
from redwhale.tokenizer.extend import TOKENIZER_CLASS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SHAPE_ROLE = "base config.json"
"""The base's shape, which `new_tokens: auto` reads: an input of the tokenizer, but no part of the base's own."""


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a base, a tokenizer artifact or a model, with special parsing off.

    Text such as ``</s>`` in a document stays text. A folder without tokenizer.json, or with one whose
    merges contradict its tokenizer.model, is read as the train-tokenizer step reads it.
    """
    from transformers import PreTrainedTokenizerFast as Fast

    base = read_base(folder)
    if (folder / JSON_NAME).is_file() and not base.notes and base.config.get("tokenizer_class") == TOKENIZER_CLASS:
        loaded = Fast.from_pretrained(folder, split_special_tokens=True)
        for role, token in base.special.items():
            if getattr(loaded, role) is None:
                setattr(loaded, role, token)
    else:
        loaded = Fast(tokenizer_object=base.tokenizer(), split_special_tokens=True, **base.special)
    loaded.backend_tokenizer.encode_special_tokens = True
    return loaded


def tokenizer_input(recipe: Recipe) -> Input:
    """Return the recipe's tokenizer as what a later step reads."""
    return Input("tokenizer", recipe.tokenizer_folder, recipe.command("train-tokenizer"))


def refuse_other_base(manifest: Manifest, base: Path, *, where: str) -> None:
    """Raise exit code 2 where a tokenizer artifact was made from another base's tokenizer than ``base`` has."""
    found = digest_inputs([Input(f"base {path.name}", path) for path in tokenizer_files(base)])
    roles = {role for record in manifest.inputs if (role := record.role).startswith("base ")} - {SHAPE_ROLE}
    made_from = {record.role: record.digest for record in manifest.inputs if record.role in roles}
    if {record.role: record.digest for record in found} != made_from:
        raise RedwhaleError(
            "the tokenizer was made from another base", where=where,
            fix="name the base that it was made from, or make the tokenizer again with --fresh", exit_code=USAGE,
        )  # fmt: skip
