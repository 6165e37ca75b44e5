"""The sample of passages."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from redwhale.tokenizer.measure.passages import PASSAGE_CHARACTERS, PassageSample, passage_of
from tests import pico


def sample_of(texts: list[str], limit_bytes: int) -> list[str]:
    sample = PassageSample(limit_bytes)
    for text in texts:
        sample.see(text)
    return sample.passages()


@given(st.lists(st.text("한국 ", min_size=1, max_size=40), max_size=30), st.integers(0, 300), st.integers())
def test_the_order_of_documents_does_not_matter(texts: list[str], limit_bytes: int, seed: int) -> None:
    shuffled = Random(seed).sample(texts, len(texts))
    kept = sample_of(texts, limit_bytes)
    assert kept == sample_of(shuffled, limit_bytes)
    assert sum(len(passage.encode()) for passage in kept) <= limit_bytes
    assert len(kept) <= len(texts)


def test_all_is_kept_that_fits_and_has_hangul() -> None:
    texts = [*pico.korean_documents(20), "English only", ""]
    assert sorted(sample_of(texts, 100_000)) == sorted(texts[:20])
    some = sample_of(texts, 1000)
    assert sum(len(text.encode()) for text in some) > 1000 - max(len(text.encode()) for text in texts)
    assert set(some) < set(texts)


@given(st.integers(0, 2**64 - 1))
def test_a_passage_is_whole_eojeols_out_of_the_text(key: int) -> None:
    text = " ".join(pico.korean_documents(30))
    passage = passage_of(text, key)
    assert len(passage) <= PASSAGE_CHARACTERS and len(passage) > PASSAGE_CHARACTERS - 60
    assert f" {passage} " in f" {text} "


def test_a_text_without_white_space_is_cut_anywhere() -> None:
    assert passage_of("한" * 3000, 17) == "한" * PASSAGE_CHARACTERS
    assert passage_of("  짧은 글\n", 17) == "짧은 글"
