"""Dumps of Korean wikis: which pages are articles, and their text out of the markup."""

# ruff: noqa: E501

import bz2
import json
import time
import tracemalloc
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.corpus.read import namumark, wikitext
from tests.corpus.makers import korean
from tests.corpus.read.reading import read

HEADER = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="ko">
  <siteinfo><sitename>위키백과</sitename><base>https://ko.wikipedia.org/wiki/대문</base></siteinfo>
"""


def page(title: str, text: str, *, namespace: int = 0, number: int = 1, redirect: str = "") -> str:
    leads = f'\n    <redirect title="{escape(redirect)}" />' if redirect else ""
    return f"""  <page>
    <title>{escape(title)}</title>
    <ns>{namespace}</ns>
    <id>{number}</id>{leads}
    <revision>
      <id>99</id>
      <contributor><username>편집자</username><id>7</id></contributor>
      <model>wikitext</model>
      <text bytes="{len(text.encode())}" xml:space="preserve">{escape(text)}</text>
    </revision>
  </page>
"""


def dump(*pages: str) -> bytes:
    return (HEADER + "".join(pages) + "</mediawiki>").encode()


ARTICLE = """{{다른 뜻|서울 (동음이의)}}
{{도시 정보
|이름 = 서울
|그림 = {{사진 묶음|[[파일:a.jpg]]}}
|인구 = {{formatnum:9000000}}
|}}
[[파일:서울.jpg|섬네일|200px|[[한강]]의 모습]]
'''서울'''({{lang|en|Seoul}}, {{llang|zh|首爾}}<ref name="a">각주 [http://a.kr 링크]</ref>)은 [[대한민국]]의 [[수도 (행정)|수도]]이다.<ref name="a" />
<!-- 숨은 글 -->인구는 1 &lt; 2&nbsp;명이고, [https://seoul.kr 누리집]과 [https://b.kr]이 있다.

== 역사 ==
=== 고대 ===
* ''백제''의 수도<br />였다.
{| class="wikitable"
|-
! 표 !! 머리
|-
| 칸 || [[칸]]
{| 
| 속표
|}
|}
: <nowiki>[[그대로]] '''둔다'''</nowiki> {{없는 틀}}()

=== 빈 절 ===
== 같이 보기 ==
* [[부산]]
== 외부 링크 ==
* {{공식 웹사이트}}
[[분류:서울| ]]
[[en:Seoul]]
__목차숨김__
"""


def test_articles_of_a_mediawiki_dump(tmp_path: Path) -> None:
    data = dump(
        page("서울", ARTICLE, number=5),
        page("서울시", "#넘겨주기 [[서울]]", number=6, redirect="서울"),
        page("토론:서울", "토론", namespace=1),
        page("제주 특별/도", korean(1), number=8),
        page("빈 문서", "{{틀}}", number=9),
    )
    (tmp_path / "pages.xml.bz2").write_bytes(bz2.compress(data[:700]) + bz2.compress(data[700:]))
    reading = read(tmp_path, "pages.xml.bz2", format="kowiki")
    assert reading.texts == [
        "서울(Seoul, 首爾)은 대한민국의 수도이다.\n인구는 1 < 2 명이고, 누리집과 이 있다.\n\n역사\n고대\n백제의 수도\n였다.\n\n[[그대로]] '''둔다'''",
        korean(1),
    ]
    assert reading.ids == ["5", "8"] and reading.titles == ["서울", "제주 특별/도"] and reading.rows == [0, 3]
    assert reading.urls[1] == "https://ko.wikipedia.org/wiki/%EC%A0%9C%EC%A3%BC_%ED%8A%B9%EB%B3%84/%EB%8F%84"
    assert reading.licences == ["CC-BY-SA-4.0"] * 2
    assert reading.skipped == {"redirect": 1, "other_namespace": 1} and reading.reasons == {4: "empty_text"}


@pytest.mark.promise("F15")
def test_bad_pages_cost_only_themselves(tmp_path: Path) -> None:
    pages = [page(f"t{i}", korean(i)) for i in range(5)]
    pages[1] = pages[1].replace("</title>", "</titel>")
    pages[2] = page("t2", "가" * 1_000_000)
    (tmp_path / "a.xml").write_bytes(dump(*pages))
    reading = read(tmp_path, "a.xml", format="kowiki")
    assert reading.texts == [korean(0), korean(3), korean(4)] and reading.reasons == {1: "bad_xml", 2: "too_large"}
    (tmp_path / "b.xml").write_bytes(dump(*pages[3:])[:-200])
    assert read(tmp_path, "b.xml", format="kowiki").reasons == {1: "truncated_file"}


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    evil = page("나쁜", "글").replace("글<", "&b;<")
    (tmp_path / "a.xml").write_bytes((bomb + HEADER + evil + page("좋은", korean(1)) + "</mediawiki>").encode())
    reading = read(tmp_path, "a.xml", format="kowiki")
    assert reading.texts == [korean(1)] and reading.reasons == {0: "bad_xml"}


def test_a_dump_streams(tmp_path: Path) -> None:
    with (tmp_path / "a.xml").open("w") as file:
        file.write(HEADER)
        pages = (page(f"t{i}", f"{{{{틀|{'가' * 9_000}}}}}") for i in range(1_000))
        file.writelines(page("긴 문서", "가" * 10_000_000) if i == 500 else text for i, text in enumerate(pages))
    tracemalloc.start()
    reading = read(tmp_path, "a.xml", format="kowiki")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(reading.rejected) == 1_000 and reading.reasons[500] == "too_large" and 500 in reading.reasons
    assert peak < 40_000_000


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("[[a|b]]와 [[나]], [[:분류:다]], [[라#마|바]]", "b와 나, 분류:다, 바"),
        ("{{가|{{나|[[다|라]]}}}}끝", "끝"),
        ("{{nowrap|[[가|나]]}}과 {{ruby|漢|한}}", "나과 漢"),
        ("}} 닫힘 {{ 열림", "닫힘  열림".replace("  ", " ")),
        ("a < b, <개정 2012.8.22>, <span style='x'>글</span>", "a < b, <개정 2012.8.22>, 글"),
        ("<math>x^2</math>수식<gallery>\n파일:a.jpg\n</gallery>", "수식"),
        ("<ref>닫히지 않은 각주", "<ref>닫히지 않은 각주".removeprefix("<ref>")),
        ("-{zh}-와 ''' '' '''''", "-{zh}-와"),
        ("== 제목 ==\n== 둘째 ==\n글", "둘째\n글"),
        ("# 하나\n# 둘\n## 셋", "하나\n둘\n셋"),
    ],
)
def test_wikitext_by_hand(markup: str, text: str) -> None:
    assert wikitext.plain_text(markup) == text


PIECES = ["{{", "}}", "[[", "]]", "{|", "|}", "|", "'''", "==", "\n", "<ref>", "</ref>", "<!--", "-->", "<nowiki>", "가", " ",
          "{{{", "}}}", "[", "]", "[*", "||", "~~", "--", "#!wiki ", "+1 ", "[br]", "* ", "> ", "<math"]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_markup_never_raises_and_hangul_outside_of_it_stays(markup: str) -> None:
    for module in (wikitext, namumark):
        assert isinstance(module.plain_text(markup), str)
        assert module.plain_text("가나다 라마바.").strip() == "가나다 라마바."


@pytest.mark.promise("F21")
@pytest.mark.parametrize("piece", PIECES)
def test_markup_takes_linear_time(piece: str) -> None:
    """Four times the text may not take twelve times the time; tried thrice, since others use the machine."""
    for module in (wikitext, namumark):
        for _ in range(3):
            times = []
            for size in (10_000, 40_000):
                text = (piece * size)[:size]
                start = time.process_time()
                module.plain_text(text)
                times.append(time.process_time() - start)
            if times[1] < 12 * times[0] or times[1] < 0.3:
                break
        else:
            raise AssertionError(f"{module.__name__}: {times}")


NAMU = """[include(틀:다른 뜻)]
[[분류:도시]]
||<tablealign=right> [[파일:서울.png|width=100%]] ||
|| '''인구''' || 900만 ||
[목차]
[clearfix]
== 개요 ==
'''서울특별시'''는 [[대한민국]]의 [[수도(행정)|수도]]다.[* 각주 [[링크]]와 {{{+1 큰 글}}}.] {{{#red 빨간}}} {{{+2 큰}}} 글자.[br]다음 줄
 * ~~별로 안~~ __꽤__ 크다.
  * 하위 --취소-- 항목 - 설명
> 인용문
== 역사 ==
=== 빈 절 ===
=== 조선 ===
{{{#!folding [ 펼치기 ]
접힌 글}}}
{{{#!wiki style="margin: 0"
꾸민 '''글'''}}}
{{{#!html <b>없앰</b>}}}
[youtube(abc)] [편집자 주] 자세한 것은 [[https://a.kr|누리집]] [[https://b.kr]] 참고.
## 주석
----
[각주]
"""


def test_articles_of_a_namuwiki_dump(tmp_path: Path) -> None:
    pages = [
        {"namespace": "0", "title": "서울", "text": NAMU, "contributors": ["a"]},
        {"namespace": 0, "title": "서울시", "text": "#redirect 서울", "contributors": []},
        {"namespace": "1", "title": "틀:서울", "text": "틀", "contributors": []},
        {"namespace": 0, "title": "둘째", "text": korean(2)},
        {"namespace": 0, "title": "빈", "text": None},
        {"namespace": 0, "title": "큰", "text": "가" * 1_000_000},
        {"namespace": 0, "title": "끝", "text": korean(3)},
    ]
    (tmp_path / "namuwiki.json").write_text(json.dumps(pages, ensure_ascii=False), encoding="utf-8")
    reading = read(tmp_path, "namuwiki.json", format="namuwiki", licence=None)
    assert reading.texts == [
        "개요\n서울특별시는 대한민국의 수도다. 빨간 큰 글자.\n다음 줄\n꽤 크다.\n하위 항목 - 설명\n인용문\n\n역사\n조선\n접힌 글\n\n꾸민 글\n\n"
        "[편집자 주] 자세한 것은 누리집 참고.",
        korean(2),
        korean(3),
    ]
    assert reading.ids == ["서울", "둘째", "끝"] and reading.urls[1] == "https://namu.wiki/w/%EB%91%98%EC%A7%B8"
    assert reading.skipped == {"redirect": 1, "other_namespace": 1}
    assert reading.reasons == {4: "no_text", 5: "too_large"} and set(reading.licences) == {"CC-BY-NC-SA-2.0-KR"}


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("[[a|b]], [[나]], [[:파일:a.png]], [[파일:a.png]]", "b, 나, 파일:a.png,"),
        ("{{{#ff0000,#00ff00 색}}} {{{그대로}}} {{{-1 작은 {{{#blue 속}}} 글}}}", "색 그대로 작은 속 글"),
        ("{{{#!syntax python\nprint(1)\n}}}", "print(1)"),
        ("[ruby(漢字, ruby=한자)]와 [math(x)] [age(2000-01-01)]", "漢字와"),
        ("안녕[br]하세요 [1] 배열[i]", "안녕\n하세요 [1] 배열[i]"),
        ("열린 [괄호와 닫힌] 괄호] 그리고 [[열림", "열린 [괄호와 닫힌] 괄호] 그리고 열림"),
        ("2020년--2021년 C++ -- 설명 -- 끝", "2020년--2021년 C++ -- 설명 -- 끝"),
        ("|| 표 || 칸 ||\n|| 여러\n줄 ||\n글", "글"),
        ("|| 끝나지 않는 줄\n글", "끝나지 않는 줄\n글"),
        (" 1. 첫째\n 1. 둘째\n a. 셋째", "첫째\n둘째\n셋째"),
        ("==# 접힌 제목 #==\n글", "접힌 제목\n글"),
    ],
)
def test_namumark_by_hand(markup: str, text: str) -> None:
    assert namumark.plain_text(markup) == text
