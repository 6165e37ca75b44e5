"""Remove lines that stand on Korean pages around the text: menus, bylines, copyright, links to more."""

from __future__ import annotations

import re
from collections import Counter

from redwhale.corpus.clean.markup import segments
from redwhale.corpus.clean.menus import menu_kind, settle_menus

_LONGEST_LINE = 160
_TAIL_CHARS = 160
_REPORTER = (
    r"(?:기자|특파원|통신원|객원기자|시민기자|인턴기자|수습기자|선임기자|전문기자|논설위원|리포터|에디터|앵커|PD)"
)
_ADDRESS = r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,80}"
_STAMP = (
    r"(?:기사\s?)?(?:입력|등록|승인|송고|작성|수정|최종\s?수정|업데이트)(?:일시|시간|일)?\s?:?\s?"
    r"(?:19|20)[0-9]{2}[-./년][-./년월일0-9:시분초 ]{3,24}(?:(?:오전|오후)[0-9: 시분]{2,10})?"
)
_BYLINE = re.compile(
    rf"^[^.!?]{{0,30}}{_REPORTER}.{{0,16}}{_ADDRESS}\W{{0,4}}$|^\W{{0,3}}[가-힣]{{2,4}}\s?{_REPORTER}\W{{0,3}}$"
    rf"|^\W{{0,3}}(?:글|취재|사진|영상|편집)?\s?[=:·]?\s?[가-힣]{{2,4}}\s{_ADDRESS}\W{{0,3}}$"
    rf"|^\W{{0,3}}{_STAMP}(?:\W{{1,4}}{_STAMP})?\W{{0,3}}$"
    r"|^\W{0,2}사진\s?[=/|].{1,30}$|^\(?사진\s?제공\s?[=:].{1,30}$"
)
_COPYRIGHT = re.compile(
    r"무단\s?전재|무단\s?(?:복제|배포|도용)|재배포\s?(?:및\s?\S{1,10}\s?)?금지|저작권자\s?[(ⓒ©:]|(?i:all\s?rights?\s?reserved)"
    r"|(?i:copyright)\s?(?:[ⓒ©]|\(c\)|(?:19|20)[0-9]{2})|^[^\w]{0,3}[ⓒ©]\s?[0-9A-Za-z가-힣]"
)
_COPYRIGHT_MARK = re.compile(r"[ⓒ©]|(?i:\(c\)|copyright|reserved)|저작권자\s?:|금지(?:합니다|함)?\W{0,3}$")
_MORE = re.compile(
    r"^\W{0,4}(?:관련\s?(?:기사|뉴스)|이\s?(?:기자|시각)의?\s?(?:다른\s?)?(?:기사|주요\s?뉴스)|기자의?\s?다른\s?기사|함께\s?본\s?기사"
    r"|(?:많이|가장\s?많이)\s?본\s?(?:기사|뉴스)|추천\s?(?:기사|뉴스)|인기\s?(?:기사|뉴스)|주요\s?뉴스)\W{0,3}(?:보기|더보기)?\W{0,3}$"
    r"|^\W{0,4}(?:관련\s?기사|관련\s?뉴스)\s?[:>▶☞].{0,120}$"
    r"|^\W{0,2}(?:이전|다음)\s?글\s?[:：|▲▼△▽].{0,100}$|^(?:이전|다음)\s?글이?\s?없습니다\W{0,2}$"
    r"|^[▶▷►☞※■◆●★【].{0,80}(?:구독|제보|바로\s?가기|팔로우|채널\s?추가|앱\s?다운|더\s?보기).{0,60}$"
    r"|^[^#].{0,24}바로가기\W{0,3}$"
)
# A line without any of these is no copyright line, byline or link to more: the slow patterns are spared.
_HINT = re.compile(
    r"[@ⓒ©▶▷►☞※■◆●★【]|기자|특파원|통신원|논설위원|리포터|에디터|앵커|PD|입력|등록|승인|송고|작성|수정|업데이트|사진"
    r"|무단|재배포|저작권|(?i:reserved|copyright)|기사|뉴스|글|바로가기"
)
_TAIL = re.compile(
    rf"(?<=[.다요)\"”'’])\s{{1,3}}\W{{0,3}}(?:[가-힣]{{2,10}}\s)?[가-힣]{{2,4}}\s?{_REPORTER}\s?=?\s?{_ADDRESS}.{{0,80}}$"
    r"|(?<=[.다요)\"”'’@a-z])\s{0,3}[\[<(【]?\s?(?:저작권자|[ⓒ©]|Copyright).{0,60}"
    r"(?:금지|[Rr]eserved)[\]>)】.]{0,3}$"
)


def clean_lines(text: str) -> tuple[str, Counter[str]]:
    """Remove boilerplate lines outside code; return the text and the characters removed by kind.

    Kinds: ``menu`` (navigation and share lines), ``byline``, ``copyright``, ``more`` (links to other
    pages) and ``tail`` (byline or copyright at the end of a line of text). A single ordinary word such
    as 검색 goes only within a run of three menu lines one of which is unmistakable.
    """
    removed: Counter[str] = Counter()
    parts = [part if is_code else _clean_prose(part, removed) for is_code, part in segments(text)]
    return "".join(parts), removed


def _clean_prose(text: str, removed: Counter[str]) -> str:
    lines = text.split("\n")
    kinds = [_kind(line) for line in lines]
    settle_menus(lines, kinds)
    kept = []
    for line, kind in zip(lines, kinds, strict=True):
        if kind:
            removed[kind] += len(line)
        else:
            kept.append(_without_tail(line, removed))
    return "\n".join(kept)


def _kind(line: str) -> str:
    """Return why a line goes, ``weak`` where it goes only among other menu lines, or nothing."""
    stripped = line.strip()
    if not stripped or len(stripped) > _LONGEST_LINE:
        return ""
    if not _HINT.search(stripped):
        return menu_kind(stripped)
    if _COPYRIGHT.search(stripped) and _COPYRIGHT_MARK.search(stripped):
        return "copyright"
    if _BYLINE.match(stripped):
        return "byline"
    if not stripped.startswith("#") and _MORE.match(stripped):
        return "more"
    return menu_kind(stripped)


def _without_tail(line: str, removed: Counter[str]) -> str:
    if "@" not in line[-_TAIL_CHARS:] and "금지" not in line[-8:] and "eserved" not in line[-16:]:
        return line
    start = max(0, len(line) - _TAIL_CHARS)
    found = _TAIL.search(line, start)
    if found is None:
        return line
    removed["tail"] += len(line) - found.start()
    return line[: found.start()]
