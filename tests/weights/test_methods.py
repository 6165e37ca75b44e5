"""The initialisation methods against hand-computed rows and a slow reference."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.weights.methods import METHODS, decompose_first, decompose_mean, mean, mean_row

BASE = torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 1.0], [7.0, 7.0]])


def test_rows_by_hand() -> None:
    decomposition = [[0, 1], [2], [3, 3, 0]]
    assert decompose_mean(BASE, decomposition).tolist() == [[2.0, 4.0], [5.0, 1.0], [5.0, float(np.float32(16 / 3))]]
    assert decompose_first(BASE, decomposition).tolist() == [[1.0, 2.0], [5.0, 1.0], [7.0, 7.0]]
    assert mean(BASE, decomposition).tolist() == [[4.0, 4.0]] * 3


def test_no_new_token_gives_no_row() -> None:
    for method in METHODS.values():
        assert method(BASE, []).shape == (0, 2)


def test_the_arithmetic_is_float32_for_a_bf16_checkpoint() -> None:
    base = torch.full((3, 1), 256.0, dtype=torch.bfloat16)
    base[0] = 1.0  # in bf16, 256 + 1 is 256
    row = decompose_mean(base, [[1, 0, 2]])
    assert row.dtype == torch.float32
    assert row.item() == 171.0  # (256 + 1 + 256) / 3


def test_the_mean_of_many_rows_does_not_drift() -> None:
    base = torch.full((100_000, 2), 0.1, dtype=torch.float32)
    assert mean_row(base).tolist() == [float(np.float32(0.1))] * 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 63), min_size=1, max_size=12), min_size=1, max_size=20), st.integers(0, 99))
def test_decompose_mean_equals_the_slow_reference(decomposition: list[list[int]], seed: int) -> None:
    base = torch.randn(64, 5, generator=torch.Generator().manual_seed(seed))
    reference = [base.double()[pieces].mean(dim=0) for pieces in decomposition]
    assert torch.allclose(decompose_mean(base, decomposition).double(), torch.stack(reference), atol=1e-6)
