"""Text decoded with the wrong encoding is counted, other text is not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.corpus.clean.mojibake import count_mojibake
from redwhale.corpus.texts import Texts

SENTENCE = "안녕하세요, 오늘 서울의 날씨는 맑습니다."


def count(text: str) -> int:
    """Count in one text among others."""
    counts, _ = count_mojibake(Texts.of(["가", text, "議"]))
    assert counts[0] == counts[2] == 0
    return int(counts[1])


@pytest.mark.parametrize(
    ("encoded", "read_as", "share"),
    [("utf-8", "latin-1", 0.7), ("utf-8", "cp1252", 0.6), ("utf-8", "cp949", 0.3), ("cp949", "latin-1", 0.2)],
)
def test_wrongly_decoded_korean_is_counted(encoded: str, read_as: str, share: float) -> None:
    text = SENTENCE.encode(encoded).decode(read_as, "replace")
    assert count(text) >= share * len(text)


@pytest.mark.parametrize(
    "text",
    [
        SENTENCE,
        "",
        "café crème ©2020 «naïve» 3×4÷2",
        "중재인(仲裁人)의 판정과 率, 樂",
        "ÀÉÎ",
        "日本語のテキスト",
        "x² ± 1°",
    ],
)
def test_text_of_other_languages_is_not(text: str) -> None:
    assert count(text) == 0


def test_replacement_characters_are_counted_once() -> None:
    assert count("깨진 \ufffd\ufffd 글") == 2
    assert count("Ã\ufffd") == 2  # a lead byte and what took its continuation's place


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from(" \n\t\u3000\x85\xa0\x1c가"))))
)
def test_visible_characters_are_those_that_are_not_space(strings: list[str]) -> None:
    _, visible = count_mojibake(Texts.of(strings))
    assert visible.dtype == np.int32
    assert visible.tolist() == [len("".join(string.split())) for string in strings]
