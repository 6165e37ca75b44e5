"""Percentiles are exact, ties and missing scores included, and never take more than the share asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redwhale.core.recipe.perplexity import PerplexityShares
from redwhale.corpus.perplexity import percentiles
from redwhale.corpus.perplexity.percentiles import (
    MIN_DOCUMENTS,
    distribution,
    order_statistics,
    samples,
    thresholds,
)

floats = st.floats(-(2.0**60), 2.0**60, width=32)


def dropped(scores: np.ndarray, shares: PerplexityShares) -> tuple[int, int]:
    bounds = thresholds(scores, shares)
    return int(np.sum(scores < bounds.low)), int(np.sum(scores > bounds.high))


@given(st.lists(st.one_of(floats, st.sampled_from([0.0, 1.5, float("nan")])), min_size=1, max_size=60))
def test_order_statistics_are_those_of_sorting(values: list[float]) -> None:
    scores = np.array(values, dtype=np.float32)
    judged = np.sort(scores[~np.isnan(scores)])
    assert order_statistics(scores, list(range(len(judged)))) == judged.tolist()


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(0).normal(2, 0.3, 5000).astype(np.float32)
    whole = distribution(scores), samples(scores), thresholds(scores, PerplexityShares())
    monkeypatch.setattr(percentiles, "_CHUNK", 97)
    assert whole == (distribution(scores), samples(scores), thresholds(scores, PerplexityShares()))


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.4), st.floats(0, 0.4), st.integers(1, 50))
def test_at_most_the_shares_go_even_among_many_equals(seed: int, lowest: float, highest: float, values: int) -> None:
    scores = np.random.default_rng(seed).integers(0, values, 300).astype(np.float32)
    low, high = dropped(scores, PerplexityShares(drop_lowest=lowest, drop_highest=highest, outliers=0.0))
    assert low <= lowest * 300 and high <= highest * 300


def test_exactly_the_shares_go_where_all_scores_differ() -> None:
    scores = np.random.default_rng(1).permutation(1000).astype(np.float32)
    scores[::10] = np.nan  # 900 to judge
    assert dropped(scores, PerplexityShares(drop_lowest=0.02, drop_highest=0.1, outliers=0.0)) == (18, 90)
    assert dropped(scores, PerplexityShares(drop_lowest=0.0, drop_highest=0.0, outliers=0.0)) == (0, 0)


def test_only_outliers_go_by_default() -> None:
    usual = np.random.default_rng(2).normal(2, 0.1, 2000)
    assert sum(dropped(usual.astype(np.float32), PerplexityShares())) < 20
    noisy = np.concatenate([usual, np.full(100, 5.0), np.full(30, 0.2)]).astype(np.float32)
    low, high = dropped(noisy, PerplexityShares())
    assert 30 <= low < 40 and 100 <= high < 110


def test_a_small_source_is_left_alone_and_it_is_said() -> None:
    scores = np.arange(MIN_DOCUMENTS - 1, dtype=np.float32)
    bounds = thresholds(np.append(scores, np.float32(np.nan)), PerplexityShares(outliers=0.0))
    assert (bounds.low, bounds.high) == (-np.inf, np.inf)
    assert bounds.why == "only 199 documents to judge, fewer than 200"
    assert thresholds(np.arange(MIN_DOCUMENTS, dtype=np.float32), PerplexityShares()).why is None


def test_the_distribution_by_hand() -> None:
    scores = np.array([0.25, 0.21, np.nan, 1.0, 99.0], dtype=np.float32)
    told = distribution(scores)
    assert (told["judged"], told["not_judged"]) == (4, 1)
    assert told["quantiles"]["0.0%"] == pytest.approx(0.21, abs=1e-4)
    assert (told["quantiles"]["50.0%"], told["quantiles"]["100.0%"]) == (1.0, 99.0)
    counts = told["histogram"]["counts"]
    assert (counts[2], counts[10], counts[99], sum(counts)) == (2, 1, 1, 4)


def test_samples_stand_at_their_quantiles() -> None:
    scores = np.random.default_rng(3).permutation(1001).astype(np.float32)
    shown = samples(scores, each=3)
    assert [scores[i] for i in shown["0.0%"]] == [0, 1] or sorted(scores[i] for i in shown["0.0%"]) == [0, 1]
    assert sorted(scores[i] for i in shown["10.0%"]) == [99, 100, 101]
    assert sorted(scores[i] for i in shown["100.0%"]) == [999, 1000]


def test_nothing_judged_is_told_without_quantiles() -> None:
    scores = np.full(3, np.nan, dtype=np.float32)
    assert distribution(scores)["quantiles"] == {}
    assert samples(scores) == {}
    assert thresholds(scores[:0], PerplexityShares()).judged == 0
