"""Weighted means of base rows against hand-computed rows and a slow reference."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.weights.methods.mixtures import by_position, combine, first_nonspace, mixture_of, uniform

BASE = torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 1.0], [7.0, 7.0]])


def test_means_by_hand() -> None:
    rows = combine(BASE, [uniform(pieces) for pieces in ([0, 1], [2], [3, 3, 0])])
    assert rows.tolist() == [[2.0, 4.0], [5.0, 1.0], [5.0, float(np.float32(16 / 3))]]


def test_positions_by_hand() -> None:
    assert by_position([2, 0, 1], last_heaviest=True) == {2: 1.0, 0: 2.0, 1: 3.0}
    assert by_position([2, 0, 1], last_heaviest=False) == {2: 3.0, 0: 2.0, 1: 1.0}
    assert by_position([3, 1, 3], last_heaviest=True) == {1: 2.0, 3: 4.0}
    rows = combine(BASE, [by_position([0, 1], last_heaviest=True), by_position([0, 1], last_heaviest=False)])
    assert torch.allclose(rows, torch.tensor([[7 / 3, 14 / 3], [5 / 3, 10 / 3]]))


def test_a_bare_space_mark_is_passed_over_where_there_is_more() -> None:
    spaces = frozenset({0, 1})
    assert first_nonspace([0, 1, 3, 2], spaces) == {3: 1.0}
    assert first_nonspace([2, 0], spaces) == {2: 1.0}
    assert first_nonspace([0], spaces) == {0: 1.0}


def test_the_same_pieces_in_another_order_give_the_same_bits_as_a_mean_and_others_by_position() -> None:
    base = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
    one, other = [5, 60, 31, 7, 60], [60, 31, 7, 5, 60]
    assert list(uniform(one).items()) == list(uniform(other).items())
    rows = combine(base, [uniform(one), uniform(other)])
    assert torch.equal(rows[0], rows[1])
    rows = combine(base, [by_position(one, last_heaviest=True), by_position(other, last_heaviest=True)])
    assert not torch.equal(rows[0], rows[1])


def test_the_arithmetic_is_float32_for_a_bf16_checkpoint() -> None:
    base = torch.full((3, 1), 256.0, dtype=torch.bfloat16)
    base[0] = 1.0  # in bf16, 256 + 1 is 256
    row = combine(base, [uniform([1, 0, 2])])
    assert row.dtype == torch.float32
    assert row.item() == 171.0  # (256 + 1 + 256) / 3


def test_one_piece_is_copied_bit_for_bit() -> None:
    base = torch.randn(8, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert torch.equal(combine(base, [{5: 1.0}]).bfloat16()[0], base[5])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 63), st.integers(1, 9)), min_size=1, max_size=12), min_size=1, max_size=20
    ),
    st.integers(0, 99),
)
def test_combine_equals_the_slow_reference(weighted: list[list[tuple[int, int]]], seed: int) -> None:
    base = torch.randn(64, 5, generator=torch.Generator().manual_seed(seed))
    reference = [
        sum((weight * base[piece].double() for piece, weight in parts), torch.zeros(5).double())
        / sum(weight for _, weight in parts)
        for parts in weighted
    ]
    rows = combine(base, [mixture_of((piece, float(weight)) for piece, weight in parts) for parts in weighted])
    assert torch.allclose(rows.double(), torch.stack(reference), atol=1e-6)
