"""Add rows to the embedding and the head: which matrices, how many rows, and what stands in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.weights.checkpoint import FLOAT_DTYPES, Checkpoint, StoredTensor, read_into, read_rows
from redwhale.weights.methods import METHODS, mean_row

EXTENSION_NAME = "extension.json"
# Names by which the families of transformers store them, from the last dot-separated parts on.
EMBEDDING_NAMES = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight")
HEAD_NAMES = ("lm_head.weight", "embed_out.weight")
# Known bases have at most 2,400 rows of padding (DeepSeek: 100,002 tokens, 102,400 rows).
_MOST_PADDING_ROWS, _MOST_PADDING_SHARE = 1024, 0.05
UNSUPPORTED_NAMES = ("lm_head.bias", "final_logits_bias", "embed_tokens_per_layer.weight")


@dataclass(frozen=True)
class Matrices:
    """The matrices with one row per token. ``stored_head`` of a tied model is a second copy of the embedding."""

    embedding: StoredTensor
    stored_head: StoredTensor | None
    tied: bool


@dataclass(frozen=True)
class RowLayout:
    """Which rows hold what: base tokens, then new tokens, then padding.

    ``base_tokens`` ids have a token in the base tokenizer, ``base_rows`` rows stand in the base
    (more where it is padded), ``rows`` stand in the model to be made.
    """

    base_tokens: int
    base_rows: int
    new_tokens: int
    rows: int

    @property
    def known_rows(self) -> int:
        """Return the base tokens that have a row in the base: ids from 0 on."""
        return min(self.base_tokens, self.base_rows)

    @property
    def rowless_tokens(self) -> int:
        """Return the added tokens of the base tokenizer for which its model has no row."""
        return self.base_tokens - self.known_rows

    @property
    def reused_rows(self) -> int:
        """Return the base's padding rows that new tokens take over."""
        return min(self.new_tokens, self.base_rows - self.known_rows)

    @property
    def padding_rows(self) -> int:
        """Return the rows after the last token."""
        return self.rows - self.base_tokens - self.new_tokens

    @property
    def kept_ranges(self) -> list[tuple[int, int]]:
        """Return the row ranges that are the base's own, bit for bit."""
        after = self.base_tokens + self.new_tokens
        return [(0, self.known_rows)] + ([(after, self.base_rows)] if after < self.base_rows else [])

    def counts(self) -> dict[str, int]:
        """Return the layout in numbers, for the manifest."""
        return {
            "base_tokens": self.base_tokens, "base_rows": self.base_rows, "new_rows": self.new_tokens,
            "rowless_base_tokens": self.rowless_tokens, "reused_rows": self.reused_rows,
            "padding_rows": self.padding_rows, "rows": self.rows,
        }  # fmt: skip


@dataclass(frozen=True)
class Extension:
    """What the tokenizer step added: ids from ``base_tokens`` on, and the base ids that spell each.

    ``spare`` are ids of added base tokens that are not special: a model may lack rows for these, as they
    stand for nothing it was trained on.
    """

    base_tokens: int
    decomposition: list[list[int]]
    spare: frozenset[int] = frozenset()


def read_extension(tokenizer_folder: Path) -> Extension:
    """Read extension.json and the added tokens; raise exit code 2 where the parts disagree."""
    path = tokenizer_folder / EXTENSION_NAME
    raw = json.loads(path.read_text(encoding="utf-8"))
    if not raw["new_tokens"] == len(raw["decomposition"]) == len(raw["pieces"]):
        raise RedwhaleError(
            f"{raw['new_tokens']} new tokens, yet {len(raw['pieces'])} pieces and "
            f"{len(raw['decomposition'])} decompositions", where=str(path),
            fix="make it again with `redwhale train-tokenizer --fresh`", exit_code=USAGE,
        )  # fmt: skip
    document = json.loads((tokenizer_folder / "tokenizer.json").read_text(encoding="utf-8"))
    spare = {token["id"] for token in document.get("added_tokens") or [] if not token.get("special")}
    return Extension(
        raw["base_tokens"], raw["decomposition"], frozenset(spare - set(document["model"]["vocab"].values()))
    )


