"""Markup: what goes, and above all what stays."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.core.recipe.cleaning import Clean
from redwhale.corpus.clean.plain import plain_texts
from redwhale.corpus.texts import Texts


def plain(text: str, **options: str) -> str:
    """Return one text without markup."""
    return plain_texts(Texts.of(["앞", text, "뒤"]), Clean.model_validate(options)).string(1)


KEPT = [
    "제2조를 다음과 같이 한다. <개정 2012.8.22>",
    "<지옥의 묵시록>을 다시 보았다 《지옥의 묵시록》 〈대부〉",
    "template <class T> 를 쓰고 a < b && c > d 이면",
    "#include <iostream> 과 std::vector<int>, map<string, int>",
    "<b 같은 영화>와 <Time>, <Big>",
    "안녕 <s> 그리고 </s> 와 <|endoftext|>",
    "한 칸 <map> 과 <list>",
    "CREATE TABLE <table name> 과 <p 값> 그리고 <span id>",
    "if a <b and c == d> e, x <i && y=2> z",
    "주소 https://a.kr/?a=1&copy=2&lt=3 &아님; &notit; &#; &#xZ;",
    "`<div>` 는 상자이고 `&amp;` 는 앰퍼샌드다. `<!-- -->` 는 주석, `1\\.`",
    "```html\n<div>그대로 &amp; 둔다</div>\n<script>x</script>\n{:toc}\n```",
    "경로 C:\\Users\\name 과 수식 \\frac{1}{2} \\\\\n다음 줄 \\\\[-3pt] 줄",
    "---\n이 글은 가로줄로 시작한다\n---\n본문",
    "---\n제목: 가\n이것은 문장\n---\n본문",
    "---\n제목: 닫히지 않음\n본문",
    "<" * 50 + "가" * 10,
    "```닫히지 않은 울타리",
    "* TOCTOU 공격과 - TOC 목록",
    "식 {#a} 와 {: 없음",
    "{{ 변수 }} 와 {토큰}",
    "a]] > b ]]",
    "<script>닫히지 않음",
    "<!-- 닫히지 않음",
    "끝<",
    "끝&",
    "끝\\ ",
]


@pytest.mark.parametrize("text", KEPT)
def test_text_that_only_looks_like_markup_stays(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<p>첫 문단</p>", "\n첫 문단\n"),
        ("<P CLASS='a'>대문자<BR>줄</P>", "\n대문자\n줄\n"),
        ("앞<script type='x'>var a = '<p>';</script>뒤", "앞뒤"),
        ("앞<!-- 주석 <p> -->뒤", "앞뒤"),
        ("앞<style>\n.a{}\n</STYLE >뒤", "앞뒤"),
        ("앞<script>`a` + `</p>`</script>뒤", "앞뒤"),
        ("<b>굵게</b> <a href='x'>고리</a>", "굵게 고리"),
        ('<a\nhref = "x"\ntarget=_blank>고리</a> <input disabled>칸', "고리 칸"),
        ("<td>칸</td><td>칸</td>", " 칸  칸 "),
        ("*이름*<br/>\n설명", "*이름*\n설명"),
        ('<img id="1"></img>그림', "그림"),
        ("&lt;개정&gt; &nbsp;&#39;&#x1F600;&#0;&#150;", "<개정> \xa0'😀\ufffd–"),
        ("1\\. 첫째 2\\) 둘째 \\<class> \\_이름", "1. 첫째 2) 둘째 <class> _이름"),
        ("**\\\\** 는 역슬래시", "**\\** 는 역슬래시"),
        ("[스왑](#swap)\\\n다음", "[스왑](#swap)\n다음"),
        ("---\n제목: 법\n부처:\n- 교육부\n  코드: ''\n---\n\n# 법", "\n# 법"),
        ("\ufeff---\n제목: 법\n---\n# 법", "# 법"),
        ("---\n제목: 법\n---", ""),
        ("* TOC\n{:toc}\n\n본문", "\n본문"),
        ("{% raw %}\n<blockquote>글</blockquote>\n{% endraw %}\n뒤", "\n글\n\n뒤"),
        ('## 개요 {#intro}\n![](a.png){:style="x"}\n{: .note}', "## 개요 \n![](a.png)\n"),
        ("<!DOCTYPE html>\n<html><body>글</body></html>", "\n\n\n글\n\n"),
        ("<?xml version='1.0'?><![CDATA[글", "글"),
        ("```\n<p>코드</p>\n```\n<p>글</p>", "```\n<p>코드</p>\n```\n\n글\n"),
    ],
)
def test_markup_goes(before: str, after: str) -> None:
    assert plain(before) == after


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("front_matter", "---\n제목: 법\n---\n# 법"),
        ("html", "<p>글</p> &amp; <!-- 주석 -->"),
        ("kramdown", "* TOC\n{:toc}\n\n## 개요 {#intro}"),
        ("escapes", "1\\. 첫째 \\_이름\\\n다음"),
    ],
)
def test_each_kind_stays_by_option(option: str, text: str) -> None:
    assert plain(text) != text and plain(text, **{option: "keep"}) == text


TOKENS = [
    "<",
    ">",
    "</",
    "<p",
    "<b>",
    "</b>",
    "<script>",
    "</script>",
    "<!--",
    "-->",
    "&amp;",
    "&#",
    ";",
    "\\",
    "[",
    "{:",
    "}",
]
TOKENS += ["```", "`", "\n", "---", "a: b", "* TOC", "{%", "%}", "가", " ", "x=1", "<a href=''>", "]]>"]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.lists(st.sampled_from(TOKENS), max_size=40).map("".join), max_size=4))
def test_every_text_is_treated_by_itself_and_only_shrinks(strings: list[str]) -> None:
    together = plain_texts(Texts.of(strings), Clean()).strings()
    alone = [plain_texts(Texts.of([string]), Clean()).string(0) for string in strings]
    assert together == alone
    for before, after in zip(strings, together, strict=True):
        assert len(after) <= len(before)
        assert after.count("가") <= before.count("가")
        if not set(before) & set("<&\\{") and not before.startswith("---"):
            assert after == before
