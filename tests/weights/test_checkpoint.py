"""Headers of safetensors files: what does not fit together is refused before a tensor is looked at."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.weights.checkpoint import open_checkpoint, read_rows

GOOD = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


def make(folder: Path, header: bytes, *, length: int | None = None) -> Path:
    """Write a model of one shard: 16 bytes of data behind ``header``."""
    stated = struct.pack("<Q", len(header) if length is None else length)
    (folder / "model.safetensors").write_bytes(stated + header + bytes(16))
    (folder / "config.json").write_text("{}")
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(RedwhaleError) as caught:
        open_checkpoint(folder)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_good_one_is_opened(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {"format": "pt"}, "a": GOOD}).encode()
    checkpoint = open_checkpoint(make(tmp_path, header))
    assert checkpoint.shards[0].metadata == {"format": "pt"} and checkpoint.parameters == 4
    assert read_rows(checkpoint.tensors["a"]).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [2, 3]},
        {"shape": [2, -2]},
        {"shape": [2, 1 << 62]},
        {"shape": [2.0, 2]},
        {"shape": [True, 4]},
        {"shape": "22"},
        {"shape": 4},
        {"dtype": "F16"},
        {"dtype": {}},
        {"data_offsets": [0.0, 16]},
        {"data_offsets": [16, 0]},
        {"data_offsets": [0, 12]},
        {"data_offsets": [0]},
    ],
)
def test_an_entry_whose_numbers_do_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    message = refused(make(tmp_path, json.dumps({"a": {**GOOD, **changes}}).encode()))
    assert "model.safetensors: the weights are damaged or cut off" in message


@pytest.mark.parametrize("header", [b"[" * 100_000, b"[]", b"5", b'{"a": 5}', b'{"__metadata__": 5}', b"\xff\xff"])
def test_a_header_that_is_none_is_refused(tmp_path: Path, header: bytes) -> None:
    assert "damaged or cut off" in refused(make(tmp_path, header))


@pytest.mark.parametrize("length", [0, 1, 99_999_999, 1 << 63])
def test_a_length_beyond_the_file_is_refused_before_it_is_read(tmp_path: Path, length: int) -> None:
    assert "damaged or cut off" in refused(make(tmp_path, json.dumps({"a": GOOD}).encode(), length=length))


def test_a_config_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path, json.dumps({"a": GOOD}).encode())
    (folder / "config.json").write_text("[" * 100_000)
    assert "config.json: the file is no JSON" in refused(folder)
