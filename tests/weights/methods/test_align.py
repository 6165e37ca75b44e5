"""Segmentations in the corpus: counted by hand, on both families, and read from a real little corpus."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.tokenizer.base import BYTE_LEVEL, SENTENCEPIECE, read_base
from redwhale.weights.methods.align import Alignment, align, count_words, cutter
from tests import pico
from tests.weights.makers import make_corpus

WORDS = Counter({"가나": 3, "나가나": 2, "abc": 9})


def by_table(cuts: dict[str, list[tuple[int, int]]]):
    """Return a cutter that reads (id, bytes) from a table."""

    def cut(word: str) -> list[tuple[int, int, int]]:
        tokens, start = [], 0
        for identifier, size in cuts[word]:
            tokens.append((identifier, start, start + size))
            start += size
        return tokens

    return cut


def test_occurrences_count_by_the_base_pieces_between_their_ends() -> None:
    base = by_table({"가나": [(1, 3), (2, 3)], "나가나": [(5, 2), (6, 1), (7, 6)], "abc": [(0, 3)]})
    extended = by_table({"가나": [(100, 6)], "나가나": [(101, 3), (100, 6)], "abc": [(0, 3)]})
    found, crossed = align(WORDS, base, extended, first_new=100, new_tokens=3, base_ids=50)
    assert found == [Counter({(1, 2): 3, (7,): 2}), Counter({(5, 6): 2}), Counter()]
    assert crossed == 0
    aligned = Alignment(found, sample_bytes=60, crossed=0)
    # 3 of 5 occurrences are halves of 1 and 2, the others are 7 alone; what never occurs is spelt verbatim
    assert aligned.mixtures([[1, 2], [8], [9, 4]]) == [
        {1: pytest.approx(0.3), 2: pytest.approx(0.3), 7: pytest.approx(0.4)}, {5: 0.5, 6: 0.5}, {4: 1.0, 9: 1.0},
    ]  # fmt: skip
    assert aligned.counts([[1, 2], [8], [9, 4]]) == {
        "sample_bytes": 60, "tokens_seen": 2, "tokens_spelt_otherwise": 2, "occurrences": 7, "crossed": 0,
    }  # fmt: skip


def test_tokens_that_the_base_does_not_end_at_are_crossed_as_are_pieces_without_a_row() -> None:
    base = by_table({"가나": [(1, 2), (2, 4)], "나가나": [(5, 3), (60, 6)], "abc": [(0, 3)]})
    extended = by_table({"가나": [(100, 3), (101, 3)], "나가나": [(100, 3), (101, 6)], "abc": [(0, 3)]})
    found, crossed = align(WORDS, base, extended, first_new=100, new_tokens=2, base_ids=50)
    assert found == [Counter({(5,): 2}), Counter()]
    assert crossed == 3 + 3 + 2


def test_both_families_cut_words_as_they_do_within_a_text(tmp_path: Path) -> None:
    text = "오늘 return the 날씨"
    spm = read_base(pico.make_spm_base(tmp_path / "spm", vocabulary=420))
    cut = cutter(spm.document, SENTENCEPIECE)
    pieces = [token for word in (" 오늘", " return", " the", " 날씨") for token in cut(word)]
    assert [identifier for identifier, _, _ in pieces] == spm.tokenizer().encode(text, add_special_tokens=False).ids
    byte = read_base(pico.make_byte_base(tmp_path / "byte", vocabulary=420))
    cut = cutter(byte.document, BYTE_LEVEL)
    pieces = [token for word in ("오늘", " return", " the", " 날씨") for token in cut(word)]
    assert [identifier for identifier, _, _ in pieces] == byte.tokenizer().encode(text, add_special_tokens=False).ids
    for cutting in (cut, cutter(spm.document, SENTENCEPIECE)):
        tokens = cutting(" 날씨")
        assert [begin for _, begin, _ in tokens] == [0, *(end for _, _, end in tokens[:-1])]


def test_words_are_counted_with_the_space_before_them_over_the_whole_source(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path)
    words, taken = count_words(corpus, sample_bytes=10**9)
    texts = [f"{text} {i}" for i, text in enumerate(pico.korean_documents(40))]
    assert words == Counter(f" {word}" for text in texts for word in text.split(" "))
    assert taken == sum(len(text.encode()) for text in texts)
    half, taken_half = count_words(corpus, sample_bytes=taken // 2)
    assert abs(taken_half - taken // 2) < 400 and count_words(corpus, sample_bytes=taken // 2) == (half, taken_half)
    assert {" 0", " 39"} <= set(words) and sum(f" {i}" in half for i in range(20)) == pytest.approx(10, abs=2)


def test_a_corpus_without_korean_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RedwhaleError, match="no Korean text to learn from") as caught:
        count_words(make_corpus(tmp_path, language="en"), sample_bytes=1000)
    assert caught.value.exit_code == 2
