"""Exact percentiles of the scores of one source in bounded memory, and what is told of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from redwhale.core.recipe.perplexity import PerplexityShares

MIN_DOCUMENTS = 200
"""A source with fewer documents to judge is left alone: a share of it says little."""
QUANTILES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0)
HISTOGRAM_STEP, HISTOGRAM_BINS = 0.1, 100
_NORMAL_QUARTILES = 1.349  # the quartiles of a normal distribution are that many standard deviations apart
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Bounds:
    """Documents with a score below ``low`` or above ``high`` go; ``judged`` had a score, ``why`` says when all stay."""

    low: float
    high: float
    judged: int
    why: str | None = None


def thresholds(scores: np.ndarray, shares: PerplexityShares) -> Bounds:
    """Return the bounds of one source: at most the asked shares of its documents lie outside.

    ``scores``: (n,) float32, nan where a document is not judged; a view of a file will do. Among equal scores all
    stay. A bound is moved outwards to ``shares.outliers`` robust standard deviations from the median, so that a
    source without outliers loses nothing.
    """
    judged = _count_judged(scores)
    if judged < MIN_DOCUMENTS:
        return Bounds(-np.inf, np.inf, judged, f"only {judged} documents to judge, fewer than {MIN_DOCUMENTS}")
    ranks = [
        int(shares.drop_lowest * judged),
        judged - 1 - int(shares.drop_highest * judged),
        *(_rank(share, judged) for share in (0.25, 0.5, 0.75)),
    ]
    low, high, lower, median, upper = order_statistics(scores, ranks)
    reach = shares.outliers * (upper - lower) / _NORMAL_QUARTILES
    return Bounds(min(low, median - reach), max(high, median + reach), judged)


def distribution(scores: np.ndarray) -> dict[str, Any]:
    """Return the quantiles of scores and a histogram in steps of 0.1 bits per byte; the last bin is open."""
    judged = _count_judged(scores)
    counts = np.zeros(HISTOGRAM_BINS, dtype=np.int64)
    for _, chunk in _chunks(scores):
        bins = np.minimum((chunk[~np.isnan(chunk)] / HISTOGRAM_STEP).astype(np.int64), HISTOGRAM_BINS - 1)
        counts += np.bincount(bins, minlength=HISTOGRAM_BINS)
    filled = int(counts.nonzero()[0][-1]) + 1 if judged else 0
    values = order_statistics(scores, [_rank(share, judged) for share in QUANTILES]) if judged else []
    return {
        "judged": judged,
        "not_judged": len(scores) - judged,
        "quantiles": {f"{share:.1%}": round(value, 4) for share, value in zip(QUANTILES, values, strict=False)},
        "histogram": {"step": HISTOGRAM_STEP, "counts": counts[:filled].tolist()},
    }


def samples(scores: np.ndarray, *, each: int = 2) -> dict[str, list[int]]:
    """Return documents at each quantile, ``each`` by rank from it on, the first of equals: {"2.0%": [index, …]}."""
    judged = _count_judged(scores)
    if not judged:
        return {}
    wanted = {
        share: [min(max(_rank(share, judged) + step - each // 2, 0), judged - 1) for step in range(each)]
        for share in QUANTILES
    }
    ranks = sorted({rank for ranks in wanted.values() for rank in ranks})
    values = np.array(order_statistics(scores, ranks), dtype=np.float32)
    where: dict[int, int] = {}
    for start, chunk in _chunks(scores):
        for place, value in enumerate(values):
            if ranks[place] not in where and len(found := np.flatnonzero(chunk == value)):
                where[ranks[place]] = start + int(found[0])
    return {f"{share:.1%}": sorted({where[rank] for rank in ranks}) for share, ranks in wanted.items()}


def order_statistics(scores: np.ndarray, ranks: Sequence[int]) -> list[float]:
    """Return the values at these ranks (0: the smallest) among scores that are not nan, by counting halves of bits."""
    counts = np.zeros(1 << 16, dtype=np.int64)
    for _, chunk in _chunks(scores):
        counts += np.bincount(_sortable(chunk) >> np.uint32(16), minlength=1 << 16)
    ends = np.cumsum(counts)
    upper = np.searchsorted(ends, ranks, side="right")
    lower_counts = {int(half): np.zeros(1 << 16, dtype=np.int64) for half in upper}
    for _, chunk in _chunks(scores):
        keys = _sortable(chunk)
        for half, half_counts in lower_counts.items():
            half_counts += np.bincount(keys[keys >> np.uint32(16) == half] & np.uint32(0xFFFF), minlength=1 << 16)
    found = []
    for rank, half in zip(ranks, upper.tolist(), strict=True):
        before = rank - (int(ends[half - 1]) if half else 0)
        found.append(half << 16 | int(np.searchsorted(np.cumsum(lower_counts[half]), before, side="right")))
    keys = np.array(found, dtype=np.uint32)
    sign = np.uint32(1 << 31)
    return np.where(keys & sign, keys ^ sign, ~keys).astype(np.uint32).view(np.float32).tolist()


def _sortable(chunk: np.ndarray) -> np.ndarray:
    """Return float32 values that are not nan as uint32 in the same order."""
    bits = chunk[~np.isnan(chunk)].view(np.uint32)
    sign = np.uint32(1 << 31)
    return np.where(bits & sign, ~bits, bits | sign)


def _chunks(scores: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(scores), _CHUNK):
        yield start, np.asarray(scores[start : start + _CHUNK], dtype=np.float32)


def _count_judged(scores: np.ndarray) -> int:
    return sum(int(np.count_nonzero(~np.isnan(chunk))) for _, chunk in _chunks(scores))


def _rank(share: float, count: int) -> int:
    return min(int(share * count), count - 1)
