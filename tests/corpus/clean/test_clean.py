"""All of cleaning together: every byte accounted for, bad input, and real text."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.core.recipe.cleaning import Clean
from redwhale.corpus.clean.clean import CleanTexts, clean_texts
from redwhale.corpus.texts import Texts
from tests.corpus.clean.real import SOURCES, needs_data, read

EVERYTHING = Clean(amendment_marks="remove", cap_repeats=3)
NOTHING = Clean(front_matter="keep", html="keep", kramdown="keep", escapes="keep", boilerplate="keep")
PIECES = [
    "<p>",
    "</p>",
    "&amp;",
    "\u3000",
    "\u200b",
    "가",
    "ㅅㅔ",
    "ㅋㅋㅋㅋ",
    "로그인",
    "\n",
    "\r\n",
    "```",
    "ㆍ",
    "1\\.",
    " ",
]
PIECES += ["홍길동 기자 a@b.kr", "<개정 2012.8.22>", "e\u0301", "---\na: b\n---\n", "\ufffd", "Ã\xad", "문장이다."]
HANGUL = re.compile("[가-힣]")
ANGLES = re.compile("<[^<>\n]*>")


def checked(strings: list[str], options: Clean) -> CleanTexts:
    """Clean texts and check what must hold whatever they are."""
    raw = Texts.of(strings)
    cleaned = clean_texts(raw, options)
    assert (raw.sizes == cleaned.texts.sizes + cleaned.bytes_removed.sum(axis=1)).all()
    assert cleaned.bytes_removed.dtype == np.int32 and cleaned.bytes_removed.shape == (len(strings), 3)
    assert len(cleaned.texts) == len(strings) and cleaned.texts.offsets[-1] == len(cleaned.texts.data)
    cleaned.texts.strings()  # valid UTF-8
    return cleaned


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), max_size=4))
def test_every_byte_is_accounted_for(strings: list[str]) -> None:
    for options in (Clean(), EVERYTHING, NOTHING):
        cleaned = checked(strings, options)
        lines = sum(len(line.line) for line in cleaned.removed_lines)
        assert sum(cleaned.removed_by_kind.values()) - cleaned.removed_by_kind["amendment"] == lines
        alone = [clean_texts(Texts.of([string]), options).texts.string(0) for string in strings]
        assert cleaned.texts.strings() == alone


def test_a_page_is_cleaned_as_a_whole() -> None:
    page = (
        "---\n제목: 봄\n---\n<p>1\\. 고래가&nbsp;돌아왔다ㆍ봄이다.</p>\r\n\r\n로그인 | 회원가입\r\n"
        "홍길동 기자 hong@example.com\r\n\r\n\r\n\r\n정말 재밌다ㅋㅋㅋㅋ <개정 2012.8.22>"
    )
    cleaned = checked([page, "그대로"], Clean())
    assert cleaned.texts.strings() == [
        "1. 고래가 돌아왔다ㆍ봄이다.\n\n\n정말 재밌다ㅋㅋㅋㅋ <개정 2012.8.22>".replace("ㆍ", "·"),
        "그대로",
    ]
    assert cleaned.removed_by_kind == {"menu": 10, "byline": 23}
    assert cleaned.boilerplate_chars.tolist() == [33, 0]
    assert checked([page], EVERYTHING).texts.string(0).endswith("정말 재밌다ㅋㅋㅋ")
    kept = checked([page], NOTHING).texts.string(0)
    assert "&nbsp;" in kept and "로그인" in kept and kept.startswith("---") and "\r" not in kept


def test_mojibake_is_counted_in_the_raw_text() -> None:
    cleaned = checked(["오늘".encode().decode("latin-1") + " \ufffd", "글 쓴다"], Clean())
    assert cleaned.mojibake_chars.tolist() == [7, 0]
    assert cleaned.raw_visible_chars.tolist() == [7, 3]


@pytest.mark.promise("F22")
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n" * 1000,
        "\u3000" * 1000,
        "가",
        "<",
        "&",
        "\\",
        "`",
        "😀" * 1000,
        "👩\u200d🚀" * 500,
        "\x00",
        "ㅋ",
        "\u0301",
        "---",
    ],
)
def test_odd_texts_pass(text: str) -> None:
    cleaned = checked([text, "", text], EVERYTHING)
    assert cleaned.texts.string(0) == cleaned.texts.string(2)


def test_no_texts_pass() -> None:
    cleaned = checked([], EVERYTHING)
    assert len(cleaned.texts) == 0 and cleaned.mojibake_chars.shape == (0,)


@pytest.mark.promise("F22")
def test_a_million_lines_pass() -> None:
    cleaned = checked(["가\n" * 1_000_000, "로그인\n" * 100_000], Clean())
    assert cleaned.texts.sizes.tolist() == [3_999_999, 0]


# Each would take hours for a rule whose time is quadratic.
HOSTILE = ["<", "<a ", "<script>", "<!--", "<b>", "&", "&#", "\\", "`", "``\n", "```\n", "{:", "{% ", "---\na: b\n"]
HOSTILE += [
    "ㅅㅔ",
    "ㅅㅔㅋ ",
    "ㆍ",
    "\u3164ㅂㅘ",
    "\u200d",
    "\u0316\u0301",
    "\uff8a\uff9e",
    "\u1100\u1161",
    " ",
    " \n",
    "\r",
]
HOSTILE += [
    "@",
    "a@b.c ",
    "로그인 후 ",
    "홈 > ",
    "정치 ",
    "사이트 경험 쿠키 ",
    "저작권자 © ",
    "<개정 2012.1.1",
    "[가이동<",
    "Ã\xad",
    "議",
]


@pytest.mark.promise("F21")
@pytest.mark.parametrize("piece", HOSTILE)
def test_a_megabyte_of_anything_takes_linear_time(piece: str) -> None:
    checked([piece * (1_000_000 // len(piece.encode()))], EVERYTHING)


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("name", SOURCES)
def test_no_hangul_in_angle_brackets_is_lost(name: str) -> None:
    """Outside front matter, code and comments, but for values of HTML attributes: four labels of buttons."""
    texts = read(name)
    options = Clean(front_matter="keep", kramdown="keep", escapes="keep", boilerplate="keep")
    cleaned = checked(texts, options).texts.strings()
    before = sum(len(HANGUL.findall(angle)) for text in texts for angle in ANGLES.findall(text))
    after = sum(len(HANGUL.findall(angle)) for text in cleaned for angle in ANGLES.findall(text))
    labels = sum(len(HANGUL.findall(angle)) for text in texts for angle in re.findall("<input [^<>\n]*>", text))
    hidden = sum(len(HANGUL.findall(angle)) for text in texts for angle in re.findall("<!--[^<>\n]*-->", text))
    assert before - after <= labels + hidden
    assert labels + hidden == 0 or name == "wiki"
    assert before > 50_000 or name != "law"


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("name", SOURCES)
def test_real_text_keeps_its_words(name: str) -> None:
    texts = read(name)
    cleaned = checked(texts, Clean())
    assert sum(cleaned.removed_by_kind.values()) < 1000
    before = sum(len(HANGUL.findall(text)) for text in texts)
    after = sum(len(HANGUL.findall(text)) for text in cleaned.texts.strings())
    assert after > {"wiki": 0.97, "law": 0.97, "cppdocs": 0.96}.get(name, 0.9999) * before
