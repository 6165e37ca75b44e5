"""Comparison with an earlier corpus: as if its documents came first."""

from pathlib import Path

import numpy as np
import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.deduplicate import Deduplicate, NearDuplicates
from redwhale.corpus.dedup.clusters import EXACT, INDEXED, KEPT, NEAR, URL
from redwhale.corpus.dedup.index import Index, index_settings, open_indices, write_index
from redwhale.corpus.dedup.keys import Origin
from tests.corpus.dedup.makers import article, edited, find, jaccard

SETTINGS = index_settings(Deduplicate(urls=True))


def exchanged(text: str, places: list[int]) -> str:
    words = text.split()
    return " ".join("다른말" if place in places else word for place, word in enumerate(words))


def make_index(tmp_path: Path, name: str, texts: list[str], *, memory_bytes: int = 1 << 20, **options: object) -> Index:
    _, keys = find(tmp_path / f"keys-{name}", texts, keep=True, **options)
    origins = options.get("origins") or [Origin(len(texts))]
    paths = write_index(tmp_path / name, keys, origins, settings=SETTINGS, memory_bytes=memory_bytes)
    assert all(path.is_file() for path in paths)
    return open_indices([(name, tmp_path / name)], settings=SETTINGS, own=None)[0]


def test_copies_of_an_indexed_document_go_with_their_group(tmp_path: Path) -> None:
    old, new = article(1), article(2)
    near = old.replace(old.split()[60], "달라진말")
    chained = near.replace(near.split()[20], "또다른말")
    index = make_index(tmp_path, "a", [old, article(9)])
    found = find(tmp_path / "b", [new, old, near, new, article(3), near], against=[index])
    assert found.fate.tolist() == [KEPT, INDEXED + EXACT, INDEXED + NEAR, EXACT, KEPT, INDEXED + EXACT]
    assert found.survivor.tolist() == [0, 0, 0, 0, 4, 0]
    assert find(tmp_path / "b", [chained, near, article(3)], against=[index]).fate.tolist() == [7, 7, 0]


def test_the_first_of_several_indices_is_named(tmp_path: Path) -> None:
    indices = [make_index(tmp_path, str(n), [article(n), article(5)]) for n in range(3)]
    found = find(tmp_path / "b", [article(5), article(2), article(7), article(1)], against=indices)
    assert found.fate.tolist() == [INDEXED + EXACT, INDEXED + EXACT, KEPT, INDEXED + EXACT]
    assert found.survivor.tolist() == [0, 2, 2, 1]
    found.write_cluster_sizes(tmp_path / "sizes")
    assert np.fromfile(tmp_path / "sizes", np.uint32).tolist() == [0, 0, 1, 0]
    pairs = found.pairs_by_source([Origin(1), Origin(3)])
    assert {fate: matrix[:, :3].tolist() for fate, matrix in pairs.items()} == {5: [[1, 0, 0], [0, 1, 1]]}


def test_addresses_are_compared_with_the_index(tmp_path: Path) -> None:
    index = make_index(tmp_path, "a", [article(1), article(2)], urls=[5, 0])
    found = find(tmp_path / "b", [article(3), article(4), article(5)], urls=[5, 0, 5], against=[index])
    assert found.fate.tolist() == [INDEXED + URL, KEPT, INDEXED + URL]


@pytest.mark.parametrize("memory", [4096, 1 << 20])
def test_an_increment_comes_to_what_the_whole_comes_to(tmp_path: Path, memory: int) -> None:
    rng = np.random.default_rng(1)
    texts = [article(number) for number in range(60)]
    for number in range(240):
        texts.append(edited(texts[rng.integers(len(texts))], number, float(rng.choice([0, 0.01, 0.03]))))
    order = rng.permutation(len(texts))
    old, new = ([texts[number] for number in part] for part in (order[:120], order[120:]))
    index = make_index(tmp_path, "old", old, memory_bytes=memory)
    whole = find(tmp_path / "whole", old + new)
    part = find(tmp_path / "part", new, against=[index], memory_bytes=memory)
    stays = whole.fate[120:] == KEPT
    assert 10 < stays.sum() < 120 and ((part.fate == KEPT) == stays).all()
    indexed = whole.survivor[120:] < 120
    assert ((part.fate >= INDEXED) == indexed).all()
    assert (part.survivor[~indexed] == whole.survivor[120:][~indexed] - 120).all()


