"""Kiwi's morphemes: spans of the text, whatever the text."""

import pytest

from redwhale.core.recipe.filters import Filters
from redwhale.corpus.filters.morphemes import find_morphemes, stripped
from tests.corpus.filters.judged import reasons


def words(text: str) -> list[str]:
    return [text[start:stop] for start, stop in find_morphemes(text)]


def test_spans_stand_where_the_words_are() -> None:
    assert words("학교에 갔다.") == ["학교", "에", "갔", "갔다"[1:], "."] or words("학교에 갔다.")[:2] == ["학교", "에"]
    # A long number is passed over without moving what follows it.
    assert words("123456789012345678901 학교에서") == ["학교", "에서"]
    assert words("") == [] and words(" \n ") == []


@pytest.mark.parametrize("text", ["가" * 20_000, "1" * 50_000, "ㅋ" * 9_000, "😀" * 5_000, "학교 " * 30_000])
def test_long_runs_do_not_break_kiwi(text: str) -> None:
    spans = find_morphemes(text)
    assert len(spans) == 0 or spans[-1, 1] <= len(text)


def test_stripped_spans() -> None:
    assert stripped("가 나  다", [(0, 2), (1, 2), (2, 5)]).tolist() == [[0, 1], [2, 3]]


def test_published_thresholds() -> None:
    limits = Filters(preset="fineweb2-ko")
    published = {
        "max_dup_line_frac": 0.374, "max_top_2_gram": 0.282, "max_top_3_gram": 0.228, "max_top_4_gram": 0.185,
        "max_dup_5_gram": 0.201, "max_dup_6_gram": 0.184, "max_dup_7_gram": 0.168, "max_dup_8_gram": 0.154,
        "max_dup_9_gram": 0.14, "max_dup_10_gram": 0.127, "min_line_punct": 0.062, "max_new_lines": 0.196,
        "max_char_dup": 0.1, "min_mean_word": 1, "max_mean_word": 6, "min_alpha_words": 0.791, "min_stop_words": 2,
        "min_words": 50, "max_words": 100_000,
    }  # fmt: skip
    assert {name: getattr(limits, name) for name in published} == published
    assert limits.min_chars is None and limits.min_hangul is None and limits.max_short_lines is None


def test_documents_by_morphemes() -> None:
    sentences = (
        "어제는 비가 많이 와서 하루 종일 집에서 책을 읽었다. 저녁에는 오랜 친구가 찾아와 함께 밥을 먹었다.",
        "우리는 늦은 밤까지 지난 여름의 여행과 새로 옮긴 직장에 대하여 이야기를 나누었다.",
        "오늘 아침에는 하늘이 맑게 개어 강가를 따라 한 시간쯤 걸었고, 돌아오는 길에 빵을 샀다.",
    )
    good = "\n".join(sentences)
    limits = Filters(preset="fineweb2-ko")
    assert reasons([good, "짧은 글이다.", good.replace(".", ","), "서울 부산 " * 40], limits)[::2] == [
        None,
        "min_line_punct",
    ]
    assert reasons(["짧은 글이다."], limits)[0] in ("max_top_2_gram", "min_words")
