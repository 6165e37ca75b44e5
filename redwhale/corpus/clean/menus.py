"""Tell the menu lines of Korean pages from text: by their words, and by the lines around them."""

from __future__ import annotations

import re

IN_MENU = frozenset({"menu", "weak", "more", "login", "breadcrumb"})
_MENU_RUN = 3
_MENU_WORDS = 5
_LONGEST_WORD = 4  # parts
_LONGEST_LINK = 14
# Alone on a line these are a menu; the weak ones are ordinary words and need a menu around them.
_STRONG_TEXT = """
로그인 로그아웃 자동로그인 회원가입 회원정보수정 마이페이지 고객센터 전체메뉴 사이트맵 이전글 다음글 목록보기 글쓰기
맨위로 맨위로가기 위로가기 개인정보처리방침 개인정보취급방침 이용약관 이메일무단수집거부 청소년보호정책 저작권정책
저작권보호정책 기사제보 광고문의 제휴문의 입점문의 구독신청 회사소개 오시는길 찾아오시는길 모바일버전 PC버전 뉴스홈
많이본뉴스 댓글많은뉴스 인기기사 전체기사 주문조회 최근본상품 찜한상품 장바구니 공유하기 스크랩하기 URL복사 주소복사
링크복사 글자크게 글자작게 글자크기조절 글씨크기조절 아이디찾기 비밀번호찾기 ID/PW찾기 아이디저장 관련사이트
패밀리사이트 즐겨찾기추가 쿠폰존 신상품 기획전 상품상세 상품리뷰 상품문의 낮은가격순 높은가격순 판매량순 리뷰순
본문바로가기 메뉴바로가기 기사공유하기 퍼가기 댓글쓰기 댓글달기 댓글등록 신고하기 인쇄하기 구독하기 공유하기
페이스북공유 트위터공유 카카오톡공유 네이버공유 밴드공유 카카오스토리공유 글자확대 글자축소 본문글씨키우기
본문글씨줄이기 로그인하기 회원가입하기 비회원주문조회 관심상품 최근검색어 인기검색어
SNS기사보내기 기사보내기 스크롤이동상태바 본문글씨줄이기 본문글씨키우기 기사스크랩하기 상단영역 본문영역 하단영역
전체메뉴버튼 메뉴닫기 검색어를입력하세요 뉴스레터신청 매체소개 다른기사보기 이기사를공유합니다 다른공유찾기
댓글내용입력 이전기사보기 다음기사보기 이전기사 다음기사 로그인회원가입 링크복사하기 회원로그인 내댓글모음 답글쓰기
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
Facebook Twitter 현재위치 복사하기 전체보기 즐겨찾기 싫어요 글씨크기 저장하기 페이지이동 바로가기
모두허용 모두수락 모두동의 모두거부
"""
_WEAK = frozenset(_WEAK_TEXT.split())
MENU_WORDS = _STRONG | _WEAK
_SHARE_TEXT = """
페이스북 트위터 카카오톡 카카오스토리 카톡 라인 밴드 네이버블로그 네이버밴드 텔레그램 핀터레스트 Facebook Twitter
"""
_SHARE = frozenset(_SHARE_TEXT.split())
_FIRST_CHARACTER = re.compile(r"[0-9A-Za-z가-힣]")
_FIRST = frozenset(word[0] for word in MENU_WORDS) | frozenset("0123456789본주하")
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
        known = [joined] if joined in MENU_WORDS else _words(item.split())
        if known is None:
            return ""
        strong = strong or any(word in _STRONG or word.endswith("바로가기") for word in known)
        words, shares = words + len(known), shares + sum(word in _SHARE for word in known)
    if strong or words >= _MENU_WORDS or shares >= 2:
        return "menu"
    return "weak" if words else ""


def _words(parts: list[str]) -> list[str] | None:
    """Read parts as menu words, the longest first; numbers are skipped, None where something else stands."""
    words, at = [], 0
    while at < len(parts):
        for stop in range(min(len(parts), at + _LONGEST_WORD), at, -1):
            word = "".join(parts[at:stop]).strip(".-")
            if word in MENU_WORDS or (word.endswith("바로가기") and len(word) <= _LONGEST_LINK):
                words.append(word)
                break
        else:
            if not parts[at].isdigit():
                return None
            stop = at + 1
        at = stop
    return words


def settle_run(kinds: list[str], run: list[int]) -> None:
    """Settle the ``weak`` among lines that stand together, blank lines apart."""
    is_menu = len(run) >= _MENU_RUN and any(kinds[i] != "weak" for i in run)
    for i in run:
        if kinds[i] == "weak":
            kinds[i] = "menu" if is_menu else ""