def test_with_the_exact_check_an_index_removes_what_is_similar_to_one_of_its_documents(tmp_path: Path) -> None:
    """Estimated from 112 bytes: at 0.7 a similarity of 0.85 and more is found, one under 0.5 is not taken for it."""
    near = NearDuplicates(check="exact")
    old = [article(number, 200) for number in range(150)]
    new = [edited(text, number, 0.002 + 0.1 * number / 150) for number, text in enumerate(old)] + [article(999)]
    index = make_index(tmp_path, "old", old)
    found = find(tmp_path / "new", new, near=near, against=[index])
    true = np.array([jaccard(one, two, near) for one, two in zip(old, new, strict=False)] + [0])
    assert (found.fate[true > 0.85] == np.where(true[true > 0.85] < 1, NEAR, EXACT) + INDEXED).all()
    assert (found.fate[true < 0.5] == KEPT).all() and (true < 0.5).sum() > 5
    plain = find(tmp_path / "plain", new, against=[index])
    assert ((plain.fate == KEPT) <= (found.fate == KEPT)).all() and (found.fate == KEPT).sum() > (plain.fate == 0).sum()


def test_what_an_index_removes_speaks_for_no_other_with_the_exact_check(tmp_path: Path) -> None:
    """A document is compared with the ones that stay: similar to one that goes is not enough."""
    near = NearDuplicates(check="exact", at_least=0.86)
    old = article(1, 300)
    second = exchanged(old, [40, 80])
    third = exchanged(second, [120, 160, 200, 240])
    similarities = [jaccard(*pair, near) for pair in ((old, second), (second, third), (old, third))]
    assert similarities[0] > 0.92 and similarities[1] > 0.88 and similarities[2] < 0.84
    index = make_index(tmp_path, "old", [old])
    assert find(tmp_path / "new", [second, third], near=near, against=[index]).fate.tolist() == [NEAR + INDEXED, KEPT]
    assert find(tmp_path / "new", [second, third], near=near).fate.tolist() == [KEPT, NEAR]


def test_sources_that_take_no_part_are_in_the_index_by_their_hashes_alone(tmp_path: Path) -> None:
    text = article(1)
    near = text.replace(text.split()[60], "달라진말")
    index = make_index(tmp_path, "a", [text], origins=[Origin(1, takes_part=False)])
    assert find(tmp_path / "b", [near, text], against=[index]).fate.tolist() == [KEPT, EXACT + INDEXED]


def test_other_settings_are_refused_and_both_are_named(tmp_path: Path) -> None:
    make_index(tmp_path, "a", [article(1)])
    other = index_settings(Deduplicate(near=NearDuplicates(size=9)))
    with pytest.raises(RedwhaleError) as caught:
        open_indices([("a", tmp_path / "a")], settings=other, own=None)
    assert caught.value.exit_code == 2
    assert "'size': 9" in str(caught.value) and "'size': 12" in str(caught.value)
    fewer = index_settings(Deduplicate(near=None))
    assert open_indices([("a", tmp_path / "a")], settings=fewer, own=None), "an index may hold more than is asked"
    with pytest.raises(RedwhaleError, match="holds no index"):
        open_indices([("b", tmp_path / "b")], settings=fewer, own=None)


def test_an_index_never_removes_the_documents_it_is_of(tmp_path: Path) -> None:
    make_index(tmp_path, "a", [article(1)])
    folders = [("a", tmp_path / "x" / ".." / "a")]
    (tmp_path / "x").mkdir()
    assert open_indices(folders, settings=SETTINGS, own=tmp_path / "a") == []
