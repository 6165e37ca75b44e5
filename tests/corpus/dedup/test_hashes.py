"""Hashes and signatures against slow references; spacing never counts."""

import sys

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from redwhale.core.recipe.deduplicate import NearDuplicates
from redwhale.corpus.dedup.hashes import content_hashes, split_hashes, without_space
from redwhale.corpus.dedup.signatures import band_keys, shingle_sets, signatures
from redwhale.corpus.texts import Texts
from tests.corpus.dedup.makers import article, edited, jaccard, shingles

SPACES = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
# NUL, whose hash is that of no text, is taken out of every text before (normalize drops control characters).
TEXTS = st.lists(
    st.text(
        st.one_of(st.sampled_from([*SPACES, *"가나다ㅋab.😀\u0301ßé中"]), st.characters(codec="utf-8", min_codepoint=1))
    )
)


def test_white_space_is_what_split_takes_for_it() -> None:
    every = "".join(chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)
    assert len(SPACES) == 29 and without_space(Texts.of([every])).string(0) == "".join(every.split())


@given(TEXTS)
def test_texts_keep_all_but_white_space(texts: list[str]) -> None:
    assert without_space(Texts.of(texts)).strings() == ["".join(text.split()) for text in texts]


def test_content_hashes_are_of_the_text_without_white_space() -> None:
    texts = ["할 수 있다", "할수있다\n", "할수없다", "", " \u3000"]
    hashes = content_hashes(Texts.of(texts))
    assert hashes.dtype == np.uint64 and hashes.shape == (5, 2)
    value = xxhash.xxh3_128_intdigest("할수있다".encode())
    assert hashes[0].tolist() == hashes[1].tolist() == [value >> 64, value % (1 << 64)]
    assert hashes[3].tolist() == hashes[4].tolist() != hashes[2].tolist()
    assert content_hashes(Texts.of([])).shape == (0, 2)


def test_split_hashes_are_of_text_and_seed() -> None:
    texts = Texts.of(["가 나", "가나", "가 나"])
    hashes = split_hashes(texts, -1)
    assert hashes[0] == hashes[2] != hashes[1]
    assert hashes[0] == xxhash.xxh3_64_intdigest("가 나".encode(), seed=(1 << 64) - 1)
    assert (hashes != split_hashes(texts, 2)).all()


NEAR = [NearDuplicates(), NearDuplicates(size=3), NearDuplicates(shingles="eojeols", size=2)]


@pytest.mark.parametrize("near", NEAR)
@given(TEXTS)
def test_shingles_are_those_of_the_reference(near: NearDuplicates, texts: list[str]) -> None:
    """Hashes are equal where, and only where, shingles are: the sets have the reference's sizes and overlaps."""
    sets = [set(found.tolist()) for found in shingle_sets(Texts.of(texts), near)]
    expected = [shingles(text, near) for text in texts]
    for ours, theirs in zip(sets, expected, strict=True):
        assert len(ours) == len(theirs)
    for (ours, theirs), (others, their_others) in zip(
        zip(sets[:-1], expected[:-1], strict=True), zip(sets[1:], expected[1:], strict=True), strict=True
    ):
        assert len(ours & others) == len(theirs & their_others)


@pytest.mark.parametrize("near", NEAR)
def test_signatures_are_the_least_values_of_the_shingles(near: NearDuplicates) -> None:
    """Of a union of two sets each value is the smaller of theirs: only the sets matter, however long the text."""
    one, two = article(1, 900), article(2, 700)
    both = signatures(Texts.of([one, two, one + " " + two]), near)
    joint = shingle_sets(Texts.of([one, two, one + " " + two]), near)
    across = np.setdiff1d(joint[2], np.concatenate(joint[:2]))
    least = np.minimum(both[0], both[1])
    assert (both[2] <= least).all() and len(across) <= near.size
    assert (both[2] != least).sum() <= 0.1 * both.shape[1]


def test_texts_that_differ_in_white_space_have_one_signature() -> None:
    text = article(1)
    one, two, three = signatures(Texts.of([text, text.replace(" ", ""), "\n\n".join(text.split())]), NEAR[0])
    assert (one == two).all() and (one == three).all()


def test_the_estimate_of_similarity_is_unbiased() -> None:
    """Over 400 pairs: the mean error is within 3 standard errors, and the spread is that of 112 values."""
    near, errors, spread = NEAR[0], [], []
    for seed in range(400):
        text = article(seed, 150)
        other = edited(text, seed, 0.002 + 0.06 * (seed % 20) / 20)
        one, two = signatures(Texts.of([text, other]), near)
        true = jaccard(text, other, near)
        errors.append(float((one == two).mean()) - true)
        spread.append(true * (1 - true) / 112)
    assert abs(np.mean(errors)) < 3 * np.sqrt(np.mean(spread) / 400)
    assert 0.85 < np.std(errors) / np.sqrt(np.mean(spread)) < 1.15


@pytest.mark.parametrize("near", NEAR)
def test_short_and_empty_texts_are_one_shingle(near: NearDuplicates) -> None:
    values = signatures(Texts.of(["", " ", "가", "나", "가나", "가 "]), near)
    assert (values[0] == values[1]).all() and (values[2] == values[5]).all()
    assert len({tuple(row) for row in values.tolist()}) == 4
    assert [len(found) for found in shingle_sets(Texts.of(["", "가"]), near)] == [1, 1]


def test_band_keys_depend_on_every_row_of_their_band_and_on_no_other() -> None:
    near = NearDuplicates(bands=3, rows=2)
    values = np.arange(6, dtype=np.uint32)[None].repeat(7, axis=0)
    for row in range(6):
        values[row + 1, row] = 99
    keys = band_keys(values, near)
    assert ((keys[1:] != keys[0]) == np.repeat(np.eye(3, dtype=bool), 2, axis=0)).all()
    swapped = band_keys(values[:1, [1, 0, 2, 3, 4, 5]], near)
    assert (swapped[0] != keys[0]).tolist() == [True, False, False]


def test_eojeols_have_a_size_of_their_own() -> None:
    assert NearDuplicates(shingles="eojeols").size == 5 and NearDuplicates().size == 12
