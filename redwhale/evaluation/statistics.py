"""How sure a score is, and whether two models differ on the same questions.

Questions are drawn anew with replacement (bootstrap). Accuracy and F1 depend on a question only through its answer and
the predictions, so the counts of these combinations are drawn, from a multinomial distribution: the same law, and ten
thousand draws take no time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

DRAWS = 10_000
LEVEL = 0.95
_DRAWS_AT_ONCE = 500


def interval(draws: np.ndarray, *, level: float = LEVEL) -> tuple[float, float]:
    """Return the middle ``level`` of bootstrap draws: their percentiles (Efron's percentile interval)."""
    low, high = np.percentile(draws, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def draw_counts(columns: Sequence[Sequence[float]], *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the different rows of ``columns`` ``(rows, columns)`` and counts of each by draw ``(DRAWS, rows)``.

    ``columns``: for each question its right answer and each model's prediction.
    """
    kinds, counts = np.unique(np.array(columns).T, axis=0, return_counts=True)
    total = int(counts.sum())
    drawn = np.random.default_rng(seed).multinomial(total, counts / total, size=DRAWS)
    return kinds, drawn


def accuracies(gold: np.ndarray, predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the accuracy of each draw; ``gold``, ``predicted``: (kinds,), ``counts``: (draws, kinds)."""
    return counts @ (gold == predicted) / counts.sum(axis=1)


def macro_f1s(gold: np.ndarray, predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the macro-F1 of each draw, over the labels that occur in it; shapes as of ``accuracies``."""
    scores, present = [], []
    for label in np.union1d(gold, predicted):
        hits = counts @ ((gold == label) & (predicted == label))
        seen = counts @ (gold == label).astype(np.int64) + counts @ (predicted == label).astype(np.int64)
        scores.append(2 * hits / np.maximum(seen, 1))
        present.append(seen > 0)
    return np.sum(scores, axis=0) / np.sum(present, axis=0)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p-value that two models differ (McNemar): how often a fair coin falls so unevenly.

    ``only_first``, ``only_second``: questions that one model alone answers rightly.
    """
    total, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(total, k) for k in range(fewer + 1))
    return float(min(1.0, 2 * tail / 2**total)) if total < 1000 else _normal_tail(only_first, only_second)


def _normal_tail(only_first: int, only_second: int) -> float:
    """Return the same with the normal approximation, which is exact to three digits for a thousand questions."""
    distance = max(0, abs(only_first - only_second) - 1)
    return math.erfc(distance / math.sqrt(2 * (only_first + only_second)))


def pooled_ratios(numerators: np.ndarray, denominators: np.ndarray, *, seed: int) -> np.ndarray:
    """Return sum(numerator) / sum(denominator) of each model in each draw of documents: (draws, models) float64.

    Both: (models, documents). Every draw takes the same documents of all models, so their differences are paired.
    """
    generator = np.random.default_rng(seed)
    documents = numerators.shape[1]
    parts = []
    for start in range(0, DRAWS, _DRAWS_AT_ONCE):
        picked = generator.integers(0, documents, size=(min(_DRAWS_AT_ONCE, DRAWS - start), documents))
        parts.append(numerators[:, picked].sum(axis=2).T / denominators[:, picked].sum(axis=2).T)
    return np.concatenate(parts)
