"""Quality filters: reasons, values computed by hand, order."""

import pytest

from redwhale.core.recipe.filters import FILTER_PRESETS, Filters
from redwhale.corpus.filters.rules import count_classes, count_mojibake, features, judge, repeated_ngram_share

GOOD = "오늘은 날씨가 맑아서 강가를 따라 한 시간쯤 걸었습니다."


def reason(text: str, *, language: str = "ko", limits: Filters | None = None, boilerplate: int = 0) -> str | None:
    found = features(
        text, language=language, mojibake=count_mojibake(text), raw_visible=len("".join(text.split())),
        boilerplate=boilerplate,
    )  # fmt: skip
    verdict = judge(found, limits or Filters())
    return verdict[0] if verdict else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, None),
        ("네 알겠습니다.", "min_chars"),
        ("", "min_chars"),
        ("The harbour museum reopened on Saturday after repairs.", "min_hangul"),
        ("!!! *** ??? ### 가나 ///// ===== ----- +++++", "min_letters"),
        ("ㅋㅋㅋㅋㅋㅋㅋ 진짜 재밌다 ㅠㅠㅠㅠ 최고 ㅎㅎㅎㅎ", None),
        ("같은 줄입니다\n" * 5 + GOOD, "max_duplicate_lines"),
        ("같은 줄입니다\n" * 3 + "다른 줄", None),
        ("한 번만 사세요! 지금 바로! " * 6, "max_duplicate_lines"),
        ("당일 대출 문의 " * 12, "max_repeated_ngrams"),
        (GOOD.encode().decode("latin-1"), "max_replacement"),
        (GOOD.encode().decode("cp1252", "replace"), "max_replacement"),
        (GOOD.encode("cp949").decode("latin-1"), "max_replacement"),
        (GOOD.encode().decode("cp949", "replace"), "max_replacement"),
        ("\ufffd\ufffd" + GOOD, "max_replacement"),
        ("짱짱짱 키키키 신화 흥해라 흥해라 카타파하 초코 챠트 ♥♥♥", None),
        ("café déjà vu « naïve » 이라고 그가 말했다고 합니다", None),
    ],
)
def test_reasons(text: str, expected: str | None) -> None:
    assert reason(text) == expected


def test_ratios_are_taken_outside_code_or_over_all() -> None:
    code = "```cpp\n" + "int value = compute(argument);\n" * 20 + "```\n"
    assert reason("설명은 이렇다.\n" + code) is None
    commented = "## Examples\n```sh\n" + "# 파일 이름만 모두 출력한다\ntree -f\n" * 9 + "```"
    assert reason(commented) is None
    assert reason("## Examples only\n" + code) == "min_hangul"
    assert reason("[클래스](../../mfc/reference/" + "a" * 300 + ".md)를 설명하는 글입니다. `" + "b" * 200 + "`") is None


def test_a_bilingual_text_is_korean_enough() -> None:
    english = "Clojure defines many algorithms in terms of sequences, which are logical lists."
    assert reason(english + "\n클로저는 많은 알고리즘을 논리적 리스트인 시퀀스로 정의한다.") is None
    assert reason(english, language="en") is None


def test_boilerplate_share() -> None:
    assert reason(GOOD, boilerplate=len(GOOD)) is None
    assert reason(GOOD, boilerplate=len(GOOD) + 1) == "max_boilerplate"


def test_values_by_hand() -> None:
    assert count_classes("가나 ab\t12 ㅋ! 漢\n😀") == (6, 2, 3, 10)
    assert repeated_ngram_share(["가", "나", "다", "가", "나", "다", "가", "나", "다", "라"]) == 0.9
    assert repeated_ngram_share(["가", "가", "가", "가", "가"]) == 1.0
    assert repeated_ngram_share(["가", "나", "다", "가", "나", "다"]) == 0.0
    rare = [*"가나다가나다가나다", *(f"낱말{i}" for i in range(10))]
    assert repeated_ngram_share(rare) == 9 / 39
    assert repeated_ngram_share(rare, limit=0.4) == 0.0  # three words cannot cover more: no 3-gram is counted


def test_limits_come_from_the_recipe_and_off_keeps_everything() -> None:
    off = Filters(**FILTER_PRESETS["off"])
    for text in ("a", "!", "\ufffd" * 9, "같은 줄\n" * 50, "x y z " * 50):
        assert reason(text, limits=off, boilerplate=10**6) is None
    assert reason("", limits=off) == "min_chars"
    assert reason(GOOD, limits=Filters(max_chars=10)) == "max_chars"
    assert reason("hello there, wonderful world", limits=Filters(min_hangul=0.5)) == "min_hangul"
