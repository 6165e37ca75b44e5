"""Tell the menu lines of Korean pages from text: by their words, and by the lines around them."""

from __future__ import annotations

import re

_MENU_RUN = 3
_MENU_WORDS = 5
# Alone on a line these are a menu; the weak ones are ordinary words and need a menu around them.
_STRONG_TEXT = """
로그인 로그아웃 자동로그인 회원가입 회원정보수정 마이페이지 고객센터 전체메뉴 사이트맵 이전글 다음글 목록보기 글쓰기
맨위로 맨위로가기 위로가기 개인정보처리방침 개인정보취급방침 이용약관 이메일무단수집거부 청소년보호정책 저작권정책
저작권보호정책 기사제보 광고문의 제휴문의 입점문의 구독신청 회사소개 오시는길 찾아오시는길 모바일버전 PC버전 뉴스홈
많이본뉴스 댓글많은뉴스 인기기사 전체기사 주문조회 최근본상품 찜한상품 장바구니 공유하기 스크랩하기 URL복사 주소복사
링크복사 글자크게 글자작게 글자크기조절 글씨크기조절 아이디찾기 비밀번호찾기 ID/PW찾기 아이디저장 관련사이트
패밀리사이트 즐겨찾기추가 쿠폰존 신상품 기획전 상품상세 상품리뷰 상품문의 낮은가격순 높은가격순 판매량순 리뷰순
본문바로가기 메뉴바로가기 기사공유하기
"""
_STRONG = frozenset(_STRONG_TEXT.split())
_WEAK_TEXT = """
홈 RSS HOME Home TOP Top 메뉴 검색 목록 목록으로 수정 삭제 답변 답글 댓글 인쇄 프린트 공유 스크랩 북마크 좋아요 추천
신고 닫기 열기 더보기 접기 펼치기 이전 다음 처음 끝 마지막 번호 제목 내용 작성자 글쓴이 작성일 등록일 조회 조회수
첨부파일 첨부 제목+내용 확인 취소 등록 저장 정치 경제 사회 문화 국제 세계 스포츠 연예 지역 전국 오피니언 사설 칼럼
포토 사진 동영상 영상 뉴스 기사 속보 실시간 랭킹 공지사항 알림마당 자료실 게시판 자유게시판 커뮤니티 갤러리 조직도
인사말 연혁 채용 FAQ Q&A 문의 고객지원 이용안내 전화번호안내 카테고리 베스트 이벤트 쇼핑 교환/반품 배송 배송조회
최신순 인기순 추천순 정확도순 페이스북 트위터 카카오톡 카카오스토리 카톡 라인 밴드 네이버 블로그 네이버블로그
네이버밴드 인스타그램 유튜브 텔레그램 핀터레스트 메일 이메일 문자 가 글자크기 English 한국어 login Login LOGIN
Facebook Twitter
"""
_WEAK = frozenset(_WEAK_TEXT.split())
_SHARE_TEXT = """
페이스북 트위터 카카오톡 카카오스토리 카톡 라인 밴드 네이버블로그 네이버밴드 텔레그램 핀터레스트 Facebook Twitter
"""
_SHARE = frozenset(_SHARE_TEXT.split())
_FIRST_CHARACTER = re.compile(r"[0-9A-Za-z가-힣]")
_FIRST = frozenset(word[0] for word in _STRONG | _WEAK) | frozenset("0123456789본주하")
_SEPARATOR = re.compile(r"[|·ㆍ>»/,\[\]()<＞｜•※▶▷◀◁▲△▼▽☰≡+#*=_:]+| - |\t| {2,}")
_COUNT = re.compile(r"\(\s?[0-9,]{1,7}\s?\)$|\([0-9]{1,4}\)")
_BULLET = re.compile(r"^[-*+•·▪◦]\s+")


def menu_kind(line: str) -> str:
    """Return ``menu`` for an unmistakable word, two share words or five menu words, ``weak`` for fewer."""
    first = _FIRST_CHARACTER.search(line)
    if line.startswith("#") or first is None or first[0] not in _FIRST:
        return ""
    items = [item for item in _SEPARATOR.split(_COUNT.sub("", _BULLET.sub("", line))) if item.strip(" .-")]
    words, shares, strong = 0, 0, False
    for item in items:
        joined = item.replace(" ", "").strip(".-")
        if joined in _STRONG or (joined.endswith("바로가기") and len(joined) <= 14):
            strong, words = True, words + 1
            continue
        for word in [joined] if joined in _WEAK else item.split():
            if word in _STRONG or word in _WEAK:
                strong, words, shares = strong or word in _STRONG, words + 1, shares + (word in _SHARE)
            elif not word.isdigit():
                return ""
    if strong or words >= _MENU_WORDS or shares >= 2:
        return "menu"
    return "weak" if words else ""


def settle_menus(lines: list[str], kinds: list[str]) -> None:
    """Turn ``weak`` lines into ``menu`` within a long enough run with a menu line in it, else keep them."""
    run: list[int] = []
    for index in range(len(lines) + 1):
        kind = kinds[index] if index < len(lines) else ""
        if kind in ("menu", "weak", "more"):
            run.append(index)
        elif index == len(lines) or lines[index].strip():
            is_menu = len(run) >= _MENU_RUN and any(kinds[i] != "weak" for i in run)
            for i in run:
                if kinds[i] == "weak":
                    kinds[i] = "menu" if is_menu else ""
            run = []
