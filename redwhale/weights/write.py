"""Write the model folder: shards in passing, index, config, small files, rows.json and layers.json.

Nothing here holds more than one matrix; a 20 GB model passes through a buffer of 8 MiB.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from redwhale.core import artifact
from redwhale.core.base import INDEX_NAME
from redwhale.core.errors import RESOURCES, RedwhaleError
from redwhale.core.publish import atomic_file, write_bytes, write_json
from redwhale.weights.checkpoint import CONFIG_NAME, FLOAT_DTYPES, Checkpoint, Shard, StoredTensor, iterate_bytes
from redwhale.weights.layers import DeeperModel
from redwhale.weights.matrices import Matrices
from redwhale.weights.rows import EXTENSION_NAME, ROWS_NAME, RowLayout

LAYERS_NAME = "layers.json"
_CHUNK_BYTES = 1 << 23


@dataclass(frozen=True)
class Replacement:
    """What is written in place of a stored matrix: its shape, and ``make`` which computes it when its turn comes."""

    shape: tuple[int, ...]
    make: Callable[[], torch.Tensor]


@dataclass(frozen=True)
class WrittenTensor:
    """One tensor of a shard to be made: the bytes of ``source``, zeros of its shape, or its replacement."""

    name: str
    source: StoredTensor
    zero: bool = False
    replacement: Replacement | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape it is written in."""
        return self.replacement.shape if self.replacement else self.source.shape

    @property
    def bytes(self) -> int:
        """Return the bytes it takes."""
        return self.source.row_bytes * self.shape[0] if self.replacement else self.source.bytes

    @property
    def elements(self) -> int:
        """Return the count of numbers."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class WrittenShard:
    """A shard to be made from the base's ``source``, under the same file name."""

    source: Shard
    tensors: tuple[WrittenTensor, ...]

    @property
    def is_unchanged(self) -> bool:
        """Tell whether the base's file can be linked."""
        return len(self.tensors) == len(self.source.tensors) and all(
            tensor.replacement is None and not tensor.zero and tensor.name == tensor.source.name
            for tensor in self.tensors
        )

    @property
    def bytes(self) -> int:
        """Return the bytes of its tensors."""
        return sum(tensor.bytes for tensor in self.tensors)


def plan_shards(
    base: Checkpoint, replacements: Mapping[str, Replacement], deeper: DeeperModel | None
) -> list[WrittenShard]:
    """Return what every shard of the made model holds; copies of a layer stand in the shard of their source."""
    shards = []
    for shard in base.shards:
        tensors = [
            WrittenTensor(name, stored, zero=zero, replacement=replacements.get(stored.name))
            for stored in shard.tensors
            for name, zero in (deeper.names(stored.name) if deeper else [(stored.name, False)])
        ]
        shards.append(WrittenShard(shard, tuple(tensors)))
    return shards


def refuse_full_disk(shards: Sequence[WrittenShard], folder: Path) -> None:
    """Raise exit code 4 where the disk has no room for the shards that cannot be hard links."""
    device = folder.stat().st_dev
    needed = sum(
        shard.bytes for shard in shards
        if not (shard.is_unchanged and shard.source.path.resolve().stat().st_dev == device)
    )  # fmt: skip
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise RedwhaleError(
            f"the weights to be written take {needed:,} bytes, the disk has {free:,}", where=str(folder),
            fix="free space, or set `workdir` to another disk", exit_code=RESOURCES,
        )  # fmt: skip


@dataclass
class WrittenWeights:
    """What has been written: files, hard links among them, and digests taken on the way.

    ``sha256`` are of files written anew, ``copied`` (blake2b) of the base's bytes of each tensor in them, by its
    new name: so neither the base nor the files need to be read again for either.
    """

    files: list[Path] = field(default_factory=list)
    linked: int = 0
    sha256: dict[Path, str] = field(default_factory=dict)
    copied: dict[str, bytes] = field(default_factory=dict)


