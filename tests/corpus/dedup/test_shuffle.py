"""Keys sorted by several workers: the decisions are those of one process."""

from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from redwhale.core.recipe.deduplicate import NearDuplicates
from redwhale.core.tasks import Workers
from redwhale.corpus.dedup import shuffle
from redwhale.corpus.dedup.index import Index, write_index
from redwhale.corpus.dedup.keys import Origin
from redwhale.corpus.dedup.shuffle import SortShard, SplitShard, sort_range, split_keys
from tests.corpus.dedup.makers import article, find
from tests.corpus.dedup.test_find import TINY, corpus


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(2) as made:
        yield made


@pytest.mark.promise("F14")
@pytest.mark.parametrize("check", ["none", "exact"])
@pytest.mark.parametrize("is_indexed", [False, True])
def test_workers_decide_as_one_process_does(
    tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch, check: str, is_indexed: bool
) -> None:
    monkeypatch.setattr(shuffle, "_BLOCK_ENTRIES", 50)
    texts, near = corpus(1), NearDuplicates(check=check, bands=4)
    origins = [Origin(60), Origin(40, preferred=True), Origin(30, takes_part=False), Origin(len(texts) - 130)]
    urls = [number % 90 for number in range(len(texts))]
    against = []
    if is_indexed:
        _, keys = find(tmp_path / "old", [*texts[:10], article(77)], near=near, urls=urls[:11], keep=True)
        write_index(tmp_path / "index", keys, [Origin(11)], settings={})
        against = [Index("old", tmp_path / "index")]
    given = {"near": near, "origins": origins, "urls": urls, "against": against, "memory_bytes": TINY}
    alone = find(tmp_path / "alone", texts, **given)
    together = find(tmp_path / "together", texts, **given, workers=workers)
    for one, two in zip(astuple(alone), astuple(together), strict=True):
        assert np.array_equal(one, two)
    assert len(set(alone.fate.tolist())) >= 4


def test_entries_without_company_are_left_out(tmp_path: Path) -> None:
    """Six keys in blocks of four and two; the second by rank is marked, the fourth has no key."""
    keys = np.array([5, 5, 9 << 40, 0, 5, 7 << 40], dtype=np.uint64)
    keys.tofile(tmp_path / "k.u64")
    np.array([4, 5, 4, 4, 4, 4], dtype=np.uint8).tofile(tmp_path / "state.u8")
    edges = (1 << 9, 1 << 32)
    splits = []
    for number, (start, stop) in enumerate([(0, 4), (4, 6)]):
        shard = SplitShard(
            tmp_path / "k.u64", 1, start, stop, start, tmp_path / "state.u8", 7, 4, edges, tmp_path / f"s{number}"
        )
        split_keys(shard)
        splits.append(shard.done)
    for alone, number, expected in (
        (False, 0, [(5, 0), (5, 4)]), (True, 0, [(5, 0), (5, 4)]),
        (False, 1, []), (True, 1, [(7 << 40, 5), (9 << 40, 2)]),
    ):  # fmt: skip
        shard = SortShard(tuple(splits), number, alone, tmp_path / "sorted")
        sort_range(shard)
        arrays = shuffle.map_arrays(shard.done)
        assert list(zip(arrays["keys"][:, 0].tolist(), arrays["ranks"].tolist(), strict=True)) == expected
