"""Reasons: every rule rejects what it is for, keeps what is good, and can be switched off."""

import numpy as np
import pytest
from pydantic import ValidationError

from redwhale.core.recipe.filters import FILTER_PRESETS, FilterChoice, Filters
from redwhale.corpus.filters.verdict import RULES, explain, judge
from tests.corpus.filters.judged import measured, reasons

GOOD = "오늘은 날씨가 맑아서 강가를 따라 한 시간쯤 걸었습니다."
PROSE = "어제는 비가 와서 집에서 책을 읽었다. 저녁에는 친구가 찾아와 함께 밥을 먹었고, 늦도록 이야기를 나누었다."
NOUNS = ("서울", "부산", "공원", "병원", "학원", "호텔", "극장", "은행")
TORN = (
    "파일을 삭제 하려면 단추를 클릭 합니다. 설정 된 값은 프로그램을 다시 시작 하면 바로 적용 됩니다. 오류가 발생 "
    "하는 경우에는 관리자에게 문의 하십시오. 이 메서드는 개체를 반환 하거나 예외를 발생 합니다. 자세한 내용은 아래에 "
    "설명 된 표를 참조 하세요."
)
LINES = "봄에는 꽃이 피고\n여름에는 비가 온다\n가을이면 잎이 지고\n겨울밤은 길다\n해가 바뀌면\n다시 봄이 온다"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, None),
        (PROSE, None),
        ("네 알겠습니다.", "min_chars"),
        ("", "min_chars"),
        ("The harbour museum reopened on Saturday after repairs.", "language"),
        ("港の博物館は修理のあと土曜日に再び開かれました。한글", "language"),
        ("The harbour museum of the city reopened on a Saturday in May after long repairs. 끝", "min_hangul"),
        ("!!! *** ??? ### 가나 ///// ===== ----- +++++", "min_letters"),
        ("010 1234 5678 9012 3456 7890 번호", "max_digits"),
        ("주소 모음 https://example.com/" + "a" * 200, "max_urls"),
        ("ㅋㅋㅋㅋㅋㅋ ㅎㅎㅎㅎㅎ ㅠㅠㅠㅠㅠ ㅇㅇㅇ 그래요 ㅋㅋ", "max_jamo_words"),
        ("ㅋㅋㅋㅋㅋㅋㅋ 진짜 재밌다 ㅠㅠㅠㅠ 최고 ㅎㅎㅎㅎ", None),
        ("같은 줄입니다\n" * 5 + GOOD, "max_duplicate_lines"),
        ("같은 줄입니다\n" * 2 + "다른 줄이 하나 더 있다", None),
        ("한 번만 사세요! 지금 바로! " * 6, "max_duplicate_lines"),
        ("당일 대출 문의 " * 12, "max_top_2_gram"),
        ("볼 만 하 긴 합 니 다 정 말 요 참 좋 네", "min_mean_word"),
        ("내가고등학교때좋아했던배우입니다당연히최고입니다", "max_mean_word"),
        ("1 2 3 4 5 6 7 8 9 가나다라마바사아자차카타파하거너더러머버", "min_alpha_words"),
        (" ".join(f"{word}{i}" for i in range(3) for word in NOUNS), "min_particles"),
        ("여기에 Lorem ipsum dolor 라는 글이 들어간다", "max_lorem_ipsum"),
        ("café déjà vu « naïve » 이라고 그가 말했다고 합니다", None),
        ("쾰른 시의 大聖堂은 높이가 157m에 이르는 건물이다", None),
        ("짱짱짱 키키키 신화 흥해라 흥해라 카타파하 초코 챠트 ♥♥♥", None),
    ],
)  # fmt: skip
def test_reasons_of_the_default(text: str, expected: str | None) -> None:
    assert reasons([text]) == [expected]


