"""Open base and tokenizer for init-model and lay out what is to be made, with nothing written yet."""

from __future__ import annotations

from dataclasses import dataclass

from redwhale.core.base import base_folder
from redwhale.core.recipe.init import Init
from redwhale.core.recipe.recipe import Recipe
from redwhale.weights.checkpoint import CONFIG_NAME, Checkpoint, open_checkpoint, read_json
from redwhale.weights.layers import DeeperModel, plan_layers
from redwhale.weights.matrices import Matrices, find_matrices, refuse_unfit_weights
from redwhale.weights.methods.new_rows import NewTokens
from redwhale.weights.rows import (
    RowLayout,
    plan_rows,
    read_extension,
    refuse_claimed_ids,
    refuse_unknown_pieces,
)

GENERATION_CONFIG_NAME = "generation_config.json"


@dataclass(frozen=True)
class Prepared:
    """The opened base, its matrices, the rows and layers to make, and the new tokens."""

    base: Checkpoint
    matrices: Matrices
    layout: RowLayout
    deeper: DeeperModel | None
    tokens: NewTokens


def prepare(recipe: Recipe, settings: Init) -> Prepared:
    """Check base and tokenizer against each other; raise exit code 2 where they do not fit.

    ``read_rows(matrix, 0, layout.known_rows)`` and ``tokens`` are what `methods.new_rows.new_rows` takes.
    """
    base = open_checkpoint(base_folder(recipe, weights=True, fetch=False))
    refuse_unfit_weights(base)
    extension = read_extension(recipe.tokenizer_folder)
    matrices = find_matrices(base)
    layout = plan_rows(extension, matrices.embedding.shape[0], pad_rows_to=settings.pad_rows_to)
    refuse_unknown_pieces(extension, layout)
    configs = {CONFIG_NAME: base.config}
    if (base.folder / GENERATION_CONFIG_NAME).is_file():
        configs[GENERATION_CONFIG_NAME] = read_json(base.folder / GENERATION_CONFIG_NAME)
    refuse_claimed_ids(configs, layout)
    tokens = NewTokens(
        pieces=extension.pieces, decomposition=extension.decomposition, first_new=layout.base_tokens,
        base_ids=layout.known_rows, base=base.folder, tokenizer=recipe.tokenizer_folder, corpus=recipe.corpus_folder,
        align_sample=settings.align_sample, seed=recipe.seed,
    )  # fmt: skip
    return Prepared(base, matrices, layout, plan_layers(base, settings.add_layers), tokens)
