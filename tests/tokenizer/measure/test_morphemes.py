"""Boundaries of morphemes and tokens, by hand and against a slow reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redwhale.corpus.filters.morphemes import find_morphemes
from redwhale.tokenizer.measure.encoder import Encoder, Spans
from redwhale.tokenizer.measure.morphemes import (
    Boundaries,
    common_boundaries,
    compare_boundaries,
    places_inside,
)


def encoder_cutting(spans: Spans) -> Encoder:
    return Encoder(
        "tokenizers", {}, np.zeros(0, dtype=bool), None, lambda texts: np.zeros(0, np.int64), lambda text: spans
    )


def marked(text: str) -> str:
    """Return the text with a bar at each morpheme boundary that is counted."""
    every = [(i, i + 1) for i in range(len(text))]
    shown = ""
    for place in range(len(text)):
        one = np.zeros(len(text) + 1, dtype=bool)
        one[place] = places_inside(text)[place]
        shown += "|" * common_boundaries(one, find_morphemes(text), np.array(every)).morphemes + text[place]
    return shown


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("우리는 학교에 갔다.", "우리|는 학교|에 갔|다."),  # 갔 is 가 and 었
        ("공부했다 해서 예뻐졌어요", "공부|했|다 해서 예뻐|졌|어요"),  # 해서 is 하 and 어서 over one syllable
        ("한국어를 좋아해요.", "한국어|를 좋아해요."),
        ("난 이게 뭔지 몰라", "난 이게 뭔지 몰|라"),
        ("재밌다ㅋㅋㅋ", "재밌|다|ㅋㅋㅋ"),
        ("😀😀 비가 왔지만", "😀😀 비|가 왔|지만"),  # places are characters, not UTF-16
        ("HTML5의 2,300원에", "HTML5|의 2,300|원|에"),
        ("시ㆍ구 교류", "시ㆍ구 교류"),  # the dot is punctuation
    ],
)
def test_real_cases(text: str, wanted: str) -> None:
    assert marked(text) == wanted


def test_shares_by_hand() -> None:
    text = "우리는 학교에 갔다"  # morphemes meet before 는, 에, 다; places inside eojeols: 2 + 2 + 1
    cuts = {
        "every character": [(i, i + 1) for i in range(len(text))],
        "every eojeol": [(0, 3), (3, 7), (7, 10)],
        "우리는 학|교|에 갔다": [(0, 3), (3, 5), (5, 6), (6, 7), (7, 10)],
    }
    found = compare_boundaries([encoder_cutting(spans) for spans in cuts.values()], [text])
    assert [(b.morphemes, b.tokens, b.both) for b in found] == [(3, 5, 3), (3, 0, 0), (3, 2, 1)]
    assert [b.kept for b in found] == [1.0, 0.0, pytest.approx(1 / 3)]
    assert [b.precision for b in found] == [pytest.approx(3 / 5), None, 0.5]
    assert Boundaries().kept is None


def test_bytes_of_a_character_are_no_boundary_inside_it() -> None:
    places = places_inside("한국")
    tokens = np.array([(0, 1), (0, 1), (0, 2), (1, 2)])  # the third holds the end of 한 and the start of 국
    assert common_boundaries(places, np.array([(0, 1), (1, 2)]), tokens) == Boundaries(1, 0, 0)
    assert common_boundaries(places, np.array([(0, 1), (1, 2)]), tokens[:2]) == Boundaries(1, 1, 1)


@st.composite
def texts_and_spans(draw: st.DrawFn) -> tuple[str, Spans, Spans]:
    text = draw(st.text("한국어a1 .ㆍ", min_size=1, max_size=12))
    place = st.integers(0, len(text))
    spans = st.lists(st.tuples(place, place).map(lambda pair: (min(pair), max(pair))), max_size=6)
    return text, draw(spans), draw(spans)


@given(texts_and_spans())
def test_against_a_slow_reference(case: tuple[str, Spans, Spans]) -> None:
    text, morphemes, tokens = case
    expected = Boundaries()
    for place in range(1, len(text)):
        left, right = text[place - 1], text[place]
        if not (left in "한국어a1" and right in "한국어a1" and (left in "한국어" or right in "한국어")):
            continue
        ends = any(place in span for span in morphemes) and not any(a < place < b for a, b in morphemes)
        cut = not any(a < place < b for a, b in tokens)
        expected.add(Boundaries(int(ends), int(cut), int(ends and cut)))
    spans = [np.array(part, dtype=np.int64).reshape(-1, 2) for part in (morphemes, tokens)]
    assert common_boundaries(places_inside(text), *spans) == expected
