"""Arrays in one safetensors file, read as views of the mapped file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy

from redwhale.core.errors import RedwhaleError
from redwhale.core.publish import atomic_file

_DTYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "U16": np.uint16, "I32": np.int32, "U32": np.uint32, "F32": np.float32,
    "I64": np.int64, "U64": np.uint64,
}  # fmt: skip
_LENGTH_BYTES = 8


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Publish arrays of the types above; equal arrays give equal bytes."""
    with atomic_file(path) as temporary:
        safetensors.numpy.save_file({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}, temporary)


def map_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file as read-only views of it. Raises where the file is cut short."""
    mapped = np.memmap(path, dtype=np.uint8, mode="r")
    size = int.from_bytes(mapped[:_LENGTH_BYTES].tobytes(), "little")
    begin = _LENGTH_BYTES + size
    try:
        header = json.loads(mapped[_LENGTH_BYTES:begin].tobytes())
        arrays = {}
        for name, entry in header.items():
            if name != "__metadata__":
                start, stop = entry["data_offsets"]
                view: np.ndarray = np.asarray(mapped[begin + start : begin + stop]).view(_DTYPES[entry["dtype"]])
                arrays[name] = view.reshape(entry["shape"])
    except (ValueError, KeyError) as error:
        raise RedwhaleError(
            f"the file is damaged ({error})", where=str(path), fix="make it again: `redwhale preprocess --fresh`"
        ) from error
    return arrays
