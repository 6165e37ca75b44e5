"""Folding leaves what is said, and the gaps tell eojeols from sentences."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redwhale.corpus.decontaminate.fold import EOJEOL, JOINED, LINE, SENTENCE, fold_text, folding
from redwhale.corpus.texts import Texts


def fold(text: str) -> tuple[str, list[int]]:
    """Return the folded text and the gap before each character and at the end."""
    texts = Texts.of([text])
    size = len(texts.data)
    codes, gaps = np.empty(size + 1, np.uint16), np.empty(size + 1, np.uint8)
    marks = np.empty((size >> 6) + 1, np.int64)
    count = fold_text(texts.data, 0, size, folding(), codes, gaps, marks)
    for number, mark in enumerate(marks[: (count + 63) >> 6].tolist()):
        byte = texts.data[mark:].tobytes().decode()[0]
        assert fold_character(byte) == chr(codes[number * 64])
    return "".join(map(chr, codes[:count].tolist())), gaps[: count + 1].tolist()


def fold_character(character: str) -> str:
    """The slow rule: a letter or digit in its plain form, anything else goes."""
    code = ord(character)
    jamo = ((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xD7B0, 0xD7FF), (0xFFA0, 0xFFDC))
    if code > 0xFFFF or any(first <= code <= last for first, last in jamo):
        return ""
    plain = unicodedata.normalize("NFKC", character).casefold()
    folded = plain if len(plain) == 1 else character
    return folded if folded.isalnum() else ""


@given(st.text(max_size=200))
def test_the_kernel_folds_as_the_slow_rule_does(text: str) -> None:
    text = text.replace("\ud800", "")
    folded, gaps = fold(text)
    assert folded == "".join(map(fold_character, Texts.of([text]).string(0)))
    assert gaps[0] == LINE or not folded
    assert gaps[-1] == LINE


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("재밌다ㅋㅋㅋ ㅠㅠ", "재밌다"),
        ("「민법」에 대한", "민법에대한"),
        ("[철]에 따라 피는 꽃.", "철에따라피는꽃"),
        ("ＡＢＣ abc Ａbc", "abcabcabc"),
        ("1,000원, 3.5㎏", "1000원35"),
        ("시장ㆍ군수·구청장", "시장군수구청장"),
        ("女子와 ①번 é", "女子와1번é"),
        ("a\u200bb 💕", "ab"),
    ],
)
def test_letters_and_digits_stay_in_their_plain_form(text: str, folded: str) -> None:
    assert fold(text)[0] == folded


def test_gaps_tell_eojeols_sentences_and_lines_apart() -> None:
    folded, gaps = fold("가 나, 다. 라ㅋㅋ 마\n바💕사“아")
    assert folded == "가나다라마바사아"
    assert gaps == [LINE, EOJEOL, EOJEOL, SENTENCE, SENTENCE, LINE, SENTENCE, SENTENCE, LINE]
    assert fold("don't")[1] == [LINE, JOINED, JOINED, EOJEOL, LINE]
