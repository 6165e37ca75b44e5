"""Embedding and head in blocks of rows: old, new and padding rows, each a Parameter of its own.

A row that is frozen by a gradient mask still drifts by weight decay and breaks under sharding. Here the
new rows are a separate Parameter, the frozen ones have no gradient at all, and nothing is ever joined:
the embedding looks up in each block, the head fills each block's columns of the logits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.training.loss import summed_cross_entropy

ROWS_NAME = "rows.json"
BLOCKS = ("old", "new", "padding")
WHOLE = "weight"


@dataclass(frozen=True)
class RowLayout:
    """Which rows of a ``(rows, d)`` matrix are old, new and padding, in this order; ``tied``: one matrix for both."""

    first_new_row: int
    new_rows: int
    padding_rows: int
    tied: bool

    @classmethod
    def read(cls, model_folder: Path) -> RowLayout:
        """Read ``rows.json`` of a model folder; raise exit code 2 where it is missing or damaged."""
        path = model_folder / ROWS_NAME
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            return cls(int(raw["first_new_row"]), int(raw["new_rows"]), int(raw["padding_rows"]), bool(raw["tied"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RedwhaleError(
                f"the model does not say which rows are new ({error})", where=str(path),
                fix="make it with `redwhale init-model`", exit_code=USAGE,
            ) from None  # fmt: skip

    @property
    def vocabulary(self) -> int:
        """Return the rows that have a token."""
        return self.first_new_row + self.new_rows

    @property
    def rows(self) -> int:
        """Return all rows."""
        return self.vocabulary + self.padding_rows

    def range_of(self, block: str) -> tuple[int, int]:
        """Return first row and end of ``old``, ``new``, ``padding`` or the whole ``weight``."""
        return {
            WHOLE: (0, self.rows),
            "old": (0, self.first_new_row),
            "new": (self.first_new_row, self.vocabulary),
            "padding": (self.vocabulary, self.rows),
        }[block]


class RowBlocks(nn.Module):
    """Rows of an embedding or a head: one Parameter ``weight``, or ``old``, ``new`` and ``padding``."""

    def __init__(self, blocks: Mapping[str, nn.Parameter]) -> None:
        super().__init__()
        self.block_names = tuple(blocks)
        for name, block in blocks.items():
            self.register_parameter(name, block)

    @property
    def blocks(self) -> list[Tensor]:
        """Return the blocks in row order, each ``(rows, d)``."""
        return [getattr(self, name) for name in self.block_names]


class BlockEmbedding(RowBlocks):
    """Look up ``ids: (B, T) int64`` -> ``(B, T, d)`` in the blocks; ``dtype`` is that of the layers that follow."""

    def __init__(self, blocks: Mapping[str, nn.Parameter], *, dtype: torch.dtype) -> None:
        super().__init__(blocks)
        self.dtype = dtype

    def forward(self, ids: Tensor) -> Tensor:
        """Return the rows of ``ids``; each block gets the gradient of its own rows only."""
        result, start = None, 0
        for block in self.blocks:
            place = ids - start
            found = functional.embedding(place.clamp(0, len(block) - 1), block).to(self.dtype)
            result = found if result is None else torch.where((place >= 0).unsqueeze(-1), found, result)
            start += len(block)
        assert result is not None
        return result


class BlockHead(RowBlocks):
    """Turn hidden states into logits, or straight into the summed loss.

    ``accumulates``: the loss adds to the gradients that the blocks have (``summed_cross_entropy`` says when it may).
    """

    accumulates = False

    def forward(self, hidden: Tensor, labels: Tensor | None = None, *, scale: float = 1.0) -> Tensor:
        """Return logits ``(..., V)``; with ``labels: (...)`` ``scale`` times the summed cross entropy, in float32."""
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.blocks[0].dtype
        hidden = hidden.to(dtype)
        if labels is not None:
            return summed_cross_entropy(
                hidden.flatten(0, -2), labels.flatten(), self.blocks, scale=scale, accumulate=self.accumulates
            )
        logits = [functional.linear(hidden, block.to(dtype)) for block in self.blocks]
        return logits[0] if len(logits) == 1 else torch.cat(logits, dim=-1)


def cut_blocks(matrix: nn.Parameter, layout: RowLayout, word: str) -> dict[str, nn.Parameter]:
    """Return the blocks of ``matrix: (rows, d)`` for ``none``, ``new`` or ``all``: one, or up to three."""
    if word != "new":
        return {WHOLE: matrix}
    blocks = {}
    for name in BLOCKS:
        begin, end = layout.range_of(name)
        if end > begin:
            blocks[name] = nn.Parameter(matrix.detach()[begin:end].clone(), requires_grad=False)
    return blocks


def check_layout(model: Any, layout: RowLayout, *, where: str) -> None:
    """Raise exit code 2 where ``rows.json``, the matrices and their tie disagree, or the head has a bias."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = embedding.weight is head.weight
    if {len(embedding.weight), len(head.weight)} != {layout.rows} or tied != layout.tied:
        raise RedwhaleError(
            f"{ROWS_NAME} says {layout.rows} rows, tied {layout.tied}; the model has {len(embedding.weight)} in the "
            f"embedding and {len(head.weight)} in the head, tied {tied}",
            where=where, fix="make the model again with `redwhale init-model --fresh`", exit_code=USAGE,
        )  # fmt: skip
    if getattr(head, "bias", None) is not None:
        raise RedwhaleError(
            "the head has a bias, which training does not know", where=where, fix="choose a base without one",
            exit_code=USAGE,
        )  # fmt: skip
