"""Counted words and characters, against regular expressions."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.tokenizer.learn.words import CODE_POINTS, INSIDE, WANTED, WordCounter
from tests.tokenizer.makers import demo_korean


def _classes() -> np.ndarray:
    classes = np.zeros(CODE_POINTS, dtype=np.uint8)
    classes[0xAC00:0xD7A4] = INSIDE | WANTED
    classes[ord("a") : ord("z") + 1] = INSIDE
    return classes


def _expected(texts: list[str]) -> Counter[str]:
    words = (word for text in texts for word in re.findall(" ?[a-z가-힣]{1,128}", text))
    return Counter(word for word in words if re.search("[가-힣]", word))


def _found(texts: list[str]) -> tuple[Counter[str], np.ndarray]:
    counter = WordCounter(_classes())
    for text in texts:
        counter.add(text)
    return Counter({word.decode(): count for word, count in counter.finish().items()}), counter.characters


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.sampled_from("가나a \n①𝕏é"), max_size=20), max_size=4))
def test_words_are_those_of_the_pattern(texts: list[str]) -> None:
    assert _found(texts)[0] == _expected(texts)


def test_real_text_in_more_than_one_buffer_and_characters() -> None:
    texts = [text for kind in ("news", "reviews", "official") for text in demo_korean(kind)] * 80
    assert sum(len(text.encode()) for text in texts) > 1 << 22
    words, characters = _found(texts)
    assert words == _expected(texts)
    expected = Counter(character for text in texts for character in text)
    assert {chr(code): int(characters[code]) for code in np.flatnonzero(characters) if code != 10} == {
        character: count for character, count in expected.items() if character != "\n"
    }


def test_a_run_without_end_is_counted_in_parts() -> None:
    assert _found(["가" * 300])[0] == Counter({"가" * 128: 2, "가" * 44: 1})
