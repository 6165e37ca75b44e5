"""Normalisation: idempotent, lossless for Hangul, nothing invisible left."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.corpus.clean.normalize import normalize

NASTY = st.text(
    alphabet=st.one_of(
        st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3),
        st.characters(min_codepoint=0x1100, max_codepoint=0x11FF),
        st.characters(min_codepoint=0x3131, max_codepoint=0x318E),
        st.characters(min_codepoint=0xFF61, max_codepoint=0xFFDC),
        st.sampled_from(
            "ab1 \t\n\r\x0b\x0c\x00\x85\xa0\xad\u200b\u200c\u200d\u2028\u3000\u318d\u2027\u30fb\ufeff😀👩①㎡㈜"
        ),
        st.characters(),
        st.just("\ud800"),
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(NASTY)
def test_twice_is_once(text: str) -> None:
    once = normalize(text)
    assert normalize(once) == once
    assert unicodedata.is_normalized("NFC", once)
    once.encode("utf-8")
    assert not any(character in once for character in "\x00\r\x85\u2028\u200b\ufeff\xa0\x0b\xad")
    assert not once.startswith("\n") and not once.endswith("\n") and "\n\n\n\n" not in once
    assert not any(line.endswith((" ", "\t")) for line in once.split("\n"))


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3), max_size=40))
def test_no_syllable_is_lost_whatever_stands_between(text: str) -> None:
    decorated = "\u200b".join(unicodedata.normalize("NFD", text))
    assert normalize(decorated) == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("정말 재밌다ㅋㅋㅋ 대박ㅠㅠ", "정말 재밌다ㅋㅋㅋ 대박ㅠㅠ"),
        ("① ㎡ ㈜ ½ ™ Ａ！", "① ㎡ ㈜ ½ ™ Ａ！"),
        ("시장ㆍ군수‧구청장・의장", "시장·군수·구청장·의장"),
        ("3ㆍ1운동 4ㆍ19", "3·1운동 4·19"),
        ("ㆍㆍㆍ 목차", "··· 목차"),
        ("ㅎㆍㄴ 아래아", "ㅎㆍㄴ 아래아"),
        ("アール・ヌーヴォー", "アール・ヌーヴォー"),
        ("ﾊﾝｸﾞﾙ ﾡￂ", "ハングル ㄱㅏ"),
        ("가\u200b나\u00ad다\ufeff", "가나다"),
        ("👩\u200d🚀 가\u200d나", "👩\u200d🚀 가나"),
        ("가　나\xa0다\u3164라", "가 나 다 라"),
        ("한\r\n글\r문\u2028서\x85", "한\n글\n문\n서"),
        ("가  \n\n\n\n\n\n나\t", "가\n\n\n나"),
        ("깨진 \ud800 글자\x00", "깨진 \ufffd 글자"),
        ("  들여 쓴 줄", "  들여 쓴 줄"),
    ],
)
def test_each_rule(before: str, after: str) -> None:
    assert normalize(before) == after
