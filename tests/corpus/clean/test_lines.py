"""Boilerplate lines: what goes, and above all what stays."""

import pytest

from redwhale.corpus.clean.amendments import without_amendment_marks
from redwhale.corpus.clean.boilerplate import Removed, without_boilerplate
from redwhale.corpus.clean.hints import hinted_lines
from redwhale.corpus.clean.lines import judge_line
from redwhale.corpus.texts import Texts
from tests.corpus.clean.real import SOURCES, needs_data, read

BODY = "정부는 오늘 새로운 지원 정책을 발표했다."


def clean(text: str) -> tuple[str, list[Removed]]:
    """Clean one text among others."""
    texts, removed = without_boilerplate(Texts.of(["앞", text, ""]))
    assert all(line.text == 1 for line in removed)
    return texts.string(1), removed


BOILERPLATE = {
    "byline": """
홍길동 기자 hong@example.com
나루신문 곽두리 기자 duri_kwak@example.com
나루통신 대표 duri_kwak@example.com
입력 2024.01.19 09:12 | 수정 2024.01.19 11:40
기자명 홍길동 기자   입력 2025.06.17 19:05  수정 2025.06.18 05:57  댓글 0  좋아요 1
[시애틀(미국) =홍길동 나루스포츠 특파원]
[홍길동 나루 기자]
홍길동 기자
사진=나루통신
""",
    "copyright": """
ⓒ 한빛일보, 무단 전재 및 재배포 금지
<저작권자 ⓒ 새벽통신, 무단전재-재배포, 크롤링 금지>
[ⓒ 나루일보 & naru.example, 무단전재 및 재배포 금지]
〈저작권자(c) 나루통신, 무단 전재-재배포 금지〉
Copyright © 2018 Example. All rights reserved.
Copyright ⓒ 나루일보 & naru.example
저작권자 © 나루투데이 (NaruToday) 무단전재 및 재배포 금지
무단전재 및 수집, 재배포금지
""",
    "menu": """
로그인 | 회원가입
이전글
이전글 다음글 목록
트위터 페이스북 카카오스토리 밴드 URL복사
SNS 기사보내기
SNS 기사보내기페이스북(으)로 기사보내기 트위터(으)로 기사보내기
페이스북에 공유하기
카카오톡으로 공유하기
바로가기 본문 글씨 줄이기 본문 글씨 키우기
스크롤 이동 상태바
로그인회원가입
검색어를 입력하세요
이 기사를 공유합니다
키워드Tags #고래 #바다 #봄
""",
    "login": """
댓글을 작성하려면 로그인이 필요합니다.
로그인 후 댓글을 남길 수 있습니다.
로그인해 주세요
""",
    "more": """
이전글 : 봄이 오는 소리
관련기사
키워드 관련기사
관련기사 : 고래가 돌아왔다
많이 본 뉴스
▶ 나루신문 구독하기  ▶ 제보는 카카오톡 'naru'
■ 제보하기 ▷ 카카오톡 : '나루제보' 검색
기사제보 및 보도자료 news@example.com
본문 바로가기
""",
    "breadcrumb": """
홈 > 뉴스 > 정치
HOME > 커뮤니티 > 공지사항
현재 위치 : 홈 > 알림마당 > 보도자료
""",
    "cookie": """
이 웹사이트는 사용자 경험 향상과 통계를 위해 쿠키를 사용합니다.
쿠키 설정
쿠키 사용에 동의합니다.
We use cookies to make this site better.
""",
    "advert": """
이 포스팅은 나루 파트너스 활동의 일환으로, 이에 따른 일정액의 수수료를 제공받습니다.
업체로부터 소정의 원고료를 제공받아 작성한 글입니다.
(광고) 오늘만 특가! 무료수신거부 080-000-0000
[광고]
AD
광고 문의
""",
}


@pytest.mark.parametrize(
    ("kind", "line"), [(kind, line) for kind, lines in BOILERPLATE.items() for line in lines.strip().split("\n")]
)
def test_boilerplate_lines_go(kind: str, line: str) -> None:
    text, removed = clean(f"앞 문장이다.\n{line}\n뒤 문장이다.")
    assert text == "앞 문장이다.\n뒤 문장이다."
    assert removed == [Removed(1, kind, line)]


