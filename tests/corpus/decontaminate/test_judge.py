"""Planted benchmark texts are found however they are written, and ordinary sentences are left alone."""

import pickle
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.core.recipe.decontaminate import Decontaminate
from redwhale.corpus.decontaminate.benchmarks import Item
from redwhale.corpus.decontaminate.index import Index
from redwhale.corpus.decontaminate.judge import Outcome, decontaminate
from redwhale.corpus.texts import Texts
from tests.corpus.decontaminate.planting import WRITINGS, with_spaces, without_spaces

PASSAGE = (
    "솔미도는 남해에 있는 작은 섬으로, 하루에 두 번 배가 들어간다. 섬에는 자동차가 없어 "
    "주민들은 자전거나 손수레로 짐을 나른다. 겨울에는 파도가 높아 배가 한 번만 다니는 날이 많다."
)
CONTEXT = "남자가 부엌에서 달걀 두 개를 꺼낸다. 그릇 모서리에 달걀을 톡톡 쳐서 깨뜨린 뒤 젓가락으로 잘 풀어 준다."
ENGLISH = 'Which of these "Harbour Towns" lost its lighthouse in the storm of 1893?'
FIELDS = [
    Item("boolq", "test", 1, "passage", PASSAGE, passage=True),
    Item("boolq", "test", 1, "question", "솔미도 주민들은 자동차로 짐을 나르나요?"),
    Item("copa", "test", 1, "premise", "등잔이 꺼졌다."),
    Item("copa", "test", 1, "alternative_1", "방이 어둡다."),
    Item("copa", "test", 1, "alternative_2", "밖으로 나가서 옆집 문을 두드렸다."),
    Item("hellaswag", "test", 1, "context", CONTEXT),
    Item("sentineg", "test", 1, "sentence", "손잡이 단단하지 않아요"),
    Item("sentineg", "test", 2, "sentence", "아주 좋아요"),
    Item("arc", "test", 7, "question", ENGLISH),
]
INDEX = Index.build(FIELDS)
BEFORE = "어제는 온종일 비가 내렸습니다. 오후에는 도서관에 들러 책을 두 권 빌렸어요.\n"
AFTER = "\n저녁에는 동생과 함께 국수를 삶아 먹고 일찍 잠자리에 들었습니다."


def outcome(texts: Sequence[str], index: Index = INDEX, **options: str) -> Outcome:
    section = Decontaminate.model_validate({"benchmarks": [{"name": "kobest"}], **options})
    return decontaminate(Texts.of(texts), index, section)


def planted(text: str, **options: str) -> str | None:
    """Return for which item a document with a planted text is rejected, once it is clear that it is for the text."""
    clean, dirty = outcome([BEFORE + AFTER, BEFORE + text + AFTER], **options).details
    assert clean is None
    return dirty


@pytest.mark.parametrize("writing", WRITINGS)
@pytest.mark.parametrize("item", [item for item in FIELDS if len(item.text) > 10], ids=lambda item: item.field)
def test_every_item_is_found_in_every_writing(item: Item, writing: str) -> None:
    label = f"{item.benchmark} {item.split} {item.row} {item.field}"
    assert planted(WRITINGS[writing](item.text), passages="drop") == label


@given(st.floats(0, 1), st.floats(0, 0.5), st.integers(0, 9999), st.integers(0, len(FIELDS) - 1))
@settings(max_examples=200)
def test_an_item_in_a_line_of_its_own_is_found_with_any_spacing(
    removed: float, added: float, seed: int, number: int
) -> None:
    item = FIELDS[number]
    written = with_spaces(without_spaces(item.text, removed, seed), added, seed)
    found = outcome([BEFORE + written + AFTER], passages="drop")
    assert (found.details[0] is not None) == (len(item.text) > 10)
    assert sum((found.contaminated + found.phrases).values()) == 1


