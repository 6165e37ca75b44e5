"""What is measured: values computed by hand, and slow obvious references for the kernels."""

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.core.recipe.filters import Filters
from tests.corpus.filters.judged import measured, value

ALL = Filters(min_lines=0)


def top_ngram(words: list[str], n: int, least: int) -> int:
    """Gopher's most frequent n-gram, joined by spaces: length times count."""
    grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    if not grams:
        return 0
    best, count = grams.most_common(1)[0]
    return (sum(map(len, best)) + n - 1) * count if count >= least else 0


def repeated_ngrams(words: list[str], n: int) -> int:
    """Gopher's characters in repeated n-grams, from left to right."""
    seen, total, i = set(), 0, 0
    while i <= len(words) - n:
        gram = tuple(words[i : i + n])
        if gram in seen:
            total += sum(map(len, gram))
            i += n
        else:
            seen.add(gram)
            i += 1
    return total


def repeats(pieces: list[str]) -> tuple[int, int]:
    """Pieces that occurred before, and their characters."""
    seen: set[str] = set()
    count = characters = 0
    for piece in pieces:
        if piece in seen:
            count, characters = count + 1, characters + len(piece)
        seen.add(piece)
    return count, characters


WORDS = st.lists(st.sampled_from(["가", "나다", "라마바", "a", "bc1"]), max_size=60)
LINES = st.lists(
    st.sampled_from(["첫 줄이다.", "둘째 줄", "셋", "  들여 쓴 줄. 두 문장!", ""]), min_size=1, max_size=25
)


@settings(max_examples=150, deadline=None)
@given(WORDS)
def test_ngrams_equal_the_reference(words: list[str]) -> None:
    found = measured([" ".join(words)]).ngrams[0].tolist()
    assert found[:3] == [top_ngram(words, n, least=3) for n in (2, 3, 4)]
    assert found[3:] == [repeated_ngrams(words, n) for n in range(5, 11)]


@settings(max_examples=100, deadline=None)
@given(WORDS)
def test_morphemes_are_counted_as_datatrove_counts_them(words: list[str]) -> None:
    text, spans = " ".join(words), []
    for word in words:
        start = spans[-1][1] + 1 if spans else 0
        spans.append((start, start + len(word)))
    limits = Filters(preset="fineweb2-ko")
    spans_array = np.array(spans, dtype=np.int64).reshape(-1, 2)
    found = measured([text], limits, morphemes=[spans_array]).ngrams[0].tolist()
    assert found[:3] == [top_ngram(words, n, least=1) for n in (2, 3, 4)]
    assert found[3:] == [repeated_ngrams(words, n) for n in range(5, 11)]


@settings(max_examples=150, deadline=None)
@given(LINES)
def test_repeated_lines_and_paragraphs_equal_the_reference(lines: list[str]) -> None:
    text = "\n".join(lines).strip("\n")
    found = measured([text]).repeats[0].tolist()
    assert tuple(found[:2]) == repeats([line for line in text.split("\n") if line])
    blocks = [block for block in re.split(r"\n{2,}", text) if block]
    assert tuple(found[2:4]) == repeats(blocks)


def test_lines_by_hand() -> None:
    text = (
        "첫째 줄이다.\n- 둘째 줄…\n\n• 셋째는 서른 자가 넘도록 길게 늘여 쓴 줄이라서 짧은 줄이 아니다!\n"
        "넷째 줄은 javascript\n그가 말했다 “간다.”"
    )
    assert value("min_line_punct", text, ALL) == 2 / 5
    assert value("max_short_lines", text, ALL) == 4 / 5
    assert value("max_bullet_lines", text) == 2 / 6
    assert value("max_ellipsis_lines", text) == 1 / 6
    assert value("max_javascript_lines", text) == 1 / 5
    assert value("min_terminal_lines", text, ALL) == 3 / 5
    assert value("min_sentences", text) == 5
    assert value("max_new_lines", text, ALL) == 5 / 23
    assert np.isnan(value("min_line_punct", "한 줄이다.\n두 줄이다."))  # spared: fewer than five lines


