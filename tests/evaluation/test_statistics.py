"""Intervals and tests by hand, and against resampling question by question."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from redwhale.evaluation import statistics
from redwhale.evaluation.kobest.metrics import macro_f1


def test_interval_is_the_middle_of_the_draws() -> None:
    low, high = statistics.interval(np.arange(1001) / 1000)
    assert (low, high) == (pytest.approx(0.025), pytest.approx(0.975))


def test_accuracy_draws_have_the_binomial_spread() -> None:
    gold, predicted = [0] * 60 + [1] * 40, [0] * 50 + [1] * 50  # 90 of 100 right
    kinds, counts = statistics.draw_counts([gold, predicted], seed=1)
    draws = statistics.accuracies(kinds[:, 0], kinds[:, 1], counts)
    assert len(draws) == statistics.DRAWS and counts.sum(axis=1).tolist() == [100] * statistics.DRAWS
    assert draws.mean() == pytest.approx(0.9, abs=0.002)
    assert draws.std() == pytest.approx(math.sqrt(0.9 * 0.1 / 100), rel=0.03)
    again = statistics.draw_counts([gold, predicted], seed=1)[1]
    assert (again == counts).all()


def test_f1_of_a_draw_is_that_of_its_questions() -> None:
    generator = random.Random(3)
    gold = [generator.randrange(3) for _ in range(50)]
    predicted = [generator.randrange(4) for _ in range(50)]
    kinds, counts = statistics.draw_counts([gold, predicted], seed=2)
    draws = statistics.macro_f1s(kinds[:, 0], kinds[:, 1], counts)
    for number in range(20):
        rows = np.repeat(kinds, counts[number], axis=0)
        assert draws[number] == pytest.approx(macro_f1(rows[:, 0].tolist(), rows[:, 1].tolist()))


def test_f1_leaves_out_labels_that_a_draw_lacks() -> None:
    kinds, counts = np.array([[0, 0], [1, 0]]), np.array([[4, 0], [2, 2]])
    # all right: F1 1 of the one label there; then label 0: 4/6, label 1: 0
    assert statistics.macro_f1s(kinds[:, 0], kinds[:, 1], counts).tolist() == [1.0, pytest.approx(1 / 3)]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(0, 0, 1.0), (5, 0, 2 / 32), (1, 5, 2 * 7 / 64), (4, 4, 1.0)],  # 1 + 6 of 2^6 ways have at most one
)
def test_mcnemar_by_hand(first: int, second: int, expected: float) -> None:
    assert statistics.mcnemar(first, second) == pytest.approx(expected)
    assert statistics.mcnemar(second, first) == pytest.approx(expected)


def test_mcnemar_of_many_questions_goes_over_smoothly() -> None:
    exact, normal = statistics.mcnemar(530, 469), statistics.mcnemar(531, 470)
    assert normal == pytest.approx(exact, rel=0.03)


def test_pooled_ratios_are_paired() -> None:
    bits = np.array([[10.0, 20.0, 60.0], [5.0, 10.0, 30.0]])
    sizes = np.array([[10.0, 10.0, 20.0]] * 2)
    draws = statistics.pooled_ratios(bits, sizes, seed=4)
    assert draws.shape == (statistics.DRAWS, 2)
    assert draws[:, 0] == pytest.approx(2 * draws[:, 1])  # whatever is drawn
    assert draws[:, 0].min() == pytest.approx(1.0) and draws[:, 0].max() == pytest.approx(3.0)
