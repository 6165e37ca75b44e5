"""Normalisation: idempotent, lossless for Hangul, nothing invisible left."""

import itertools
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redwhale.corpus.clean.normalize import normalize, normalize_texts, unify_newlines_in
from redwhale.corpus.clean.repeats import cap_repeats
from redwhale.corpus.texts import Texts

HANGUL = st.one_of(
    st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3),
    st.characters(min_codepoint=0x1100, max_codepoint=0x11FF),
    st.characters(min_codepoint=0x3131, max_codepoint=0x318E),
    st.sampled_from("ㄱㅅㅇㅋㅏㅔㅠㅡㄶ\u1100\u1161\u11a8"),
)
NASTY = st.text(
    alphabet=st.one_of(
        HANGUL,
        st.characters(min_codepoint=0xFF61, max_codepoint=0xFFDC),
        st.sampled_from(
            "ab1 \t\n\r\x0b\x0c\x00\x85\xa0\xad\u200b\u200c\u200d\u2028\u3000\u318d\u2027\u30fb\ufeff😀👩①㎡㈜"
            "\u0301\u0338\u212b\u0958\u09be\u093c\u20dd\U000e0041\U000e0100\ufe0f\u3164\uff9e"
        ),
        st.characters(),
        st.just("\ud800"),
    ),
    max_size=60,
)
INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
FINALS = "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"


def letters(text: str) -> str:
    """Spell out modern Hangul, of whatever encoding, in compatibility jamo."""
    spelt = []
    for code in map(ord, unicodedata.normalize("NFKD", text)):
        if 0x1100 <= code < 0x1113:
            spelt.append(INITIALS[code - 0x1100])
        elif 0x1161 <= code < 0x1176:
            spelt.append(chr(0x314F + code - 0x1161))
        elif 0x11A8 <= code < 0x11C3:
            spelt.append(FINALS[code - 0x11A8])
    return "".join(spelt)


@settings(max_examples=500, deadline=None)
@given(st.lists(NASTY, max_size=4))
@example(
    ["\u212b\u200d\u212b", "A\u0301\u3000\u0301", "ㅎㅏ\u200b\u0301", "가\u200d\u318d\u200dㄱ", "\u3164ㄱㅏ\u3164ㄱㅏ"]
)
@example(["\u1100\u1161\u318d", "가 \n \n\n\n 나", "\n\n", "\u3000\u30fb\u200c가", "\u0600\u200d\u0600\u200c가"])
def test_twice_is_once(strings: list[str]) -> None:
    once = normalize_texts(Texts.of(strings))
    assert normalize_texts(once).strings() == once.strings()
    for text in once.strings():
        assert unicodedata.is_normalized("NFC", text)
        assert not set(text) & set("\x00\r\x85\u2028\u200b\ufeff\xa0\x0b\xad\u3000\u3164\U000e0041")
        assert not text.startswith("\n") and not text.endswith("\n") and "\n\n\n\n" not in text
        assert not any(line.endswith((" ", "\t")) for line in text.split("\n"))


@pytest.mark.parametrize(
    ("alphabet", "longest"), [("가ㆍㅅㅔ", 7), ("가ㆍㅅㅔ\u30fb ㅎㅜ", 5), ("가ㆍㅅㅔ\u119e\u1161\n", 5)]
)
def test_twice_is_once_for_every_short_text(alphabet: str, longest: int) -> None:
    texts = ["".join(text) for size in range(longest) for text in itertools.product(alphabet, repeat=size + 1)]
    once = normalize_texts(Texts.of(texts))
    assert normalize_texts(once).strings() == once.strings()


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=HANGUL, max_size=40))
def test_no_letter_of_hangul_is_lost(text: str) -> None:
    assert letters(normalize(text)) == letters(text)


@pytest.mark.promise("F18")
@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3), max_size=40))
def test_no_syllable_is_lost_whatever_stands_between(text: str) -> None:
    decorated = "\u200b".join(unicodedata.normalize("NFD", text))
    assert normalize(decorated) == text


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x2FFFF, categories=["L", "N", "P", "S"])))
def test_visible_text_in_nfc_stays(text: str) -> None:
    text = "".join(c for c in unicodedata.normalize("NFC", text) if not 0x1100 <= ord(c) <= 0x11FF)
    kept = "".join(c for c in text if c not in "\u318d\u2027\u30fb" and not 0x3131 <= ord(c) <= 0x318E)
    kept = "".join(c for c in kept if not 0xFF61 <= ord(c) <= 0xFFDC)
    assert normalize(unicodedata.normalize("NFC", kept)) == unicodedata.normalize("NFC", kept)


@pytest.mark.promise("F18")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("정말 재밌다ㅋㅋㅋ 대박ㅠㅠ", "정말 재밌다ㅋㅋㅋ 대박ㅠㅠ"),
        ("① ㎡ ㈜ ½ ™ Ａ！", "① ㎡ ㈜ ½ ™ Ａ！"),
        ("시장ㆍ군수‧구청장・의장", "시장·군수·구청장·의장"),
        ("3ㆍ1운동 4ㆍ19", "3·1운동 4·19"),
        ("ㆍㆍㆍ 목차", "··· 목차"),
        ("가ㆍㆍㆍ나 가ㆍㆍㄴ 「ㆍ」", "가···나 가·ㆍㄴ 「·」"),
        ("ㅎㆍㄴ 아래아", "ㅎㆍㄴ 아래아"),
        ("アール・ヌーヴォー", "アール・ヌーヴォー"),
        ("ﾊﾝｸﾞﾙ ﾡￂ", "ハングル 가"),
        ("가\u200b나\u00ad다\ufeff", "가나다"),
        ("👩\u200d🚀 가\u200d나", "👩\u200d🚀 가나"),
        ("가　나\xa0다\u3164라", "가 나 다 라"),
        ("한\r\n글\r문\u2028서\x85", "한\n글\n문\n서"),
        ("가  \n\n\n\n\n\n나\t", "가\n\n\n나"),
        ("깨진 \ud800 글자\x00", "깨진 \ufffd 글자"),
        ("  들여 쓴 줄", "  들여 쓴 줄"),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af 樂 e\u0301", "한글 樂 é"),
        ("깃발🏴\U000e0067\U000e007f", "깃발🏴"),
        (" \n\t\n", ""),
    ],
)
def test_each_rule(before: str, after: str) -> None:
    assert normalize(before) == after


def test_newlines_are_unified_and_nothing_else() -> None:
    texts = unify_newlines_in(Texts.of(["가\r\n나\r다\u2029라\x1c", "마 \u3000\u200b\n", ""]))
    assert texts.strings() == ["가\n나\n다\n라\n", "마 \u3000\u200b\n", ""]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("재밌다ㅋㅋㅋㅋㅋ 좋아요!!!!", "재밌다ㅋㅋ 좋아요!!"),
        ("음... ㅠㅠㅠ😂😂😂", "음.. ㅠㅠ😂😂"),
        ("가가가가 ---- #### 1000", "가가가가 ---- #### 1000"),
        ("`!!!!` 그리고\n```\nㅋㅋㅋㅋ\n```", "`!!!!` 그리고\n```\nㅋㅋㅋㅋ\n```"),
    ],
)
def test_long_runs_are_cut(before: str, after: str) -> None:
    assert cap_repeats(Texts.of([before]), 2).strings() == [after]


def test_a_run_ends_with_its_text() -> None:
    assert cap_repeats(Texts.of(["ㅋㅋ", "ㅋㅋ", "ㅋ"]), 2).strings() == ["ㅋㅋ", "ㅋㅋ", "ㅋ"]