KEPT = """
검색
정치, 경제
로그인이 안 되는 일이 생겼다.
### 회원가입/로그인
## 명령 프롬프트 바로 가기
홍길동 기자는 어제 그 일을 처음 알렸다고 말했다.
저작권자는 복제를 금지할 수 있다.
무단 전재를 금지하는 법이 통과되었다고 한다.
관련 기사를 공유하며 글을 남겼다.
업데이트: 2020년 4월 14일 회의에서 검토한 결과,
ⓒⓞⓞⓛ
이전 글에서 다룬 것처럼 오늘도 이어서 쓴다.
[고리](https://a.kr)를 구독하면 볼 수 있다.
사진: 이 영화의 모든 것을 말해 주는 한 낱말
광고 때문에 드라마가 자꾸 끊긴다.
광고는 상품을 알리는 일이다.
서버는 세션을 확인하려고 쿠키를 사용합니다.
초코 쿠키 설정샷을 찍었다.
쿠키 영상이 있으니 끝까지 보세요
로그인 후 평점을 쓰게 만든 영화
집 > 학교 > 학원만 오가던 때가 있었다.
A > B > C
문의는 hong@example.com 으로 보내 주세요.
author hong <hong@example.com>
공유하기 버튼을 눌러 보세요.
처음
마지막, 거위가 나오는 장면이 압권
다음 각 호의 사람
AD 79년 베수비오 화산이 폭발했다
""".strip().split("\n")


@pytest.mark.parametrize("line", KEPT)
def test_sentences_and_headings_stay(line: str) -> None:
    assert clean(f"앞 문장이다.\n{line}\n뒤 문장이다.") == (f"앞 문장이다.\n{line}\n뒤 문장이다.", [])


def test_ordinary_words_go_only_inside_a_menu() -> None:
    menu, removed = clean("홈\n로그인\n정치\n\n경제\n사회\n\n본문은 남는다.")
    assert menu == "\n\n본문은 남는다." and {line.kind for line in removed} == {"menu"}
    listed = "- 정치\n- 경제\n- 사회\n- 문화"
    assert clean(listed) == (listed, [])
    apart = "로그인\n본문이다.\n정치\n경제"
    assert clean(apart)[0] == "본문이다.\n정치\n경제"


@pytest.mark.parametrize(
    "tail",
    [
        " 홍길동 기자 hong@example.com",
        " 홍길동 나루닷컴 객원기자 hong@example.com ⓒ 나루경제 & , 무단전재 및 재배포 금지",
        " hong@example.com (끝) <저작권자(c) 나루통신, 무단 전재-재배포 금지> 2022/12/07 18:49 송고",
        "Copyright © 나루1. All rights reserved. 무단 전재 및 재배포 금지.",
        "[ⓒ 나루일보 & naru.example, 무단전재 및 재배포 금지]",
    ],
)
@pytest.mark.parametrize("sentences", [1, 30])
def test_a_notice_behind_text_goes_and_the_text_stays(tail: str, sentences: int) -> None:
    body = " ".join([BODY] * sentences)
    text, removed = clean(f"{body}{tail}\n{body}")
    assert text == f"{body}\n{body}"
    assert [line.kind for line in removed] == ["tail"] and removed[0].line == tail


def test_code_is_left_alone() -> None:
    text = "```\n로그인\n회원가입\n홍길동 기자 a@b.kr\n```"
    assert clean(text) == (text, [])
    assert clean(f"{text}\n로그인\n끝이다.")[0] == f"{text}\n끝이다."


def test_lines_end_with_their_text() -> None:
    texts, removed = without_boilerplate(Texts.of(["본문\n로그인", "로그인", "정치", "경제\n사회"]))
    assert texts.strings() == ["본문\n", "", "정치", "경제\n사회"]
    assert [line.text for line in removed] == [0, 1]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("한다. <개정 2012.8.22, 2013.3.23>", "한다."),
        ("4\\. 삭제 <2024.10.8>", "4\\. 삭제"),
        ("[전문개정 2010.1.1] [본조신설 2010. 1. 1.]\n[제3조에서 이동 <2010.1.1>]", "\n"),
        ("부칙 <제17294호,2020.5.19>", "부칙 <제17294호,2020.5.19>"),
        ("<122> 중재법 일부를 <단서 생략> <지옥의 묵시록>", "<122> 중재법 일부를 <단서 생략> <지옥의 묵시록>"),
    ],
)
def test_amendment_marks_are_told_from_other_brackets(before: str, after: str) -> None:
    texts, chars = without_amendment_marks(Texts.of(["앞<개정 20", before, "10.1.1>"]))
    assert texts.strings() == ["앞<개정 20", after, "10.1.1>"]
    assert chars == len(before) - len(after)


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("name", SOURCES)
def test_no_rule_fires_on_a_line_the_kernel_passes_over(name: str) -> None:
    texts = Texts.of(read(name)[:3000])
    hinted = set(hinted_lines(texts))
    for text, start in enumerate(texts.offsets[:-1].tolist()):
        for line in texts.string(text).split("\n"):
            stop = start + len(line.encode())
            assert (start, stop) in hinted or judge_line(line)[0] in ("", "weak"), line
            start = stop + 1
