"""Prove an initialised model's files against its base, by reading both from disk again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from redwhale.core.errors import RedwhaleError
from redwhale.weights.checkpoint import Checkpoint, StoredTensor, iterate_bytes, read_rows
from redwhale.weights.matrices import Matrices, text_config
from redwhale.weights.methods.noise import row_digests
from redwhale.weights.rows import RowLayout
from redwhale.weights.write import WrittenShard, WrittenTensor

_CHUNK_ROWS = 8192


def verify_weights(
    shards: Sequence[WrittenShard],
    made: Checkpoint,
    copied: Mapping[str, bytes],
    *,
    layout: RowLayout,
    matrices: Matrices,
) -> dict[str, Any]:
    """Check every tensor of ``made`` against the base's and return the metrics of the new rows.

    ``copied`` are the digests (blake2b) that the base's tensors had when they were copied; a tensor that is not
    among them and stands in a linked or copied file is compared with the base itself.

    Raises exit code 1 where a base row, a copied or another tensor differs by a byte, a shape is not the
    config's, or a number is not finite.
    """
    planned = {tensor.name: tensor for shard in shards for tensor in shard.tensors}
    found = made.tensors
    if planned.keys() != found.keys():
        raise broken("the tensors' names are not those planned", made.folder)
    if text_config(made.config).get("vocab_size") != layout.rows:
        raise broken(f"vocab_size is not {layout.rows}", made.folder / "config.json")
    for name, tensor in planned.items():
        _verify_tensor(tensor, found[name], copied.get(name), layout)
    metrics = {"embedding": measure_rows(found[matrices.embedding.name], layout)}
    if matrices.stored_head is not None and not matrices.tied:
        metrics["head"] = measure_rows(found[matrices.stored_head.name], layout)
    return metrics


def _verify_tensor(planned: WrittenTensor, found: StoredTensor, copied: bytes | None, layout: RowLayout) -> None:
    source = planned.source
    if (found.shape, found.dtype) != (planned.shape, source.dtype):
        raise broken(f"the tensor {found.name} has shape {found.shape}, dtype {found.dtype}", found.file)
    if planned.replacement is not None:
        for start, stop in layout.kept_ranges:
            if not _same_bytes(source, found, rows=(start, stop)):
                raise broken(f"base rows of {found.name} differ", found.file)
    elif planned.zero:
        if any(chunk.count(0) < len(chunk) for chunk in iterate_bytes(found)):
            raise broken(f"the tensor {found.name} is not zero", found.file)
    elif _digest(found) != copied if copied is not None else not _same_bytes(source, found):
        raise broken(f"the tensor {found.name} differs from the base's {source.name}", found.file)


def _digest(tensor: StoredTensor) -> bytes:
    digest = hashlib.blake2b()
    for chunk in iterate_bytes(tensor):
        digest.update(chunk)
    return digest.digest()


def broken(what: str, where: Path) -> RedwhaleError:
    """Return the error of a made model that failed a check."""
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
    norms, digests = [torch.empty(0)], set[bytes]()
    for begin in range(start, stop, _CHUNK_ROWS):
        chunk = read_rows(tensor, begin, min(begin + _CHUNK_ROWS, stop))
        if not bool(torch.isfinite(chunk).all()):
            raise broken(f"{tensor.name} holds numbers that are not finite, in row {begin} or after", tensor.file)
        norms.append(chunk.float().norm(dim=1))
        digests.update(row_digests(chunk))
    return torch.cat(norms), digests


def _spread(norms: torch.Tensor) -> dict[str, float]:
    return {
        "lowest": round(float(norms.min()), 6),
        "median": round(float(norms.median()), 6),
        "highest": round(float(norms.max()), 6),
    }
