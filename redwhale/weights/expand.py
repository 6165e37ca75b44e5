"""Make the embedding or head of model 0: base rows as they are, new rows by a method, padding."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from redwhale.core.recipe.init import Init, Initialisation
from redwhale.weights.checkpoint import FLOAT_DTYPES, StoredTensor, read_into
from redwhale.weights.matrices import Matrices
from redwhale.weights.methods.new_rows import MatrixName, NewTokens, new_rows
from redwhale.weights.methods.statistics import mean_row
from redwhale.weights.rows import RowLayout
from redwhale.weights.write import Replacement


class Expander:
    """Makes the matrices of model 0, each when its turn to be written comes.

    ``rows_with_noise`` says of each matrix made so far how many new rows were tied.
    """

    def __init__(self, layout: RowLayout, tokens: NewTokens, settings: Init) -> None:
        self._layout, self._tokens = layout, tokens
        self.methods: dict[MatrixName, Initialisation] = {"embedding": settings.embedding, "head": settings.head}
        self.rows_with_noise: dict[MatrixName, int] = {}

    def replacements(self, matrices: Matrices) -> dict[str, Replacement]:
        """Return what is written in place of embedding and head, by name; nothing where no row changes."""
        if not self._layout.new_tokens and self._layout.rows == self._layout.base_rows:
            return {}
        chosen: dict[StoredTensor, MatrixName] = {matrices.embedding: "embedding"}
        if matrices.stored_head is not None:
            chosen[matrices.stored_head] = "embedding" if matrices.tied else "head"
        return {
            stored.name: Replacement((self._layout.rows, stored.shape[1]), partial(self.expand, stored, matrix))
            for stored, matrix in chosen.items()
        }

    def expand(self, stored: StoredTensor, matrix: MatrixName) -> torch.Tensor:
        """Return the matrix ``(rows, d)`` in the stored dtype.

        Base rows are untouched; new rows are cast once, at the end. Padding rows, and rows of base tokens that
        had none, hold the mean of the base tokens' rows.
        """
        layout = self._layout
        expanded = torch.empty(layout.rows, stored.shape[1], dtype=FLOAT_DTYPES[stored.dtype])
        read_into(expanded[: layout.base_rows], stored)
        base = expanded[: layout.known_rows]
        if layout.rows > layout.base_rows:
            expanded[layout.base_rows :] = mean_row(base).to(expanded.dtype)
        made = new_rows(base, self._tokens, method=self.methods[matrix], matrix=matrix)
        expanded[layout.base_tokens : layout.base_tokens + layout.new_tokens] = made.rows.to(expanded.dtype)
        self.rows_with_noise[matrix] = made.rows_with_noise
        return expanded


def expanded_config(config: dict[str, Any], rows: int) -> dict[str, Any]:
    """Return the config with ``vocab_size`` set wherever it stood; every other field stays."""
    changed = dict(config)
    if isinstance(config.get("text_config"), dict):
        changed["text_config"] = config["text_config"] | {"vocab_size": rows}
    if "vocab_size" in config or changed.get("text_config") is None:
        changed["vocab_size"] = rows
    return changed
