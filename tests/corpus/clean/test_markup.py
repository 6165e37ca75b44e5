"""Markup and boilerplate lines: what goes, and above all what stays."""

import pytest

from redwhale.corpus.clean.lines import clean_lines
from redwhale.corpus.clean.markup import segments, strip_markup

KEPT = [
    "제2조를 다음과 같이 한다. <개정 2012.8.22>",
    "<지옥의 묵시록>을 다시 보았다",
    "template <class T> 를 쓰고 a < b && c > d 이면",
    "#include <iostream> 과 std::vector<int>, map<string, int>",
    "<b 같은 영화>와 <Time>, <Big>",
    "안녕 <s> 그리고 </s> 와 <|endoftext|>",
    "한 칸 <map> 과 <list>",
    "주소 https://a.kr/?a=1&copy=2&lt=3",
    "`<div>` 는 상자이고 `&amp;` 는 앰퍼샌드다",
    "```html\n<div>그대로 &amp; 둔다</div>\n<script>x</script>\n```",
    "경로 C:\\Users\\name 과 수식 \\frac{1}{2}",
    "---\n이 글은 가로줄로 시작한다\n---\n본문",
    "<" * 50 + "가" * 10,
    "```닫히지 않은 울타리",
]


@pytest.mark.parametrize("text", KEPT)
def test_text_that_only_looks_like_markup_stays(text: str) -> None:
    assert strip_markup(text) == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<p>첫 문단</p>", "\n첫 문단\n"),
        ("<P CLASS='a'>대문자<BR>줄</P>", "\n대문자\n줄\n"),
        ("앞<script type='x'>var a = '<p>';</script>뒤", "앞뒤"),
        ("앞<!-- 주석 <p> -->뒤", "앞뒤"),
        ("앞<style>\n.a{}\n</STYLE >뒤", "앞뒤"),
        ("<script>닫히지 않음", "<script>닫히지 않음"),
        ("<b>굵게</b> <a href='x'>고리</a>", "굵게 고리"),
        ("*이름*<br/>\n설명", "*이름*\n설명"),
        ('<img id="1"></img>그림', "그림"),
        ("&lt;개정&gt; &nbsp;&#39;", "<개정> \xa0'"),
        ("1\\. 첫째 2\\) 둘째 \\<class> \\_이름", "1. 첫째 2) 둘째 <class> _이름"),
        ("[스왑](#swap)\\\n다음", "[스왑](#swap)\n다음"),
        ("---\n제목: 법\n부처:\n- 교육부\n  코드: ''\n---\n\n# 법", "\n# 법"),
        ("* TOC\n{:toc}\n\n본문", "\n본문"),
        ("<!DOCTYPE html>\n<html><body>글</body></html>", "\n\n\n글\n\n"),
        ("```\n<p>코드</p>\n```\n<p>글</p>", "```\n<p>코드</p>\n```\n\n글\n"),
    ],
)
def test_markup_goes(before: str, after: str) -> None:
    assert strip_markup(before) == after


def test_segments_join_to_the_text_and_know_code() -> None:
    text = "글\n```py\n코드\n```\n글\n~~~\n코드\n~~~\n```\n열린 채"
    parts = segments(text)
    assert "".join(part for _, part in parts) == text
    assert [part for is_code, part in parts if is_code] == ["```py\n코드\n```", "~~~\n코드\n~~~"]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("홍길동 기자 hong@example.com", "byline"),
        ("나루신문 곽두리 기자 duri_kwak@example.com", "byline"),
        ("입력 2024.01.19 09:12 | 수정 2024.01.19 11:40", "byline"),
        ("ⓒ 한빛일보, 무단 전재 및 재배포 금지", "copyright"),
        ("<저작권자 ⓒ 새벽통신, 무단전재-재배포, 크롤링 금지>", "copyright"),
        ("Copyright © 2018 Example. All rights reserved.", "copyright"),
        ("로그인 | 회원가입", "menu"),
        ("이전글", "menu"),
        ("트위터 페이스북 카카오스토리 밴드 URL복사", "menu"),
        ("이전글 : 봄이 오는 소리", "more"),
        ("관련기사", "more"),
        ("▶ 나루신문 구독하기  ▶ 제보는 카카오톡 'naru'", "more"),
    ],
)
def test_boilerplate_lines_go(line: str, kind: str) -> None:
    text, removed = clean_lines(f"앞 문장이다.\n{line}\n뒤 문장이다.")
    assert text == "앞 문장이다.\n뒤 문장이다."
    assert removed == {kind: len(line)}


@pytest.mark.parametrize(
    "line",
    [
        "검색",
        "정치, 경제",
        "로그인이 안 되는 일이 생겼다.",
        "### 회원가입/로그인",
        "## 명령 프롬프트 바로 가기",
        "홍길동 기자는 어제 그 일을 처음 알렸다고 말했다.",
        "저작권자는 복제를 금지할 수 있다.",
        "무단 전재를 금지하는 법이 통과되었다고 한다.",
        "관련 기사를 공유하며 글을 남겼다.",
        "업데이트: 2020년 4월 14일 회의에서 검토한 결과,",
        "ⓒⓞⓞⓛ",
        "이전 글에서 다룬 것처럼 오늘도 이어서 쓴다.",
        "[고리](https://a.kr)를 구독하면 볼 수 있다.",
        "사진: 이 영화의 모든 것을 말해 주는 한 낱말",
    ],
)
def test_sentences_and_headings_stay(line: str) -> None:
    assert clean_lines(f"앞 문장이다.\n{line}\n뒤 문장이다.") == (f"앞 문장이다.\n{line}\n뒤 문장이다.", {})


def test_ordinary_words_go_only_inside_a_menu() -> None:
    menu, removed = clean_lines("홈\n로그인\n정치\n경제\n사회\n\n본문은 남는다.")
    assert menu == "\n본문은 남는다." and set(removed) == {"menu"}
    listed = "- 정치\n- 경제\n- 사회\n- 문화"
    assert clean_lines(listed)[0] == listed


def test_a_byline_at_the_end_of_a_paragraph_goes() -> None:
    text, removed = clean_lines("시는 사업을 넓히겠다고 밝혔다. 홍길동 기자 hong@example.com")
    assert text == "시는 사업을 넓히겠다고 밝혔다." and removed["tail"] > 20


def test_code_is_left_alone() -> None:
    text = "```\n로그인\n회원가입\n홍길동 기자 a@b.kr\n```"
    assert clean_lines(text) == (text, {})
