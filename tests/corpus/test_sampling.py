"""Samples are exact, take from every stratum in proportion, and grow with their caps whatever the order."""

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from redwhale.core.recipe.sampling import Sample
from redwhale.core.recipe.sources import HeldOut
from redwhale.corpus import sampling
from redwhale.corpus.sampling import first_excess, sample_mask
from redwhale.corpus.split import held_out_mask


def documents(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hashes, sizes in bytes and scores."""
    random = np.random.default_rng(seed)
    hashes = random.integers(0, 2**64, count, dtype=np.uint64)
    return hashes, random.integers(1, 5000, count), random.normal(size=count).astype(np.float32)


def sample(**options: object) -> Sample:
    return Sample.model_validate(options)


populations = st.integers(0, 60).flatmap(
    lambda count: st.tuples(
        # Few different hashes: equal texts occur.
        st.lists(st.sampled_from([1, 2**63, 2**64 - 1, *range(5, 90, 7)]), min_size=count, max_size=count),
        st.lists(st.integers(0, 50), min_size=count, max_size=count),
        st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0, float("nan")]), min_size=count, max_size=count),
    )
)


def arrays(population: tuple[list[int], list[int], list[float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hashes, sizes, scores = population
    return np.array(hashes, np.uint64), np.array(sizes, np.int64), np.array(scores, np.float32)


@settings(max_examples=60)
@given(populations, st.integers(0, 400), st.integers(0, 400), st.booleans())
def test_a_cap_is_kept_and_raising_it_only_adds(population, low: int, more: int, stratified: bool) -> None:
    hashes, sizes, scores = arrays(population)
    strata = {"strata": {"shares": [1.0, 0.5, 0.0]}} if stratified else {}
    masks = [
        sample_mask(hashes, sizes, sample(at_most={"bytes": cap}, **strata), scores=scores) for cap in (low, low + more)
    ]
    assert sizes[masks[0]].sum() <= low
    assert sizes[masks[1]].sum() <= low + more
    assert not (masks[0] & ~masks[1]).any()


@settings(max_examples=60)
@given(populations, st.integers(0, 400), st.randoms(use_true_random=False))
def test_order_does_not_matter_and_equal_texts_of_one_stratum_go_together(population, cap: int, random) -> None:
    hashes, sizes, scores = arrays(population)
    options = sample(fraction=0.9, at_most={"bytes": cap}, strata={"shares": [0.3, 0.9]})
    mask = sample_mask(hashes, sizes, options, scores=scores)
    order = list(range(len(hashes)))
    random.shuffle(order)
    assert (sample_mask(hashes[order], sizes[order], options, scores=scores[order]) == mask[order]).all()
    plain = sample_mask(hashes, sizes, sample(at_most={"documents": cap}))
    for value in np.unique(hashes):
        assert len(set(plain[hashes == value])) == 1


def test_caps_are_used_up() -> None:
    hashes, sizes, _ = documents(20_000)
    assert sample_mask(hashes, sizes, sample(at_most={"documents": 1234})).sum() == 1234
    capped = sample_mask(hashes, sizes, sample(at_most={"bytes": 1_000_000}))
    assert 1_000_000 - 5000 < sizes[capped].sum() <= 1_000_000
    both = sample_mask(hashes, sizes, sample(at_most={"bytes": 1_000_000, "documents": 200}))
    assert both.sum() == 200
    assert not (both & ~capped).any()
    assert sample_mask(hashes, sizes, sample(at_most={"bytes": "1TB"})).all()
    assert not sample_mask(hashes, sizes, sample(at_most={"documents": 0})).any()


def test_a_fraction_is_uniform_over_hashes_and_a_smaller_one_is_part_of_it() -> None:
    hashes, sizes, _ = documents(50_000)
    half = sample_mask(hashes, sizes, sample(fraction=0.5))
    tenth = sample_mask(hashes, sizes, sample(fraction=0.1))
    assert half.mean() == pytest.approx(0.5, abs=0.01)
    assert tenth.mean() == pytest.approx(0.1, abs=0.006)
    assert not (tenth & ~half).any()
    # Documents with low hashes are those that were held out: the choice must not depend on them being there.
    assert half[hashes < np.uint64(2**62)].mean() == pytest.approx(0.5, abs=0.02)


def test_strata_keep_their_shares_and_a_cap_takes_from_all_in_proportion() -> None:
    hashes, sizes, scores = documents(80_000)
    shares = [0.1, 1.0, 0.5, 0.0]
    mask = sample_mask(hashes, sizes, sample(strata={"shares": shares}), scores=scores)
    quarters = np.digitize(scores, np.quantile(scores, [0.25, 0.5, 0.75]))
    assert [mask[quarters == part].mean() for part in range(4)] == pytest.approx(shares, abs=0.01)
    capped = sample_mask(hashes, sizes, sample(strata={"shares": shares}, at_most={"documents": 8000}), scores=scores)
    kept = np.array([capped[quarters == part].sum() for part in range(4)])
    assert kept / 8000 == pytest.approx(np.array(shares) / sum(shares), abs=0.02)


def test_equal_scores_are_of_one_stratum_and_no_score_means_the_mean_share() -> None:
    hashes, sizes, _ = documents(10_000)
    equal = np.zeros(10_000, np.float32)
    assert sample_mask(hashes, sizes, sample(strata={"shares": [0.0, 1.0]}), scores=equal).all()
    unknown = np.full(10_000, np.nan, np.float32)
    mask = sample_mask(hashes, sizes, sample(strata={"shares": [0.0, 0.5]}), scores=unknown)
    assert mask.mean() == pytest.approx(0.25, abs=0.02)
    with pytest.raises(ValueError, match="scores"):
        sample_mask(hashes, sizes, sample(strata={"shares": [0.0, 1.0]}))


def test_only_eligible_documents_count() -> None:
    hashes, sizes, scores = documents(5000)
    eligible = np.arange(5000) % 3 > 0
    options = sample(at_most={"bytes": 300_000}, strata={"shares": [0.5, 1.0]})
    mask = sample_mask(hashes, sizes, options, scores=scores, eligible=eligible)
    alone = sample_mask(hashes[eligible], sizes[eligible], options, scores=scores[eligible])
    assert not mask[~eligible].any()
    assert (mask[eligible] == alone).all()


def test_a_held_out_text_never_moves_into_training_when_a_cap_changes() -> None:
    hashes, sizes, _ = documents(5000)
    held_out = held_out_mask(hashes, HeldOut(fraction=0.02, at_most=50))
    assert held_out.sum() == 50
    for cap in (10_000, 1_000_000, 10**9):
        chosen = sample_mask(hashes, sizes, sample(at_most={"bytes": cap}), eligible=~held_out)
        assert not (chosen & held_out).any()


def test_english_replay_is_sampled_by_the_same_rule() -> None:
    texts = [f"The {number}th ship left the harbour at noon." for number in range(2000)]
    hashes = np.array([xxhash.xxh3_64_intdigest(text.encode()) for text in texts], np.uint64)
    sizes = np.array([len(text.encode()) for text in texts])
    mask = sample_mask(hashes, sizes, sample(fraction=0.5, at_most={"bytes": "20kB"}))
    assert 20_000 - 60 < sizes[mask].sum() <= 20_000


def test_several_blocks_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes, sizes, scores = documents(3000)
    options = sample(fraction=0.7, at_most={"bytes": 2_000_000}, strata={"shares": [0.2, 1.0, 0.6]})
    whole = sample_mask(hashes, sizes, options, scores=scores)
    monkeypatch.setattr(sampling, "BLOCK_DOCUMENTS", 7)
    assert (sample_mask(hashes, sizes, options, scores=scores) == whole).all()


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2**16, 2**48 + 5, 2**64 - 1]) | st.integers(0, 2**64 - 1), st.integers(0, 9))
    ),
    st.integers(0, 40),
)
def test_the_first_excess_is_where_the_running_sum_passes_the_limit(pairs: list[tuple[int, int]], limit: int) -> None:
    keys = np.array([key for key, _ in pairs], np.uint64)
    weights = np.array([weight for _, weight in pairs], np.int64)
    expected = 2**64 - 1
    for key in sorted(set(keys.tolist())):
        if weights[keys <= np.uint64(key)].sum() > limit:
            expected = key
            break
    assert first_excess(lambda: iter([(keys, weights)]), limit) == expected


def test_a_sample_that_says_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="fraction"):
        sample()
    with pytest.raises(ValidationError, match="shares"):
        sample(strata={"shares": [1.0]})
