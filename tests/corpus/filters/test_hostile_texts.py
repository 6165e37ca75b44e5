"""Texts made to break filters: none crashes, and none takes time out of proportion."""

import pytest

from redwhale.core.recipe.filters import Filters
from tests.corpus.filters.judged import measured, reasons

MEGABYTE = 1_000_000
HOSTILE = {
    "empty": "",
    "one character": "가",
    "one letter a megabyte long": "a" * MEGABYTE,
    "one syllable a megabyte long": "가" * (MEGABYTE // 3),
    "spaces": " " * MEGABYTE,
    "newlines": "\n" * MEGABYTE,
    "emoji": "👨‍👩‍👧‍👦" * 40_000,
    "a million words": "가 " * (MEGABYTE // 4),
    "words that all differ": " ".join(map(str, range(150_000))),
    "lines that all differ": "\n".join(map(str, range(150_000))),
    "equal lines": "같은 줄.\n" * 80_000,
    "full stops": ". " * (MEGABYTE // 2),
    "hashes and dots": "#." * (MEGABYTE // 2),
    "brackets": "](" * (MEGABYTE // 2),
    "schemes": "h://" * (MEGABYTE // 4),
    "backticks": "`" * MEGABYTE,
    "offers": "토토사이트 카지노 " * 40_000,
    "terms cut short": "카지 " * 100_000,
    "jamo": "ㅋ" * (MEGABYTE // 3),
    "combining marks": "a" + "\u0301" * (MEGABYTE // 2),
    "nul": "\0" * MEGABYTE,
}


@pytest.mark.promise("F21", "F22")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_judged(name: str) -> None:
    found = reasons([HOSTILE[name]])
    assert found[0] is not None


@pytest.mark.promise("F22")
def test_a_million_words_are_counted_exactly() -> None:
    found = measured(["가 " * MEGABYTE + "나"], Filters(max_chars=None))
    assert found.words[0, 0] == MEGABYTE + 1
    assert found.ngrams[0, 0] == 3 * (MEGABYTE - 1)


def test_hostile_texts_leave_their_neighbours_alone() -> None:
    good = "오늘은 날씨가 맑아서 강가를 따라 한 시간쯤 걸었습니다."
    mixed = [text for hostile in HOSTILE.values() for text in (hostile[:50_000], good)]
    assert reasons(mixed)[1::2] == [None] * len(HOSTILE)
    assert reasons([], Filters()) == []


def test_texts_beyond_the_limit_are_only_counted() -> None:
    good = "오늘은 날씨가 맑아서 강가를 따라 한 시간쯤 걸었습니다."
    limits = Filters(max_chars=100)
    long = "가나 " * 500
    found = measured([good, long, good], limits)
    assert found.chars.tolist() == [len(good), 1500, len(good)] and found.words[1, 0] == 0
    assert reasons([good, long, good], limits) == [None, "max_chars", None]
