"""Find the matrices with a row per token, and refuse weights that cannot be extended exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from redwhale.core.errors import USAGE, RedwhaleError, first_line
from redwhale.weights.checkpoint import FLOAT_DTYPES, Checkpoint, StoredTensor, read_rows

# Names by which the families of transformers store them, from the last dot-separated parts on.
EMBEDDING_NAMES = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight")
HEAD_NAMES = ("lm_head.weight", "embed_out.weight")
UNSUPPORTED_NAMES = ("lm_head.bias", "final_logits_bias", "embed_tokens_per_layer.weight")


@dataclass(frozen=True)
class Matrices:
    """The matrices with one row per token. ``stored_head`` of a tied model is a second copy of the embedding."""

    embedding: StoredTensor
    stored_head: StoredTensor | None
    tied: bool


def refuse_unfit_weights(checkpoint: Checkpoint) -> None:
    """Raise exit code 2 for quantised or non-float weights and for other tensors with an entry per token."""
    config = checkpoint.config
    where = str(checkpoint.folder)
    fix = "start from the model's original float weights"
    if config.get("quantization_config") or text_config(config).get("quantization_config"):
        raise RedwhaleError("the base is quantised (`quantization_config`)", where=where, fix=fix, exit_code=USAGE)
    for tensor in checkpoint.tensors.values():
        if tensor.name.endswith("weight") and tensor.dtype not in FLOAT_DTYPES:
            raise RedwhaleError(
                f"the tensor {tensor.name} is {tensor.dtype}, not F32, F16 or BF16", where=where, fix=fix,
                exit_code=USAGE,
            )  # fmt: skip
        if tensor.name.endswith(UNSUPPORTED_NAMES):
            raise RedwhaleError(
                f"the tensor {tensor.name} has an entry per token too, which init-model cannot extend",
                where=where, fix="choose a base without it", exit_code=USAGE,
            )  # fmt: skip


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a config that describes the language model."""
    nested = config.get("text_config")
    return nested if isinstance(nested, dict) else config


def find_matrices(checkpoint: Checkpoint) -> Matrices:
    """Find embedding and head; raise exit code 2 where they are unclear or their rows disagree."""
    embedding = _one(checkpoint, EMBEDDING_NAMES)
    head = _one(checkpoint, HEAD_NAMES)
    where = str(checkpoint.folder)
    if embedding is None:
        raise RedwhaleError(
            f"the base has no token embedding ({', '.join(EMBEDDING_NAMES)})", where=where,
            fix="fetch the missing weights, or choose a base of Llama, Mistral, Qwen, Gemma or GPT-2 shape",
            exit_code=USAGE,
        )  # fmt: skip
    tied = _says_tied(checkpoint, head)
    if head is None and not tied:
        raise RedwhaleError(
            "the base has no output head, yet its config says `tie_word_embeddings: false`", where=where,
            fix="fetch the missing weights, or set `tie_word_embeddings` to true if they are tied", exit_code=USAGE,
        )  # fmt: skip
    rows = {"config.json vocab_size": int(text_config(checkpoint.config).get("vocab_size", -1))}
    rows |= {tensor.name: tensor.shape[0] for tensor in (embedding, head) if tensor}
    if len(set(rows.values())) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in rows.items())
        raise RedwhaleError(
            f"the base's numbers of rows disagree: {shown}", where=where, fix="fetch the base again", exit_code=USAGE
        )
    if tied and head is not None and not torch.equal(read_rows(embedding), read_rows(head)):
        raise RedwhaleError(
            "the config ties embedding and head, yet the stored ones differ", where=where,
            fix="set `tie_word_embeddings` in config.json to what the model was trained with", exit_code=USAGE,
        )  # fmt: skip
    return Matrices(embedding, head, tied)


def _one(checkpoint: Checkpoint, names: Sequence[str]) -> StoredTensor | None:
    found = [
        tensor for name, tensor in checkpoint.tensors.items() if any(name == n or name.endswith("." + n) for n in names)
    ]
    if len(found) > 1:
        raise RedwhaleError(
            f"several tensors could be meant: {', '.join(tensor.name for tensor in found)}",
            where=str(checkpoint.folder), fix="choose a base with one language model", exit_code=USAGE,
        )  # fmt: skip
    if found and len(found[0].shape) != 2:
        raise RedwhaleError(
            f"{found[0].name} has the shape {list(found[0].shape)}, it is no matrix", where=str(checkpoint.folder),
            fix="choose a base of Llama, Mistral, Qwen, Gemma or GPT-2 shape", exit_code=USAGE,
        )  # fmt: skip
    return found[0] if found else None


def _says_tied(checkpoint: Checkpoint, head: StoredTensor | None) -> bool:
    for config in (checkpoint.config, text_config(checkpoint.config)):
        if isinstance(config.get("tie_word_embeddings"), bool):
            return bool(config["tie_word_embeddings"])
    if head is None:
        return True
    return _default_tied(checkpoint.folder)


def _default_tied(folder: Path) -> bool:
    """Ask transformers what the model's class assumes where the config is silent."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, KeyError, OSError) as error:
        raise RedwhaleError(
            f"transformers cannot read the config ({first_line(error)})", where=str(folder / "config.json"),
            fix="choose a base that transformers knows without remote code", exit_code=USAGE,
        ) from None  # fmt: skip
    return bool(getattr(config.get_text_config(), "tie_word_embeddings", False))