def test_an_item_is_found_in_the_middle_of_a_sentence_only_where_it_is_long() -> None:
    assert planted("그는 솔미도 주민들은 자동차로 짐을 나르나요 하고 물었다.") == "boolq test 1 question"
    assert planted("그는솔미도주민들은자동차로짐을나르나요하고물었다.") == "boolq test 1 question"
    # Up to 15 syllables, as whole eojeols; up to 10, as a sentence.
    assert planted("그러고는 밖으로 나가서 옆집 문을 두드렸다 한다.") == "copa test 1 alternative_2"
    assert planted("창밖으로 나가서 옆집 문을 두드렸다.") is None
    assert planted("정말! 손잡이 단단하지않아요ㅠㅠ 반품하고 싶네요.") == "sentineg test 1 sentence"
    assert planted("가방 손잡이 단단하지 않아요.") is None


def test_short_parts_of_a_row_count_only_together() -> None:
    alone = outcome([BEFORE + "등잔이 꺼졌다." + AFTER, "방이 어둡다.", "좋다. 아주 좋아요!"])
    assert alone.details == [None, None, None]
    assert {INDEX.label(int(INDEX.items_of(text)[0])): count for text, count in alone.phrases.items()} == {
        "copa test 1 premise": 1,
        "copa test 1 alternative_1": 1,
        "sentineg test 2 sentence": 1,
    }
    assert not alone.contaminated
    assert planted("등잔이꺼졌다.\t결과\t방이어둡다.\t문을 두드렸다.") is not None
    assert outcome(["등잔이 꺼졌다. " + BEFORE * 9 + "방이 어둡다."]).details == [None]


@pytest.mark.parametrize(
    "text",
    [
        "솔미도 주민들은 자전거로 짐을 나르나요?",
        "밖으로 나가서 옆집 문을 두드린다.",
        "솔미도는 남해에 있는 작은 섬으로, 하루에 세 번 배가 들어온다. 섬에 학교가 없어 아이들은 배를 타고 다닌다.",
        "손잡이가 단단하지 않아서 바꿨어요",
        "Which of these harbour towns built its lighthouse after the storm of 1893?",
        "좋아요",
    ],
)
def test_a_near_miss_is_no_hit(text: str) -> None:
    assert planted(text, passages="drop") is None


def test_single_syllables_and_letters_are_not_looked_for() -> None:
    items = [Item("exam", "test", 1, "question", "배에 짐을 싣는다."), Item("exam", "test", 1, "A", "배")]
    found = outcome(["배. B 12.", "배에 짐을 싣는다. 배."], Index.build([*items, Item("exam", "test", 2, "A", "B")]))
    assert found.details == [None, None]
    assert list(found.phrases.values()) == [1]


