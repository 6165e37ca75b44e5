"""Write the model folder: shards with the new matrices, index, config, small files and rows.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from redwhale.core import artifact
from redwhale.core.base import INDEX_NAME
from redwhale.core.publish import write_bytes, write_json
from redwhale.core.recipe.init import Init
from redwhale.weights.checkpoint import (
    CONFIG_NAME,
    Checkpoint,
    Replacement,
    StoredTensor,
    link_or_copy,
    write_index,
    write_shard,
)
from redwhale.weights.expand import EXTENSION_NAME, Matrices, RowLayout, expand_matrix, expanded_config
from redwhale.weights.methods import Decomposition

ROWS_NAME = "rows.json"


def plan_replacements(
    matrices: Matrices, layout: RowLayout, settings: Init, decomposition: Decomposition
) -> dict[str, Replacement]:
    """Return what is written in place of the embedding and the head; nothing where no row changes."""
    if not layout.new_tokens and layout.rows == layout.base_rows:
        return {}
    methods = {matrices.embedding: settings.embedding}
    if matrices.stored_head is not None:
        methods[matrices.stored_head] = settings.embedding if matrices.tied else settings.head

    def maker(stored: StoredTensor, method: str) -> Callable[[], torch.Tensor]:
        return lambda: expand_matrix(stored, layout, method=method, decomposition=decomposition)

    return {
        stored.name: Replacement((layout.rows, stored.shape[1]), maker(stored, method))
        for stored, method in methods.items()
    }


def write_model(
    base: Checkpoint, folder: Path, replacements: Mapping[str, Replacement], *, layout: RowLayout
) -> tuple[list[Path], int]:
    """Write shards, index and config; return the files and how many shards are hard links to the base's."""
    linked = 0
    for shard in base.shards:
        if any(tensor.name in replacements for tensor in shard.tensors):
            write_shard(shard, folder / shard.path.name, replacements)
        else:
            linked += link_or_copy(shard.path, folder / shard.path.name)
    added = [(layout.rows - tensor.shape[0], tensor) for name, tensor in base.tensors.items() if name in replacements]
    write_index(
        base, folder / INDEX_NAME,
        total_bytes=base.bytes + sum(rows * tensor.row_bytes for rows, tensor in added),
        total_parameters=base.parameters + sum(rows * tensor.shape[1] for rows, tensor in added),
    )  # fmt: skip
    write_json(folder / CONFIG_NAME, expanded_config(base.config, layout.rows))
    names = [shard.path.name for shard in base.shards] + [CONFIG_NAME] + ([INDEX_NAME] if base.index else [])
    return [folder / name for name in names], linked


def copy_small_files(carried: Sequence[Path], tokenizer: Path, folder: Path) -> list[Path]:
    """Copy files of the base, and all files of the tokenizer but its own record, into the model folder."""
    from_tokenizer = [tokenizer / record.path for record in artifact.read_manifest(tokenizer).outputs]
    sources = [*carried, *(path for path in from_tokenizer if path.name != EXTENSION_NAME)]
    for path in sources:
        write_bytes(folder / path.name, path.read_bytes())
    return sorted({folder / path.name for path in sources})


def write_rows(folder: Path, matrices: Matrices, layout: RowLayout) -> Path:
    """Write rows.json, by which the training steps know the new rows."""
    path = folder / ROWS_NAME
    write_json(path, {
        "first_new_row": layout.base_tokens, "new_rows": layout.new_tokens, "padding_rows": layout.padding_rows,
        "base_rows": layout.base_rows, "tied": matrices.tied,
    })  # fmt: skip
    return path
