"""Which documents go, in favour of whom: against slow references, whatever the chunks and the memory."""

import random
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from redwhale.core.recipe.deduplicate import NearDuplicates
from redwhale.corpus.dedup.clusters import EXACT, KEPT, NEAR, URL
from redwhale.corpus.dedup.fates import size_histogram
from redwhale.corpus.dedup.find import find_duplicates
from redwhale.corpus.dedup.keys import KeyFiles, Origin
from redwhale.corpus.dedup.signatures import band_keys, signatures
from redwhale.corpus.texts import Texts
from tests.corpus.dedup.makers import article, edited, find, jaccard

TINY = 4096  # bytes of memory: many partitions even for a few documents


def test_the_first_of_each_kind_survives(tmp_path: Path) -> None:
    text = article(1)
    near = text.replace(text.split()[60], "달라진말")
    found = find(tmp_path, [article(2), text, text, text.replace(" ", ""), near, article(3)])
    assert found.fate.tolist() == [KEPT, KEPT, EXACT, EXACT, NEAR, KEPT]
    assert found.survivor.tolist() == [0, 1, 1, 1, 1, 5]


@pytest.mark.parametrize("check", ["none", "exact"])
def test_preferred_sources_win_whatever_the_order(tmp_path: Path, check: str) -> None:
    text = article(1)
    near = text.replace(text.split()[60], "달라진말")
    origins = [Origin(2), Origin(0), Origin(2, preferred=True), Origin(1)]
    found = find(tmp_path, [text, near, article(2), text, near], near=NearDuplicates(check=check), origins=origins)
    assert found.fate.tolist() == [EXACT, NEAR, KEPT, KEPT, EXACT]
    assert found.survivor.tolist() == [3, 3, 2, 3, 3] if check == "none" else [3, 3, 2, 3, 1]


def test_sources_that_take_no_part_lose_exact_copies_only(tmp_path: Path) -> None:
    text = article(1)
    near = text.replace(text.split()[60], "달라진말")
    origins = [Origin(1), Origin(1, takes_part=False), Origin(1), Origin(1, takes_part=False)]
    found = find(tmp_path, [text, near, text, near], origins=origins)
    assert found.fate.tolist() == [KEPT, KEPT, EXACT, EXACT]
    assert found.survivor.tolist() == [0, 1, 0, 1]


def test_copies_by_address_go_and_documents_without_one_stay(tmp_path: Path) -> None:
    text = article(4)
    found = find(tmp_path, [article(1), article(2), article(3), text, text, article(5)], urls=[7, 0, 7, 0, 9, 9])
    assert found.fate.tolist() == [KEPT, KEPT, URL, KEPT, EXACT, KEPT], "an exact copy's address counts no more"
    assert found.survivor.tolist() == [0, 1, 0, 3, 3, 5]


def test_every_kind_can_be_off_and_nothing_is_a_corpus(tmp_path: Path) -> None:
    text = article(1)
    assert find(tmp_path, [text, text], exact=False, near=None).fate.tolist() == [KEPT, KEPT]
    assert find(tmp_path, [text, text], exact=False).fate.tolist() == [KEPT, NEAR]
    assert find(tmp_path, [text, text], near=None).fate.tolist() == [KEPT, EXACT]
    for check in ("none", "exact"):
        assert len(find(tmp_path, [], near=NearDuplicates(check=check)).fate) == 0


def corpus(seed: int) -> list[str]:
    """Return texts of which many are copies of copies, exact or edited, some very short or empty."""
    rng = random.Random(seed)
    texts = [article(seed * 1000 + number, rng.choice([3, 40, 120])) for number in range(40)] + ["", "가나", "가나 "]
    while len(texts) < 160:
        texts.append(edited(rng.choice(texts), rng.randrange(10**6), rng.choice([0, 0.01, 0.02, 0.05])))
    rng.shuffle(texts)
    return texts


def _components(texts: list[str], near: NearDuplicates) -> list[int]:
    """Return the first text of each one's cluster: those that are equal but for white space or share a band."""
    keys = band_keys(signatures(Texts.of(texts), near), near)
    pairs = [(a, b) for a, b in combinations(range(len(texts)), 2) if (keys[a] == keys[b]).any()]
    first = list(range(len(texts)))
    for _ in texts:
        for a, b in pairs:
            first[a] = first[b] = min(first[a], first[b])
    return first


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    "near", [NearDuplicates(check="none"), NearDuplicates(check="none", shingles="eojeols", size=3, bands=20, rows=4)]
)
def test_plain_decisions_are_the_components_of_shared_bands(tmp_path: Path, seed: int, near: NearDuplicates) -> None:
    texts = corpus(seed)
    expected = _components(texts, near)
    equal: dict[str, int] = {}
    for memory, chunk in ((TINY, 160), (3 * TINY, 1), (128 << 20, 33)):
        found = find(tmp_path, texts, near=near, memory_bytes=memory, chunk=chunk)
        assert found.survivor.tolist() == expected
        for number, text in enumerate(texts):
            first = equal.setdefault("".join(text.split()), number)
            wanted = EXACT if first != number else KEPT if expected[number] == number else NEAR
            assert found.fate[number] == wanted


