"""Shards: where they are cut, and that reasons and details of rejects are those of the decisions."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redwhale.corpus import shards
from redwhale.corpus.dedup.clusters import EXACT, INDEXED, NEAR
from redwhale.corpus.fates import (
    HELD_OUT_SURPLUS,
    PERPLEXITY_HIGH,
    PERPLEXITY_LOW,
    SCORES,
    SURVIVORS,
    Details,
    starts_of,
)
from redwhale.corpus.shards import cut_shards
from redwhale.corpus.store import Store
from tests.corpus.test_store import fill

LIMIT = 10


@given(st.lists(st.integers(0, 12)), st.integers(1, 5))
def test_runs_are_as_long_as_the_limit_allows(sizes: list[int], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_BLOCK", block)
        cuts = cut_shards(np.array(sizes, dtype=np.uint32), limit=LIMIT)
    assert [number for first, last in cuts for number in range(first, last)] == list(range(len(sizes)))
    assert all(last > first for first, last in cuts) or not sizes
    for first, last in cuts:
        assert sum(sizes[first:last]) <= LIMIT or last == first + 1
    for first, last in cuts[:-1]:
        assert sum(sizes[first : last + 1]) > LIMIT


def test_details_name_survivors_indices_and_limits(tmp_path: Path) -> None:
    with Store(tmp_path, 2) as store:
        fill(store)
        np.array([0, 0, 1, 2, 4], dtype=np.uint32).tofile(store.path(SURVIVORS))
        np.array([1, 1, 1, 0.5, 9], dtype=np.float32).tofile(store.path(SCORES))
        details = Details(store.folder, ("one", "two"), (0, 2), ("old/index", "new/index"), (0.75, 3.0))
        assert details.of(np.array([EXACT, NEAR + INDEXED]), 1) == ["of one/id-가", "of index new/index"]
        fates = np.array([NEAR, PERPLEXITY_LOW, PERPLEXITY_HIGH])
        assert details.of(fates, 2) == ["of one/id-다", "0.500, lowest 0.750", "9.000, highest 3.000"]
        assert "held_out.at_most" in details.of(np.array([HELD_OUT_SURPLUS, 0]), 0)[0]
        assert details.of(np.array([0, 0]), 0) == ["", ""]


def test_empty_sources_start_where_the_next_one_does() -> None:
    assert starts_of([(0, 0), (0, 3), (0, 0), (3, 5), (0, 0)]) == (0, 0, 3, 3, 5)