def test_most_of_a_long_item_is_enough_and_half_is_not() -> None:
    assert planted(CONTEXT.removeprefix("남자가 부엌에서 ")) == "hellaswag test 1 context"
    assert planted(CONTEXT.replace("잘 풀어 준다", "저었다")) == "hellaswag test 1 context"
    assert planted(CONTEXT[: len(CONTEXT) // 2]) is None
    assert planted(PASSAGE.replace("세 번", "네 번").replace("자동차", "버스"), passages="drop") is not None


def test_a_phrase_that_many_rows_share_does_not_tell_alone() -> None:
    rows = [Item("exam", "test", row, "question", "다음 중 옳은 것은?") for row in range(1, 5)]
    choice = Item("exam", "test", 2, "A", "물은 언다.")
    found = outcome(
        [BEFORE + "다음 중 옳은 것은?" + AFTER, "다음 중 옳은 것은?\n물은 언다."], Index.build([*rows, choice])
    )
    assert found.details == [None, "exam test 1 question"]
    assert sum(found.phrases.values()) == 1


def test_a_passage_is_reported_apart_from_its_question() -> None:
    found = outcome([BEFORE + PASSAGE, BEFORE + PASSAGE + " 질문: " + FIELDS[1].text + " 답변: 아니오"])
    assert found.details == [None, "boolq test 1 question"]
    (text,) = found.passages
    assert INDEX.label(int(INDEX.items_of(text)[0])) == "boolq test 1 passage"
    assert found.passages[text] == 2
    assert sum(found.contaminated.values()) == 1


def test_the_report_counts_items_and_documents_per_field() -> None:
    found = outcome([BEFORE + PASSAGE, FIELDS[1].text, FIELDS[1].text + BEFORE])
    counts = {"contaminated": found.contaminated, "passages": found.passages}
    rows = {(row["benchmark"], row["field"]): row for row in INDEX.report(counts)}
    assert len(rows) == 8
    assert rows["boolq", "question"] == {
        "benchmark": "boolq", "split": "test", "field": "question", "items": 1,
        "contaminated_items": 1, "contaminated_documents": 2, "passages_items": 0, "passages_documents": 0,
    }  # fmt: skip
    assert rows["boolq", "passage"]["passages_documents"] == 1
    assert rows["sentineg", "sentence"]["items"] == 2


def test_report_counts_and_keeps() -> None:
    found = outcome([FIELDS[1].text, FIELDS[1].text * 3, BEFORE], action="report")
    assert found.details == [None, None, None]
    assert list(found.contaminated.values()) == [2]


def test_cut_takes_the_place_and_its_surroundings_out_to_the_ends_of_sentences() -> None:
    sentences = [f"{number}번째 날에는 바닷가를 따라 천천히 걸으며 조개껍데기를 주웠습니다." for number in range(60)]
    text = " ".join([*sentences[:30], FIELDS[1].text, *sentences[30:]])
    found = outcome([BEFORE, text, FIELDS[1].text + AFTER], action="cut")
    assert found.details[:2] == [None, None]
    assert found.details[2] == "boolq test 1 question", "too little would be left"
    left = found.texts.string(1)
    assert found.texts.string(0) == BEFORE
    assert found.cut_bytes == len(text.encode()) - len(left.encode()) > 2 * 600
    assert "솔미도" not in left
    kept = left.strip().split(". ")
    assert all(sentence.rstrip(".") + "." in sentences for sentence in kept)
    assert 45 <= len(kept) <= 55


def test_equal_texts_are_one_and_all_their_items_are_known() -> None:
    items = [
        Item("a", "train", 1, "question", "밤하늘에 별이 유난히 많이 떴다."),
        Item("b", "test", 9, "passage", "밤하늘에 별이 유난히 많이 떴다", passage=True),
        Item("a", "train", 2, "question", " … "),
    ]
    index = Index.build(items)
    found = outcome([BEFORE + items[0].text], index)
    assert found.details == ["a train 1 question"], "what is a question somewhere is no passage"
    assert [index.label(int(item)) for item in index.items_of(0)] == ["a train 1 question", "b test 9 passage"]


def test_decomposed_items_are_composed() -> None:
    index = Index.build(
        [Item("a", "test", 1, "question", "\u1112\u1161\u11ab\u1100\u1173\u11af로 쓰인 오래된 편지였다")]
    )
    assert outcome(["한글로 쓰인 오래된 편지였다."], index).details == ["a test 1 question"]


def test_an_index_survives_pickling_and_empty_ones_find_nothing() -> None:
    again = pickle.loads(pickle.dumps(INDEX))
    assert outcome([FIELDS[1].text], again).details == ["boolq test 1 question"]
    for items in ([], [Item("a", "test", 1, "question", "...")]):
        assert outcome([FIELDS[1].text, ""], Index.build(items)).details == [None, None]


def test_more_hits_than_the_first_guess_are_all_found() -> None:
    texts = [FIELDS[1].text] * 5000
    found = outcome(texts)
    assert all(found.details)
    assert list(found.contaminated.values()) == [5000]


@pytest.mark.parametrize("text", ["등잔이 꺼졌다. 방이 어둡다. ", "아주 좋아요\n", "가" * 7, "솔미도 ", "\n", "💕"])
def test_a_long_hostile_text_is_judged_in_time(text: str) -> None:
    items = [*FIELDS, Item("x", "test", 1, "question", "가" * 39), Item("x", "test", 2, "question", "가" * 400)]
    index = Index.build(items)
    outcome([text * (1_000_000 // len(text.encode()))], index, action="cut")