@pytest.mark.parametrize(
    ("changes", "text", "expected"),
    [
        ({"max_chars": 10}, GOOD, "max_chars"),
        ({"min_words": 50}, GOOD, "min_words"),
        ({"max_words": 5}, GOOD, "max_words"),
        ({"max_dup_line_frac": 0.3}, "같은 줄\n같은 줄\n다른 줄이 여기에 있다", "max_dup_line_frac"),
        ({"max_dup_line_char_frac": 0.2}, "똑같은 한 줄\n똑같은 한 줄\n다른 줄이 있다", "max_dup_line_char_frac"),
        ({"max_dup_para_frac": 0.3}, "같은 문단\n\n같은 문단\n\n다른 문단이 있다", "max_dup_para_frac"),
        ({"max_dup_para_char_frac": 0.2}, "같은 문단\n\n같은 문단\n\n다른 문단이다", "max_dup_para_char_frac"),
        ({"min_line_punct": 0.1}, LINES, "min_line_punct"),
        ({"max_short_lines": 0.67}, LINES, "max_short_lines"),
        ({"max_char_dup": 0.01}, f"{LINES}\n봄에는 꽃이 피고", "max_char_dup"),
        ({"max_new_lines": 0.2}, LINES, "max_new_lines"),
        ({"min_terminal_lines": 0.5}, LINES, "min_terminal_lines"),
        ({"max_hashes": 0.1}, "#봄 #여름 #가을 #겨울 계절의 이름을 적어 본다", "max_hashes"),
        ({"max_ellipses": 0.1}, "그러니까... 그게... 말하자면... 이런 이야기였다", "max_ellipses"),
        ({"max_bullet_lines": 0.9}, "- 첫째는 이것이다\n- 둘째는 저것이다\n• 셋째는 그것이다", "max_bullet_lines"),
        ({"max_ellipsis_lines": 0.3}, "그러니까…\n그게 말하자면...\n이런 이야기였다고 한다", "max_ellipsis_lines"),
        ({"max_curly_braces": 0}, "중괄호 { 하나가 들어 있는 글이라고 한다", "max_curly_braces"),
        ({"max_javascript_lines": 0.1}, "이 글을 보려면 JavaScript를 켜 주십시오", "max_javascript_lines"),
        ({"min_sentences": 5}, GOOD, "min_sentences"),
        ({"max_split_words": 0.02}, TORN, "max_split_words"),
    ],
)  # fmt: skip
def test_reasons_of_rules_that_are_off_by_default(changes: dict, text: str, expected: str) -> None:
    assert reasons([text], Filters(**changes)) == [expected]
    if expected not in ("max_chars", "max_duplicate_lines"):
        assert reasons([text], Filters(**{**changes, expected: None})) == [None]


@pytest.mark.parametrize("n", range(5, 11))
def test_repeated_ngrams(n: int) -> None:
    words = " ".join(f"낱말{i}이" for i in range(n))
    text = " ".join(f"{words} 사이{i}에" for i in range(2))
    off = {f"max_dup_{m}_gram": None for m in range(5, 11)}
    assert reasons([text], Filters(**{**off, f"max_dup_{n}_gram": 0.3})) == [f"max_dup_{n}_gram"]
    assert reasons([text], Filters(**{**off, f"max_dup_{n}_gram": 0.5})) == [None]


def test_what_cleaning_found_counts() -> None:
    assert reasons([GOOD], mojibake=[1], raw_visible=[100]) == [None]
    assert reasons([GOOD], mojibake=[2], raw_visible=[100]) == ["max_replacement"]
    assert reasons([GOOD], boilerplate=[len(GOOD)]) == [None]
    assert reasons([GOOD], boilerplate=[len(GOOD) + 1]) == ["max_boilerplate"]