def plan_rows(extension: Extension, base_rows: int, *, pad_rows_to: int) -> RowLayout:
    """Return the layout; rows are added, and then padded, only where the base's rows do not suffice.

    Raises exit code 2 where the base has fewer rows than its tokenizer has tokens, ``spare`` ones at the
    end excepted.
    """
    rowless = set(range(base_rows, extension.base_tokens))
    if rowless - extension.spare:
        raise RedwhaleError(
            f"the tokenizer does not fit the model: {extension.base_tokens} base tokens, {base_rows} rows",
            where="base", fix="use the tokenizer of this very model, without special tokens it has no rows for",
            exit_code=USAGE,
        )  # fmt: skip
    spare = base_rows - extension.base_tokens
    if spare > max(_MOST_PADDING_ROWS, _MOST_PADDING_SHARE * base_rows):
        raise RedwhaleError(
            f"the tokenizer does not fit the model: {extension.base_tokens} base tokens, {base_rows} rows, and rows "
            "without a token would be taken for padding", where="base",
            fix="use the tokenizer of this very model", exit_code=USAGE,
        )  # fmt: skip
    needed = extension.base_tokens + len(extension.decomposition)
    rows = base_rows if needed <= base_rows else -(-needed // pad_rows_to) * pad_rows_to
    return RowLayout(extension.base_tokens, base_rows, len(extension.decomposition), rows)


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
            f"the base has no token embedding ({', '.join(EMBEDDING_NAMES)})", where=where, exit_code=USAGE
        )
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
        raise RedwhaleError(f"the base's numbers of rows disagree: {shown}", where=where, exit_code=USAGE)
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
        raise RedwhaleError(f"{found[0].name} is no matrix", where=str(checkpoint.folder), exit_code=USAGE)
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
            f"transformers cannot read the config ({str(error).splitlines()[0]})", where=str(folder / "config.json"),
            fix="choose a base that transformers knows without remote code", exit_code=USAGE,
        ) from None  # fmt: skip
    return bool(getattr(config.get_text_config(), "tie_word_embeddings", False))


def expand_matrix(
    stored: StoredTensor, layout: RowLayout, *, method: str, decomposition: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Return the matrix ``(rows, d)`` in the stored dtype: base rows untouched, new rows by ``method``.

    The arithmetic is float32, cast once at the end. Padding rows,
    and rows of base tokens that had none, hold the mean of the base tokens' rows.
    Raises exit code 2 for a decomposition that is empty or names an id which is no base token.
    """
    for token, pieces in enumerate(decomposition):
        if not pieces or min(pieces) < 0 or max(pieces) >= layout.known_rows:
            raise RedwhaleError(
                f"new token {token} is made of {list(pieces)}, not of base ids below {layout.known_rows}",
                where="extension.json: decomposition", fix="make the tokenizer again with --fresh", exit_code=USAGE,
            )  # fmt: skip
    matrix = torch.empty(layout.rows, stored.shape[1], dtype=FLOAT_DTYPES[stored.dtype])
    read_into(matrix[: layout.base_rows], stored)
    base = matrix[: layout.known_rows]
    if layout.rows > layout.base_rows:
        matrix[layout.base_rows :] = mean_row(base).to(matrix.dtype)
    if layout.new_tokens:
        first, last = layout.base_tokens, layout.base_tokens + layout.new_tokens
        matrix[first:last] = METHODS[method](base, decomposition).to(matrix.dtype)
    return matrix


def expanded_config(config: dict[str, Any], rows: int) -> dict[str, Any]:
    """Return the config with ``vocab_size`` set wherever it stood; every other field stays."""
    changed = dict(config)
    if isinstance(config.get("text_config"), dict):
        changed["text_config"] = config["text_config"] | {"vocab_size": rows}
    if "vocab_size" in config or changed.get("text_config") is None:
        changed["vocab_size"] = rows
    return changed
