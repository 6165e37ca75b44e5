"""The sample: shares, spread, long documents, and words as the base's pipeline cuts them."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.tokenizer.base import BaseTokenizer, read_base
from redwhale.tokenizer.learn.sample import Sample, read_sample, sample_texts, share_bytes
from tests import pico
from tests.tokenizer.makers import parquet_source


@pytest.fixture(scope="module")
def spm_base(tmp_path_factory: pytest.TempPathFactory) -> BaseTokenizer:
    return read_base(pico.make_spm_base(tmp_path_factory.mktemp("spm")))


@pytest.fixture(scope="module")
def byte_base(tmp_path_factory: pytest.TempPathFactory) -> BaseTokenizer:
    return read_base(pico.make_byte_base(tmp_path_factory.mktemp("byte")))


def _words(sample: Sample) -> Counter[str]:
    return Counter({word.decode(): count for word, count in sample.words.items()})


def test_sentencepiece_words_are_hangul_runs_with_their_space(tmp_path: Path, spm_base: BaseTokenizer) -> None:
    source = parquet_source(tmp_path, "a", ["한국 사람\n한국,(한국) 3월  밤 시장ㆍ군", "끝"])
    sample = read_sample([source], spm_base, sample_bytes=10**6)
    # The dummy prefix stands before a document, not before a line; of two spaces the second is the word's.
    assert _words(sample) == Counter(
        {" 한국": 1, " 사람": 1, "한국": 2, "월": 1, " 밤": 1, " 시장": 1, "군": 1, " 끝": 1}
    )
    assert sample.characters[ord("한")] == 3 and sample.characters[ord("ㆍ")] == 1
    assert sample.text_bytes == source.text_bytes


def test_byte_level_words_are_eojeols_without_dummy_prefix(tmp_path: Path, byte_base: BaseTokenizer) -> None:
    source = parquet_source(tmp_path, "a", ["한국 사람\n한국,(한국)"])
    sample = read_sample([source], byte_base, sample_bytes=10**6)
    assert _words(sample) == Counter({"한국": 1, " 사람": 1, "한국,(한국)": 1})


def test_what_stands_for_personal_data_is_not_learnt(
    tmp_path: Path, spm_base: BaseTokenizer, byte_base: BaseTokenizer
) -> None:
    source = parquet_source(tmp_path, "a", ["연락은 [전화번호]로, 또는 [이메일]"])
    assert _words(read_sample([source], spm_base, sample_bytes=10**6)) == Counter({" 연락은": 1, "로": 1, " 또는": 1})
    assert not any("전화" in word for word in _words(read_sample([source], byte_base, sample_bytes=10**6)))


def test_the_sample_is_shared_by_size_over_korean_sources_only(tmp_path: Path, spm_base: BaseTokenizer) -> None:
    large = parquet_source(tmp_path, "large", [f"문서 {i} " + "가나 다라" * 20 for i in range(600)])
    small = parquet_source(tmp_path, "small", [f"문서 {i} " + "마바 사아" * 20 for i in range(200)])
    english = parquet_source(tmp_path, "english", ["한글 text"] * 300, language="en")
    sample = read_sample([large, small, english], spm_base, sample_bytes=40_000)
    assert set(sample.sources) == {"large", "small"}
    assert abs(sample.text_bytes - 40_000) < 1000
    assert abs(sample.sources["large"] / sample.sources["small"] - 3) < 0.1
    again = read_sample([large, small, english], spm_base, sample_bytes=40_000)
    assert list(again.words.items()) == list(sample.words.items())


def test_the_sample_is_spread_over_the_source(tmp_path: Path, spm_base: BaseTokenizer) -> None:
    texts = [chr(0xAC00 + i) * 30 for i in range(1000)]
    sample = read_sample([parquet_source(tmp_path, "a", texts)], spm_base, sample_bytes=9_000)
    seen = sorted(ord(character) - 0xAC00 for character in set("".join(_words(sample))) - {" "})
    assert len(seen) in range(95, 106)
    assert max(b - a for a, b in pairwise(seen)) <= 11


def test_a_document_longer_than_the_share_gives_parts_of_it(tmp_path: Path, spm_base: BaseTokenizer) -> None:
    text = " ".join(chr(0xAC00 + i % 11_000) * 3 for i in range(40_000))
    sample = read_sample([parquet_source(tmp_path, "a", [text])], spm_base, sample_bytes=8_000)
    assert 7_000 < sample.text_bytes <= 8_000
    firsts = {ord(word[-1]) - 0xAC00 for word in _words(sample)}
    assert min(firsts) < 2_000 and max(firsts) > 9_000


def test_weights_share_in_place_of_sizes_and_a_small_source_gives_the_rest_away() -> None:
    sizes = {"large": 900, "small": 100}
    assert share_bytes(sizes, 500, None) == {"large": 450, "small": 50}
    assert share_bytes(sizes, 120, {"large": 1, "small": 1}) == {"large": 60, "small": 60}
    assert share_bytes(sizes, 500, {"large": 1, "small": 1}) == {"large": 400, "small": 100}
    assert share_bytes(sizes, 500, {"small": 1}) == {"large": 0, "small": 100}
    assert share_bytes(sizes, 5000, None) == sizes
    with pytest.raises(RedwhaleError, match="blog is no Korean source of the corpus"):
        share_bytes(sizes, 500, {"blog": 1})


@pytest.mark.promise("F23")
def test_a_line_of_100_kb_is_read_in_parts_none_of_it_skipped(tmp_path: Path, spm_base: BaseTokenizer) -> None:
    text = "가나다 라마 " * 6_000
    source = parquet_source(tmp_path, "a", [text])
    segments = list(sample_texts([source], sample_bytes=10**6))
    assert "".join(segment.text for segment in segments) == text
    assert [segment.begins for segment in segments] == [True] + [False] * (len(segments) - 1)
    assert _words(read_sample([source], spm_base, sample_bytes=10**6)) == Counter({" 가나다": 6_000, " 라마": 6_000})


def test_without_korean_text_it_says_so(tmp_path: Path, spm_base: BaseTokenizer) -> None:
    english = parquet_source(tmp_path, "english", ["text"], language="en")
    with pytest.raises(RedwhaleError, match="no Korean text to learn from") as caught:
        read_sample([english], spm_base, sample_bytes=1000)
    assert caught.value.exit_code == 2
