"""Read safetensors checkpoints by their headers, and tensors by rows or in chunks of bytes.

A safetensors file is 8 bytes of little-endian header length, a JSON header with each tensor's dtype,
shape and byte range, and the bytes (https://huggingface.co/docs/safetensors). Nothing here holds more
than one matrix; a 20 GB model passes through a buffer of 8 MiB.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from redwhale.core.base import INDEX_NAME, weight_files
from redwhale.core.errors import USAGE, RedwhaleError

CONFIG_NAME = "config.json"
FLOAT_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_BUFFER_BYTES = 1 << 23
_MOST_HEADER_BYTES = 100_000_000  # the limit of the safetensors library itself


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a shard; ``start`` is the absolute byte position in ``file``."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    bytes: int

    @property
    def elements(self) -> int:
        """Return the count of numbers."""
        return math.prod(self.shape)

    @property
    def row_bytes(self) -> int:
        """Return the bytes of one row (all further dimensions together)."""
        return self.bytes // max(self.shape[0], 1)


@dataclass(frozen=True)
class Shard:
    """One safetensors file, its tensors in the order of their bytes."""

    path: Path
    metadata: dict[str, str]
    tensors: tuple[StoredTensor, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A Hugging Face model folder, opened by its headers alone."""

    folder: Path
    config: dict[str, Any]
    shards: tuple[Shard, ...]
    index: dict[str, Any] | None

    @property
    def tensors(self) -> dict[str, StoredTensor]:
        """Return all tensors by name."""
        return {tensor.name: tensor for shard in self.shards for tensor in shard.tensors}

    @property
    def bytes(self) -> int:
        """Return the bytes of all tensors."""
        return sum(tensor.bytes for tensor in self.tensors.values())

    @property
    def parameters(self) -> int:
        """Return the count of all numbers."""
        return sum(tensor.elements for tensor in self.tensors.values())


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read config, index and shard headers; raise exit code 2 where they are missing, damaged or disagree."""
    path = folder / INDEX_NAME
    shards = tuple(_read_header(shard) for shard in weight_files(folder))
    index = read_json(path) if path.is_file() else None
    _refuse_disagreement(shards, index, path)
    return Checkpoint(folder=folder, config=read_json(folder / CONFIG_NAME), shards=shards, index=index)


def _refuse_disagreement(shards: Sequence[Shard], index: dict[str, Any] | None, path: Path) -> None:
    """Raise exit code 2 where a tensor stands twice, or not in the shard that the index names."""
    holders: dict[str, str] = {}
    for shard in shards:
        for tensor in shard.tensors:
            if tensor.name in holders:
                raise RedwhaleError(
                    f"the tensor {tensor.name} stands in {holders[tensor.name]} too", where=str(shard.path),
                    fix="fetch the model again", exit_code=USAGE,
                )  # fmt: skip
            holders[tensor.name] = shard.path.name
    for name, file in (index["weight_map"] if index else {}).items():
        if holders.get(name) != file:
            raise RedwhaleError(
                f"the index names the tensor {name} in {file}, which lacks it", where=str(path),
                fix="fetch the model again", exit_code=USAGE,
            )  # fmt: skip


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of the base; raise exit code 2 where there is none."""
    fault = "the file holds no JSON object"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        value, fault = None, "the model has no such file"
    except (ValueError, RecursionError) as error:
        value, fault = None, f"the file is no JSON ({error})"
    if not isinstance(value, dict):
        raise RedwhaleError(fault, where=str(path), fix="fetch the base again", exit_code=USAGE)
    return value


def _read_header(path: Path) -> Shard:
    damaged = RedwhaleError(
        "the weights are damaged or cut off", where=str(path), fix="fetch the file again", exit_code=USAGE
    )
    if not path.is_file():
        raise RedwhaleError("the model lacks this shard", where=str(path), fix="fetch the file", exit_code=USAGE)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_MOST_HEADER_BYTES, size - 8):
            raise damaged
        try:
            header = json.loads(file.read(length))
            metadata = dict(header.pop("__metadata__", {}))
            tensors = [_stored(name, entry, path, 8 + length) for name, entry in header.items()]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise damaged from None
    tensors.sort(key=lambda tensor: (tensor.start, tensor.name))
    position = 8 + length
    for tensor in tensors:
        if tensor.start != position:
            raise damaged
        position += tensor.bytes
    if position != size:
        raise damaged
    return Shard(path, metadata, tuple(tensors))


def _stored(name: str, entry: Any, file: Path, data_start: int) -> StoredTensor:
    """Return the tensor of a header's entry; raise ValueError where its numbers are none or do not fit together."""
    begin, end = entry["data_offsets"]
    dtype, shape = entry["dtype"], tuple(entry["shape"])
    if not all(type(number) is int and number >= 0 for number in (begin, end, *shape)) or begin > end:
        raise ValueError(f"{name}: {entry}")
    if dtype in FLOAT_DTYPES and end - begin != math.prod(shape) * FLOAT_DTYPES[dtype].itemsize:
        raise ValueError(f"{name}: {shape} in {end - begin} bytes")
    return StoredTensor(name, str(dtype), shape, file, data_start + begin, end - begin)


def read_rows(tensor: StoredTensor, start: int = 0, stop: int | None = None) -> torch.Tensor:
    """Read rows ``start:stop`` as a (rows, …) tensor in the stored float dtype."""
    stop = tensor.shape[0] if stop is None else stop
    rows = torch.empty(stop - start, *tensor.shape[1:], dtype=FLOAT_DTYPES[tensor.dtype])
    read_into(rows, tensor, start=start)
    return rows


def read_into(rows: torch.Tensor, tensor: StoredTensor, *, start: int = 0) -> None:
    """Fill the contiguous ``rows: (rows, …)`` with a stored tensor's rows from ``start`` on."""
    view = rows.view(torch.uint8).reshape(-1).numpy().data
    position = 0
    for chunk in iterate_bytes(tensor, start=start * tensor.row_bytes, count=len(view)):
        view[position : position + len(chunk)] = chunk
        position += len(chunk)


def iterate_bytes(tensor: StoredTensor, *, start: int = 0, count: int | None = None) -> Iterator[bytes]:
    """Yield ``count`` bytes of a tensor from byte ``start`` on, in chunks of at most 8 MiB."""
    left = tensor.bytes - start if count is None else count
    with tensor.file.open("rb") as file:
        file.seek(tensor.start + start)
        while left:
            chunk = file.read(min(_BUFFER_BYTES, left))
            if not chunk:
                raise RedwhaleError("the weights are cut off", where=str(tensor.file), fix="fetch the file again")
            left -= len(chunk)
            yield chunk
