"""Prove an initialised model against its base, by reading both from disk again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.weights.checkpoint import Checkpoint, StoredTensor, iterate_bytes, read_rows
from redwhale.weights.expand import Matrices, RowLayout, text_config

LEAK_MODEL_BYTES = 2 * 10**9
_LEAK_MOST_TOKENS = 256
_CHUNK_ROWS = 8192
ENGLISH_TEXT = (
    "The old harbour lies between two hills, and on clear mornings the boats leave before the sun is up. "
    "Most families here have fished for generations, but the young often move to the city to study or to "
    "look for work. Last year the town council opened a small library in the former post office. Children "
    "come after school to read, and in the evening their parents meet to talk about prices, the weather and "
    "the plans for a new road. Nobody expects things to change quickly. Still, when the first bus arrived in "
    "spring, people stood along the street and waved."
)


def verify_weights(base: Checkpoint, made: Checkpoint, *, layout: RowLayout, matrices: Matrices) -> dict[str, Any]:
    """Check every tensor of ``made`` against ``base`` and return the metrics of the new rows.

    Raises exit code 1 where a base row or another tensor differs by a byte, a shape is not the
    config's, or a number is not finite.
    """
    expanded = {m.name: m for m in (matrices.embedding, matrices.stored_head) if m is not None}
    old, new = base.tensors, made.tensors
    if old.keys() != new.keys():
        raise _broken("the tensors' names differ from the base's", made.folder)
    if text_config(made.config).get("vocab_size") != layout.rows:
        raise _broken(f"vocab_size is not {layout.rows}", made.folder / "config.json")
    for name, tensor in old.items():
        if name not in expanded:
            if (tensor.dtype, tensor.shape) != (new[name].dtype, new[name].shape) or not _same_bytes(tensor, new[name]):
                raise _broken(f"the tensor {name} differs from the base's", new[name].file)
            continue
        if new[name].shape != (layout.rows, tensor.shape[1]) or new[name].dtype != tensor.dtype:
            raise _broken(f"the tensor {name} has shape {new[name].shape}, dtype {new[name].dtype}", new[name].file)
        for start, stop in layout.kept_ranges:
            if not _same_bytes(tensor, new[name], rows=(start, stop)):
                raise _broken(f"base rows of {name} differ", new[name].file)
    metrics = {"embedding": measure_rows(new[matrices.embedding.name], layout)}
    if matrices.stored_head is not None and not matrices.tied:
        metrics["head"] = measure_rows(new[matrices.stored_head.name], layout)
    return metrics


def _broken(what: str, where: Path) -> RedwhaleError:
    return RedwhaleError(
        f"the initialised model failed its check: {what}", where=str(where), fix="make it again with --fresh"
    )


def _same_bytes(old: StoredTensor, new: StoredTensor, rows: tuple[int, int] | None = None) -> bool:
    if rows is None:
        if old.bytes != new.bytes:
            return False
        if old.file.samefile(new.file) and old.start == new.start:
            return True  # a hard link: the very same bytes
        start, count = 0, old.bytes
    else:
        start, count = rows[0] * old.row_bytes, (rows[1] - rows[0]) * old.row_bytes
    pairs = zip(iterate_bytes(old, start=start, count=count), iterate_bytes(new, start=start, count=count), strict=True)
    return all(left == right for left, right in pairs)


def measure_rows(tensor: StoredTensor, layout: RowLayout) -> dict[str, Any]:
    """Return norms (L2) of base and new rows, and how many new rows are distinct; raise for numbers not finite."""
    end = layout.base_tokens + layout.new_tokens
    base_norms, _ = _norms_and_digests(tensor, 0, layout.known_rows)
    new_norms, new_digests = _norms_and_digests(tensor, layout.base_tokens, end)
    for start, stop in ((layout.known_rows, layout.base_tokens), (end, layout.rows)):
        _norms_and_digests(tensor, start, stop)
    outside = (new_norms < base_norms.min()) | (new_norms > base_norms.max())
    return {
        "base_norm": _spread(base_norms),
        "new_norm": _spread(new_norms) if layout.new_tokens else None,
        "new_rows_outside_base_norms": int(outside.sum()),
        "distinct_new_rows": len(new_digests),
    }


def _norms_and_digests(tensor: StoredTensor, start: int, stop: int) -> tuple[torch.Tensor, set[bytes]]:
    norms, digests = [torch.empty(0)], set()
    for begin in range(start, stop, _CHUNK_ROWS):
        chunk = read_rows(tensor, begin, min(begin + _CHUNK_ROWS, stop))
        if not bool(torch.isfinite(chunk).all()):
            raise _broken(f"{tensor.name} holds numbers that are not finite, in row {begin} or after", tensor.file)
        norms.append(chunk.float().norm(dim=1))
        digests |= {hashlib.blake2b(row, digest_size=16).digest() for row in chunk.view(torch.uint8).numpy()}
    return torch.cat(norms), digests


def _spread(norms: torch.Tensor) -> dict[str, float]:
    return {
        "lowest": round(float(norms.min()), 6),
        "median": round(float(norms.median()), 6),
        "highest": round(float(norms.max()), 6),
    }


def leak(logits: torch.Tensor, first_new_row: int) -> dict[str, float]:
    """Return the probability mass on rows from ``first_new_row`` on; ``logits: (positions, rows) float32``.

    Equal logits of the old tokens do not keep their probabilities: copies of one frequent row can take
    nearly all of it. ``mean`` and ``highest`` are over positions.
    """
    mass = torch.softmax(logits, dim=-1)[:, first_new_row:].sum(dim=-1)
    return {"mean": float(mass.mean()), "highest": float(mass.max())}


def measure_on_english(base_folder: Path, made_folder: Path, *, ids: list[int], layout: RowLayout) -> dict[str, Any]:
    """Run base and made model (float32, CPU) on the ids of an English text; return leak and change of old logits."""
    ids = ids[:_LEAK_MOST_TOKENS]
    old, new = _logits(base_folder, ids), _logits(made_folder, ids)
    kept = layout.known_rows
    return {
        "english_tokens": len(ids),
        "leak": leak(new, kept),
        "leak_of_base": leak(old, kept),
        "old_logits_change": float((new[:, :kept] - old[:, :kept]).abs().max()),
    }


def _logits(folder: Path, ids: list[int]) -> torch.Tensor:
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=True
        )
    except (ValueError, KeyError, OSError) as error:
        raise RedwhaleError(
            f"transformers cannot load the model ({str(error).strip().splitlines()[0]})", where=str(folder),
            fix="choose a base that transformers knows without remote code", exit_code=USAGE,
        ) from error  # fmt: skip
    model.eval()
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float()