def test_languages_are_told_by_script() -> None:
    english = "The harbour museum reopened on Saturday after repairs."
    russian = "Музей в порту снова открылся в субботу после ремонта."
    japanese = "港の博物館は修理のあと土曜日に再び開かれました。"
    texts = [english, russian, japanese, PROSE]
    assert reasons(texts, language="en") == [None, "language", "language", "language"]
    assert reasons(texts, language="ru") == ["language", None, "language", "language"]
    assert reasons(texts, language="ja") == ["language", "language", None, "language"]
    assert reasons(texts, language="ko") == ["language", "language", "language", None]
    assert reasons([english, russian, PROSE], language="code") == [None, None, None]  # no script is expected
    assert reasons([f"{english}\n클로저는 많은 알고리즘을 순서열로 정의한다."]) == [None]


def test_values_and_thresholds_are_reported() -> None:
    limits = Filters(max_chars=10)
    verdicts = judge(measured([GOOD, "가나다"], limits), limits, "ko")
    assert [RULES[place] for place in verdicts.reason] == ["max_chars", "min_chars"]
    assert verdicts.value.tolist() == [len(GOOD), 3] and verdicts.threshold.tolist() == [10, 20]
    kept = judge(measured([GOOD]), Filters(), "ko")
    assert kept.reason[0] == -1 and np.isnan(kept.value[0]) and np.isnan(kept.threshold[0])


def test_every_rule_explains_itself() -> None:
    findings = explain(measured([GOOD, "짧다"]), Filters(), "ko", 1)
    assert [finding.rule for finding in findings] == list(RULES)
    found = {finding.rule: finding for finding in findings}
    assert found["min_chars"].verdict == "rejected" and found["min_chars"].value == 2
    assert found["max_chars"].verdict == "kept" and found["max_chars"].threshold == 1_000_000
    assert found["min_words"].verdict == "off" and found["min_words"].value == 1
    assert found["min_particles"].verdict == "does not apply"


def test_off_keeps_everything() -> None:
    texts = ["", "a", "!", "\ufffd" * 9, "같은 줄\n" * 50, "x y z " * 50, "토토사이트 카지노사이트 바카라사이트 추천"]
    limits = Filters(preset="off")
    kept = reasons(texts, limits, boilerplate=[10**6] * 7, mojibake=[9] * 7, raw_visible=[9] * 7)
    assert kept == [None] * 7
    fields = {name for name in Filters.model_fields if name.startswith(("min_", "max_"))} - {"min_lines"}
    assert fields == {"min_script" if r == "language" else r for r in RULES} - {"language_model"} | {"min_language"}


def test_presets_take_changes() -> None:
    from pydantic import TypeAdapter

    choice = TypeAdapter(FilterChoice)
    assert choice.validate_python("law") == Filters(preset="law")
    changed = choice.validate_python({"preset": "law", "max_chars": 500})
    assert changed.max_chars == 500 and changed.max_gambling is None and changed.preset == "law"
    assert choice.validate_python({"min_chars": 5}).max_gambling == Filters().max_gambling
    with pytest.raises(ValidationError, match=r"there is no filter preset 'news' \(redwhale-web"):
        choice.validate_python("news")
    with pytest.raises(ValidationError):
        choice.validate_python({"preset": "news"})
    with pytest.raises(ValidationError, match="needs `words: kiwi`"):
        Filters(min_stop_words=2)
    for name in FILTER_PRESETS:
        again = Filters.model_validate(Filters(preset=name).model_dump())
        assert again == Filters(preset=name)


def test_presets_suit_their_texts() -> None:
    verse = "\n".join(
        ["산 너머 남촌에는 누가 사는지", "해마다 봄바람이 남으로 오고", "꽃이 피는 사월이면", "나는 간다"] * 2
    )
    chat = "ㅋㅋㅋㅋ 대박 ㅠㅠ ㅇㅈ"
    penal = "도박을 한 사람은 벌금에 처한다. 카지노업의 허가를 받으려는 자는 신청서를 제출하여야 한다."
    assert reasons([chat]) == ["min_chars"] and reasons([chat], Filters(preset="forum")) == [None]
    assert reasons([verse], Filters(preset="books")) == ["min_chars"]
    assert reasons([penal], Filters(preset="law")) == [None]