@pytest.mark.parametrize("seed", [1, 2])
def test_checked_decisions_keep_a_near_copy_of_all_that_goes(tmp_path: Path, seed: int) -> None:
    """The greedy reference in rank order, with all pairs that share a band (buckets here are small enough)."""
    texts, near = corpus(seed), NearDuplicates(check="exact", at_least=0.7)
    keys = band_keys(signatures(Texts.of(texts), near), near)
    fate, survivor = [KEPT] * len(texts), list(range(len(texts)))
    for number, text in enumerate(texts):
        stripped = "".join(text.split())
        for before in range(number):
            if "".join(texts[before].split()) == stripped and fate[before] != EXACT:
                fate[number], survivor[number] = EXACT, before
    for number, text in enumerate(texts):
        for before in range(number):
            if EXACT in (fate[number], fate[before]) or not (keys[number] == keys[before]).any():
                continue
            if fate[number] == KEPT and jaccard(text, texts[survivor[before]], near) >= near.at_least:
                fate[number], survivor[number] = NEAR, survivor[before]
    expected = [survivor[s] for s in survivor]
    assert fate.count(NEAR) > 20
    for memory, chunk in ((TINY, 160), (128 << 20, 33)):
        found = find(tmp_path, texts, near=near, memory_bytes=memory, chunk=chunk)
        assert (found.fate.tolist(), found.survivor.tolist()) == (fate, expected)


def test_chains_are_joined_by_bands_alone_and_cut_by_the_check(tmp_path: Path) -> None:
    texts = [article(1, 200)]
    for step in range(12):
        texts.append(edited(texts[-1], step, 0.015))
    assert find(tmp_path, texts).survivor.max() == 0
    near = NearDuplicates(check="exact")
    found = find(tmp_path, texts, near=near)
    assert 1 < (found.fate == KEPT).sum() < 8
    assert jaccard(texts[0], texts[-1], near) < 0.4
    for number, survivor in enumerate(found.survivor.tolist()):
        assert jaccard(texts[number], texts[survivor], near) >= 0.7


def _hot(folder: Path, members: int, near: NearDuplicates) -> KeyFiles:
    """Write keys of ``members`` documents of which all share one band and nothing else."""
    keys = np.arange(1, members * near.bands + 1, dtype=np.uint64).reshape(members, -1)
    keys *= np.uint64(0x9E3779B97F4A7C15)
    keys[:, 3] = 5
    with KeyFiles(folder, exact=False, urls=False, bands=near.bands) as files:
        files.add(bands=keys)
    return files


@pytest.mark.parametrize("memory", [1 << 20, 64 << 20])
def test_a_bucket_of_a_million_is_joined_in_its_length(tmp_path: Path, memory: int) -> None:
    near, members = NearDuplicates(bands=4, check="none"), 1_000_000
    found = find_duplicates(_hot(tmp_path, members, near), [Origin(members)], near=near, memory_bytes=memory)
    assert found.survivor.max() == 0 and (found.fate[1:] == NEAR).all()
    found.write_cluster_sizes(tmp_path / "sizes", memory_bytes=1 << 20)
    assert size_histogram(tmp_path / "sizes") == {members: 1}


def test_a_hot_bucket_is_checked_in_its_length(tmp_path: Path) -> None:
    near, members = NearDuplicates(bands=4, check="exact"), 20_000
    keys = _hot(tmp_path, members, near)
    texts = [article(number % 5, 20).encode() for number in range(5)]
    found = find_duplicates(
        keys, [Origin(members)], near=near, memory_bytes=1 << 20,
        texts_of=lambda numbers: ((int(n), texts[n % 5]) for n in numbers),
    )  # fmt: skip
    assert found.fate.tolist() == [KEPT] * 5 + [NEAR] * (members - 5)
    assert (found.survivor[5:] < 5).all(), "each is compared with the first and with some before it"


def test_counts_of_clusters_and_of_pairs_between_sources(tmp_path: Path) -> None:
    a, b = article(1), article(2)
    near = a.replace(a.split()[60], "달라진말")
    origins = [Origin(2), Origin(4)]
    found = find(tmp_path, [a, b, b, near, a, article(3)], origins=origins)
    assert found.fate.tolist() == [KEPT, KEPT, EXACT, NEAR, EXACT, KEPT]
    for memory in (8, 1 << 20):
        found.write_cluster_sizes(tmp_path / "sizes", memory_bytes=memory)
        assert np.fromfile(tmp_path / "sizes", np.uint32).tolist() == [3, 2, 0, 0, 0, 1]
    assert size_histogram(tmp_path / "sizes") == {1: 1, 2: 1, 3: 1}
    pairs = found.pairs_by_source(origins)
    assert {fate: matrix.tolist() for fate, matrix in pairs.items()} == {
        EXACT: [[0, 0], [2, 0]],
        NEAR: [[0, 0], [1, 0]],
    }
