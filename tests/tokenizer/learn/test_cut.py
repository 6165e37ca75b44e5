"""Words cut by the kernel are words cut by the base's own library."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from redwhale.tokenizer.base import SENTENCEPIECE, read_base, tokenizer_of
from redwhale.tokenizer.learn.cut import cutter_of, piece_of, string_of
from redwhale.tokenizer.learn.pretokens import pretokens
from redwhale.tokenizer.learn.words import WordCounts
from tests import pico
from tests.tokenizer.makers import demo_korean

NOTHING = np.zeros(0, dtype=np.bool_)
MAKERS = {"sentencepiece": pico.make_spm_base, "byte": pico.make_byte_base}


def _eojeols() -> Counter[str]:
    return Counter(
        word for text in demo_korean("news") + pico.english_lines() for word in f" {text}".split(" ") if word
    )


@pytest.mark.parametrize("family", MAKERS)
def test_words_are_cut_as_the_library_cuts_them(tmp_path: Path, family: str) -> None:
    base = read_base(MAKERS[family](tmp_path))
    cutter, library = cutter_of(base), tokenizer_of(base.document, merges_only=True).model
    counted = {f" {word}".encode(): count for word, count in _eojeols().items() if "\n" not in word}
    words = cutter.cut(WordCounts.of(counted), NOTHING)
    expected = {}
    for word, count in counted.items():
        tokens = [token.id for token in library.tokenize(piece_of(base, word))]
        if len(tokens) > 1:
            expected[word] = (tokens, count)
    starts, ends = words.starts, words.starts + words.lengths
    found = [words.symbols[start:end].tolist() for start, end in zip(starts, ends, strict=True)]
    assert len(found) > 500
    assert list(zip(found, words.weights.tolist(), strict=True)) == list(expected.values())


def test_new_syllables_are_symbols_and_bytes_join_with_nothing(tmp_path: Path) -> None:
    base = read_base(pico.make_spm_base(tmp_path))
    assert base.family == SENTENCEPIECE
    cutter = cutter_of(base, ["한", "국"])
    words = cutter.cut(WordCounts.of({" 한국어".encode(): 2}), NOTHING)
    assert words.symbols[1:3].tolist() == [base.tokens, base.tokens + 1]
    assert [cutter.strings[symbol] for symbol in words.symbols[3:]] == [None] * 3  # 어 is spelt in three bytes
    assert cutter.spell(" 한".encode()) == [b" ", "한".encode()]


def test_strings_and_pieces_are_each_other(tmp_path: Path) -> None:
    for family, make in MAKERS.items():
        base = read_base(make(tmp_path / family))
        for piece in base.vocabulary:
            string = string_of(base, piece)
            assert string is not None and piece_of(base, string) == piece


def test_pretokens_are_those_of_the_base_and_keep_their_counts(tmp_path: Path) -> None:
    base = read_base(pico.make_byte_base(tmp_path))
    words = {" 한국": 3, "한국,(한국)": 2, "3월①": 1, "abc": 9}
    found = dict(pretokens(base, WordCounts.of({word.encode(): count for word, count in words.items()})).items())
    assert found == {" 한국".encode(): 3, "한국".encode(): 4, "월".encode(): 1, "①".encode(): 1}


def test_no_words_give_no_words(tmp_path: Path) -> None:
    base = read_base(pico.make_byte_base(tmp_path))
    words = cutter_of(base).cut(WordCounts.of({}), NOTHING)
    assert len(words.weights) == 0 and words.symbols.dtype == np.int32