def write_shards(shards: Sequence[WrittenShard], folder: Path) -> WrittenWeights:
    """Link every shard that is unchanged, write the others."""
    written = WrittenWeights()
    for shard in shards:
        target = folder / shard.source.path.name
        written.files.append(target)
        if shard.is_unchanged:
            written.linked += link_or_copy(shard.source.path, target)
        else:
            written.sha256[target] = write_shard(shard, target, written.copied)
    return written


def write_shard(shard: WrittenShard, target: Path, copied: dict[str, bytes]) -> str:
    """Publish one safetensors file, with one replaced matrix in memory at a time; return its sha256.

    Digests of tensors that are copied from the base are added to ``copied``.
    """
    header: dict[str, Any] = {"__metadata__": shard.source.metadata} if shard.source.metadata else {}
    position = 0
    for tensor in shard.tensors:
        header[tensor.name] = {
            "dtype": tensor.source.dtype, "shape": list(tensor.shape),
            "data_offsets": [position, position + tensor.bytes],
        }  # fmt: skip
        position += tensor.bytes
    encoded = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    encoded += b" " * (-len(encoded) % 8)
    digest = hashlib.sha256()
    with atomic_file(target, size_bytes=shard.bytes) as temporary, temporary.open("wb") as file:
        for chunk in _chunks(shard, len(encoded).to_bytes(8, "little") + encoded, copied):
            file.write(chunk)
            digest.update(chunk)
    return digest.hexdigest()


def _chunks(shard: WrittenShard, head: bytes, copied: dict[str, bytes]) -> Iterator[bytes | memoryview]:
    yield head
    for tensor in shard.tensors:
        if tensor.replacement is not None:
            value = tensor.replacement.make()
            assert tuple(value.shape) == tensor.shape and value.dtype == FLOAT_DTYPES[tensor.source.dtype], tensor.name
            yield value.contiguous().view(torch.uint8).numpy().data
        elif tensor.zero:
            yield from (bytes(min(_CHUNK_BYTES, tensor.bytes - at)) for at in range(0, tensor.bytes, _CHUNK_BYTES))
        else:
            digest = hashlib.blake2b()
            for chunk in iterate_bytes(tensor.source):
                digest.update(chunk)
                yield chunk
            copied[tensor.name] = digest.digest()


def link_or_copy(source: Path, target: Path) -> bool:
    """Publish ``source`` under ``target`` by hard link; copy where that is not possible. Tell whether it linked."""
    with atomic_file(target) as temporary:
        try:
            os.link(source.resolve(), temporary)
            return True
        except OSError:  # another file system, or a file of another user
            shutil.copyfile(source, temporary)
            return False


def write_index(base: Checkpoint, shards: Sequence[WrittenShard], folder: Path) -> list[Path]:
    """Publish the shard index with names and totals as they are now; a checkpoint of one file has none."""
    if base.index is None:
        return []
    tensors = [(tensor, shard.source.path.name) for shard in shards for tensor in shard.tensors]
    metadata = dict(base.index.get("metadata") or {}) | {"total_size": sum(tensor.bytes for tensor, _ in tensors)}
    if "total_parameters" in metadata:
        metadata["total_parameters"] = sum(tensor.elements for tensor, _ in tensors)
    weight_map = {tensor.name: file for tensor, file in sorted(tensors, key=lambda pair: pair[0].name)}
    write_json(folder / INDEX_NAME, base.index | {"metadata": metadata, "weight_map": weight_map})
    return [folder / INDEX_NAME]


def write_config(config: dict[str, Any], folder: Path) -> Path:
    """Publish config.json."""
    write_json(folder / CONFIG_NAME, config)
    return folder / CONFIG_NAME


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


def write_layers(folder: Path, deeper: DeeperModel | None) -> list[Path]:
    """Write layers.json, by which the training steps know added layers; nothing where there are none."""
    if deeper is None:
        return []
    write_json(folder / LAYERS_NAME, deeper.record())
    return [folder / LAYERS_NAME]