def test_words_by_hand() -> None:
    text = "나는 학교에 갔다 . ㅋㅋㅋ abc 12 #태그 ... 끝"
    assert value("min_words", text) == 8
    assert value("min_mean_word", text) == (2 + 3 + 2 + 3 + 3 + 2 + 3 + 1) / 8
    assert value("min_alpha_words", text) == 7 / 10
    assert value("max_jamo_words", text) == 1 / 10
    assert value("max_hashes", text) == 1 / 10
    assert value("max_ellipses", text) == 1 / 10
    assert value("max_ellipses", "가 ... 나 ...... 다 … 라 ..") == 4 / 8
    assert value("max_curly_braces", "함수 { 몸 } 과 `{` 코드") == 1
    assert value("max_lorem_ipsum", "여기는 Lorem Ipsum dolor") == 1


def test_particles_by_hand() -> None:
    text = "나는 학교에서 친구를 만난 뒤 책을 읽었다. " * 4
    assert value("min_particles", text) == 5 / 7
    nouns = "서울 부산 대구 광주 인천 울산 대전 " * 4
    assert value("min_particles", nouns) == 0.0
    assert np.isnan(value("min_particles", "나는 간다"))  # too few words to tell


def test_torn_words_by_hand() -> None:
    machine = "파일을 삭제 하려면 단추를 클릭 합니다. 설정 된 값은 다시 시작 하면 적용 됩니다. "
    assert value("max_split_words", machine * 3) == 5 / 14
    human = "파일을 삭제하려면 단추를 눌러야 합니다. 일을 하는 사람은 값을 정하게 됩니다. 그렇게 하면 좋게 된다. "
    assert value("max_split_words", human * 3) == 0.0
    assert np.isnan(value("max_split_words", machine))


def test_unspaced_by_hand() -> None:
    run = "띄어쓰기를하나도하지않고쓴긴글"
    assert len(run) == 15
    assert value("max_unspaced", f"{run} 짧은 말") == 15 / 18
    assert value("max_unspaced", f"{run}이다 짧은 말") == 17 / 20
    assert value("max_unspaced", f"{run[:-1]} 짧은 말") == 0.0


def test_code_and_addresses_are_left_out() -> None:
    code = "```\n" + "int x = 1;\n" * 30 + "```\n"
    text = "설명은 다음과 같다.\n" + code + "끝이다."
    assert value("min_words", text) == 4
    assert value("max_dup_line_frac", text) == 0.0
    assert value("max_hashes", "`#` 하나") == 0.0
    linked = "[이름](https://example.com/a_b)은 예이고 https://example.com/긴 주소와 www다."
    found = measured([linked])
    assert found.words[0, 0] == 5  # 이름은, 예이고, 긴, 주소와, www다.
    assert value("max_urls", linked) == pytest.approx(45 / 62)
    assert value("max_urls", "주소 " + "https://example.com/" + "a" * 300) > 0.9


def test_ratios_count_code_where_that_is_better() -> None:
    commented = "## Examples\n```sh\n" + "# 파일 이름만 모두 출력한다\ntree -f\n" * 9 + "```"
    assert value("min_hangul", commented) > 0.3


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=5))
def test_texts_do_not_touch_each_other(texts: list[str]) -> None:
    together = measured(texts)
    for index, text in enumerate(texts):
        alone = measured([text])
        for name in ("kinds", "words", "lines", "marks", "repeats", "ngrams", "unspaced", "offers"):
            assert np.array_equal(getattr(together, name)[index], getattr(alone, name)[0]), name


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_every_character_is_counted_once(text: str) -> None:
    found = measured([text])
    clean = text.encode("utf-8", "replace").decode()
    assert found.chars[0] == len(clean)
    assert found.lines[0, 8] <= text.count("\n")


def test_sentences_split_at_marks_before_spaces() -> None:
    sentences = ["하나다.", "둘이다!", "셋인가?", "3.14", "넷…"]
    text = " ".join(sentences)
    assert value("min_sentences", text) == 4  # 3.14 and the ellipsis end nothing
    assert all(first != second for first, second in pairwise(sentences))
    assert value("max_duplicate_lines", "사세요! 지금! " * 3) == 1.0
