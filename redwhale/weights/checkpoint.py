"""Stream safetensors checkpoints: headers are parsed, tensors are read by rows, shards are written in passing.

A safetensors file is 8 bytes of little-endian header length, a JSON header with each tensor's dtype,
shape and byte range, and the bytes (https://huggingface.co/docs/safetensors). Nothing here holds more
than one matrix; a 20 GB model passes through a buffer of 8 MiB.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from redwhale.core.base import INDEX_NAME, weight_files
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.publish import atomic_file, write_json

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
    """Read config, index and shard headers; raise exit code 2 where they are missing or damaged."""
    index = folder / INDEX_NAME
    return Checkpoint(
        folder=folder,
        config=_read_json(folder / CONFIG_NAME),
        shards=tuple(_read_header(path) for path in weight_files(folder)),
        index=_read_json(index) if index.is_file() else None,
    )


def _read_json(path: Path) -> dict[str, Any]:
    fault = "the file holds no JSON object"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        value, fault = None, "the model has no such file"
    except ValueError as error:
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
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= _MOST_HEADER_BYTES:
            raise damaged
        try:
            header = json.loads(file.read(length))
            metadata = header.pop("__metadata__", {})
            tensors = [
                StoredTensor(name, str(entry["dtype"]), tuple(entry["shape"]), path, 8 + length + begin, end - begin)
                for name, entry in header.items()
                for begin, end in [entry["data_offsets"]]
            ]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise damaged from None
    tensors.sort(key=lambda tensor: (tensor.start, tensor.name))
    position = 8 + length
    for tensor in tensors:
        if tensor.start != position or tensor.bytes < 0:
            raise damaged
        position += tensor.bytes
    if position != path.stat().st_size:
        raise damaged
    return Shard(path, metadata, tuple(tensors))


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


@dataclass(frozen=True)
class Replacement:
    """A tensor to write in place of a stored one: its shape, and ``make`` which computes it when its turn comes."""

    shape: tuple[int, ...]
    make: Callable[[], torch.Tensor]


def write_shard(shard: Shard, target: Path, replacements: Mapping[str, Replacement]) -> None:
    """Publish a copy of ``shard`` with some tensors replaced, one of them in memory at a time."""
    header: dict[str, Any] = {"__metadata__": shard.metadata} if shard.metadata else {}
    position = 0
    for tensor in shard.tensors:
        replacement = replacements.get(tensor.name)
        shape = replacement.shape if replacement else tensor.shape
        size = tensor.row_bytes * shape[0] if replacement else tensor.bytes
        header[tensor.name] = {
            "dtype": tensor.dtype, "shape": list(shape), "data_offsets": [position, position + size],
        }  # fmt: skip
        position += size
    encoded = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    encoded += b" " * (-len(encoded) % 8)
    with atomic_file(target) as temporary, temporary.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for tensor in shard.tensors:
            if replacement := replacements.get(tensor.name):
                _write_tensor(file, replacement.make(), tensor, replacement.shape)
            else:
                for chunk in iterate_bytes(tensor):
                    file.write(chunk)


def _write_tensor(file: BinaryIO, value: torch.Tensor, stored: StoredTensor, shape: tuple[int, ...]) -> None:
    assert tuple(value.shape) == shape and value.dtype == FLOAT_DTYPES[stored.dtype], stored.name
    file.write(value.contiguous().view(torch.uint8).numpy().data)


def link_or_copy(source: Path, target: Path) -> bool:
    """Publish ``source`` under ``target`` by hard link; copy where that is not possible. Tell whether it linked."""
    with atomic_file(target) as temporary:
        try:
            os.link(source.resolve(), temporary)
            return True
        except OSError:  # another file system, or a file of another user
            shutil.copyfile(source, temporary)
            return False


def write_index(checkpoint: Checkpoint, target: Path, *, total_bytes: int, total_parameters: int) -> None:
    """Publish the shard index with the new totals; a checkpoint of one file has none."""
    if checkpoint.index is None:
        return
    metadata = dict(checkpoint.index.get("metadata") or {}) | {"total_size": total_bytes}
    if "total_parameters" in metadata:
        metadata["total_parameters"] = total_parameters
    write_json(target, checkpoint.index | {"metadata": metadata})
