"""Judging regions gives what judging whole texts gives, in linear time and again after masking."""

import re._parser as parser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redwhale.core.recipe.pii import Pii
from redwhale.corpus.pii import rules
from redwhale.corpus.pii.mask import _spans, mask, mask_texts
from redwhale.corpus.pii.regions import PLACE
from redwhale.corpus.pii.scan import find_regions
from redwhale.corpus.texts import Texts
from tests.corpus.pii.labelled import read

ALL = Pii(addresses=True)
ALL_BUT_ADDRESSES = Pii()
EVERY_CUE = (1 << 10) - 1
FRAGMENTS = [
    *"0123456789-. ()+/@:[]#,~_%aMS가나로길동호층산조\n\u3000\xa0—０２－：＠ⓐ😀", "골뱅이", "공일공",
    "일이삼사", "010", "02", "1588", "주민등록번호 ", "계좌 ", "은행", "여권", "면허", ".co", ".kr", "서울 ",
    "강남구 ", "2023-01-", "[at]", " (at) ", "차량 ", "전화 ", "12가 ", "M12345678", "제", "년", "211.234.5",
    "2406:5900:", "::", "4012-8888-", "8888-1881", "900101-", "1234567",
]  # fmt: skip
CASES = [text for name in ("labelled.txt", "held_back.txt", "blind.txt") for text, _ in read(name)]
TEXTS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.sampled_from(CASES)), max_size=30).map("".join)


def whole(text: str, cues: int) -> list[tuple[int, int, str]]:
    """The reference: every pattern over the whole text."""
    return [
        (len(text[: span.start].encode()), len(text[: span.stop].encode()), span.kind)
        for span in rules.find(text, 0, len(text), cues)
    ]


@settings(max_examples=400, deadline=None)
@given(st.lists(TEXTS, max_size=4))
@example(["강원도청 033-254-2011 10.0.0.1로 접속"])  # 2011 10. 0 looks like a date
@example(["상담전화 1566-0000 2023-01-02 2023-01-03 입금"])
@example(["A/S6 1588-3366 대표번호", "1일이나4ⓐM12345678차량#여권M123456782주민"])
@example(["골"[:1], "끝" + "공"])
def test_regions_miss_nothing_and_add_nothing(texts: list[str]) -> None:
    buffer = Texts.of(texts)
    for options, cues in ((ALL, EVERY_CUE), (ALL_BUT_ADDRESSES, EVERY_CUE & ~PLACE)):
        found = _spans(buffer, options)
        for index, text in enumerate(texts):
            base = int(buffer.offsets[index])
            spans = [(start - base, stop - base, kind) for start, stop, kind in found.get(index, [])]
            assert spans == whole(text, cues)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="0123456789-.() +@abM계좌은행,\n", max_size=80))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    once, counts = mask(text)
    assert mask(once)[0] == once
    assert (once == text) == (not counts)


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXTS, max_size=5))
def test_a_text_is_masked_alike_alone_and_in_a_chunk(texts: list[str]) -> None:
    assert mask_texts(Texts.of(texts), ALL).texts.strings() == [mask(text, ALL)[0] for text in texts]


@pytest.mark.promise("F21")
@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.pattern.pattern[:20])
def test_patterns_are_of_bounded_length(rule: rules.Rule) -> None:
    """A pattern without open repeats cannot walk further than its longest match from any start: linear time."""
    _, longest = parser.parse(rule.pattern.pattern, rule.pattern.flags & ~32).getwidth()
    assert longest < 1000


PUMPS = [
    "1", "1.", "1-", "1 ", "1)", "０", "－０", "1234 ", "1234-", "12345678 ", "1234567890", "1234567890123 ",
    "12 1234 123456 ", "a.a@", "a.a.a.a@", "@", "a@", "a@a.", "a@a.kr ", "[at]", "a(at)", "(", "골뱅이", "010-",
    "010-1234-5678 ", "공일공", "공일공일이삼사", "900101-1234567 ", "9001011234567 ", "계좌 123456789012 ",
    "은행110-234-567890", "4012888888881881 ", "12가3456 ", "12가 ", "1.2.3.4 ", "211.234.56.78 ",
    "211.234.56.78.", "2001:", "2001:2d8::", "::", "여권M12345678 ", "서울 12-123456-78", "면허 111212345678 ",
    "강남구 테헤란로 12 ", "동 1 ", "1동 2호 ", "전화1588-1234 ", "1588-1234 ", "120-81-47521 ", "2023-01-02 ",
    "가1",
]  # fmt: skip


@pytest.mark.promise("F21")
@pytest.mark.parametrize("pump", PUMPS)
def test_work_grows_with_the_text_alone(pump: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On adversarial text the regions together are no longer than the text, and a judge is asked once a character.

    The bar is 1 s of CPU for 1 MB; a judge takes some microseconds.
    """
    text = pump * (60_000 // len(pump.encode()))
    calls = []
    counted = [
        rule._replace(accepts=lambda found, rule=rule: calls.append(0) or rule.accepts(found)) for rule in rules.RULES
    ]
    monkeypatch.setattr(rules, "RULES", counted)
    regions = find_regions(Texts.of([text]), places=True)
    assert (regions[1:, 1] > regions[:-1, 2]).all(), "regions do not overlap"
    mask(text, ALL)
    assert len(calls) <= len(text.encode()) // 3
