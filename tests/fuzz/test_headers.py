"""Fuzzing of the reader of safetensors headers: whatever the bytes, a checkpoint or its own error."""

import json
import struct
from pathlib import Path

import pytest
from hypothesis import strategies as st

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.weights.checkpoint import FLOAT_DTYPES, open_checkpoint, read_rows
from tests.fuzz.campaign import CHANGES, Bounds, Case, Change, changed, fuzz

ENTRIES = {
    "model.embed_tokens.weight": {"dtype": "F32", "shape": [4, 2], "data_offsets": [0, 32]},
    "model.norm.weight": {"dtype": "BF16", "shape": [2], "data_offsets": [32, 36]},
    "lm_head.weight": {"dtype": "F16", "shape": [4, 2], "data_offsets": [36, 52]},
    "scalar": {"dtype": "F32", "shape": [], "data_offsets": [52, 56]},
    "none": {"dtype": "F32", "shape": [0, 3], "data_offsets": [56, 56]},
}
HEADER = json.dumps({"__metadata__": {"format": "pt"}, **ENTRIES}).encode()
INDEX = json.dumps({"metadata": {}, "weight_map": dict.fromkeys(ENTRIES, "model.safetensors")}).encode()
NUMBERS = st.one_of(st.integers(-2, 60), st.sampled_from([1 << 31, 1 << 62, 1 << 64, 10**30, 1.5, True, None, "4", []]))
NAMES = st.sampled_from([*ENTRIES, "__metadata__", "", "가"])
DTYPES = st.sampled_from([*FLOAT_DTYPES, "I8", "X", "", None, 5, {}])
ENTRY = st.one_of(
    st.fixed_dictionaries({"dtype": DTYPES, "shape": st.lists(NUMBERS, max_size=3),
                           "data_offsets": st.lists(NUMBERS, min_size=2, max_size=2)}),
    st.sampled_from([{}, [], None, "text", {"dtype": "F32", "shape": 5, "data_offsets": [0, 32]},
                     {"dtype": "F32", "shape": "42", "data_offsets": "ab"}, {"format": "pt"}, {"format": 5}]),
)  # fmt: skip


def shard(header: bytes, changes: list[Change], length: int | None) -> bytes:
    """Return a shard of this header, its length field and all bytes open to change."""
    stated = len(header) if length is None else length
    return changed(struct.pack("<Q", stated) + header + bytes(56), changes)


HEADERS = st.one_of(
    st.builds(changed, st.just(HEADER), CHANGES),
    st.dictionaries(NAMES, ENTRY, max_size=3).map(lambda some: json.dumps({**ENTRIES, **some}).encode()),
    st.dictionaries(NAMES, ENTRY, max_size=3).map(lambda all: json.dumps(all).encode()),
)
LENGTHS = st.one_of(st.none(), st.none(), st.sampled_from([0, 1, 2, 8, 99_999_999, 100_000_001, (1 << 63) + 1]))
INPUTS = st.one_of(
    st.builds(Case, st.just("model.safetensors"), st.builds(shard, HEADERS, CHANGES, LENGTHS)),
    st.builds(Case, st.just("model.safetensors"), st.builds(shard, HEADERS, st.just([]), st.none())),
    st.builds(Case, st.just("model.safetensors.index.json"), st.builds(changed, st.just(INDEX), CHANGES)),
    st.builds(
        Case, st.just("config.json"), st.builds(changed, st.just(b'{"vocab_size": 4, "hidden_size": 2}'), CHANGES)
    ),
)


@pytest.mark.fuzz
@pytest.mark.slow
@pytest.mark.promise("Z1")
def test_a_checkpoint_is_opened_or_refused(tmp_path: Path) -> None:
    def check(case: Case) -> None:
        (tmp_path / "model.safetensors").write_bytes(shard(HEADER, [], None))
        (tmp_path / "config.json").write_bytes(b'{"vocab_size": 4}')
        (tmp_path / "model.safetensors.index.json").write_bytes(INDEX)
        if case.name == "model.safetensors":
            (tmp_path / "model.safetensors.index.json").unlink()
        (tmp_path / case.name).write_bytes(case.data)
        with Bounds(seconds=1, megabytes=32):
            try:
                checkpoint = open_checkpoint(tmp_path)
            except RedwhaleError as error:
                assert error.exit_code == USAGE and str(error)
                return
            assert checkpoint.bytes <= 60 and checkpoint.parameters >= 0
            for tensor in checkpoint.tensors.values():
                if tensor.shape and tensor.dtype in FLOAT_DTYPES:
                    assert tuple(read_rows(tensor).shape) == tensor.shape

    fuzz("headers", INPUTS, check)
