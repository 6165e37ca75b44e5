"""Tell lines that stand on Korean pages around the text: menus, bylines, copyright, links to more, adverts."""

from __future__ import annotations

import re

from redwhale.corpus.clean.menus import menu_kind

LONGEST_LINE = 160
TAIL_CHARS = 160
_SHORTEST_TEXT = 15  # characters before a notice that make a line text
_REPORTER = (
    r"(?:기자|특파원|통신원|객원기자|시민기자|인턴기자|수습기자|선임기자|전문기자|논설위원|리포터|에디터|앵커|PD)"
)
_ADDRESS = r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,80}"
_STAMP = (
    r"(?:기사\s?)?(?:입력|등록|승인|송고|작성|수정|최종\s?수정|업데이트)(?:일시|시간|일)?\s?:?\s?"
    r"(?:19|20)[0-9]{2}[-./년][-./년월일0-9:시분초 ]{3,24}(?:(?:오전|오후)[0-9: 시분]{2,10})?"
)
_ADDRESSED = re.compile(
    rf"^[^.!?]{{0,30}}{_REPORTER}.{{0,16}}{_ADDRESS}\W{{0,4}}$"
    rf"|^\W{{0,3}}(?:글|취재|사진|영상|편집)?\s?[=:·]?\s?[가-힣]{{2,4}}\s{_ADDRESS}\W{{0,3}}$"
    rf"|^\W{{0,3}}(?:[가-힣][가-힣A-Za-z0-9]{{1,11}}\s){{1,2}}{_ADDRESS}\W{{0,3}}$|^{_ADDRESS}\s?\(끝\)$"
)
_BYLINE = re.compile(
    rf"^\W{{0,3}}[가-힣]{{2,4}}\s?{_REPORTER}\W{{0,3}}$|^[\[(【][^\[\]]{{2,40}}(?:기자|특파원)\s?[\])】]$"
    rf"|^\W{{0,3}}{_STAMP}(?:\W{{1,4}}{_STAMP})?\W{{0,3}}$|^기자명\s[^.!?]{{1,24}}(?:{_STAMP}.{{0,60}})?$"
    r"|^\W{0,2}사진\s?[=/|].{1,30}$|^\(?사진\s?제공\s?[=:].{1,30}$"
)
_MARKED = re.compile("[ⓒ©무재저]|[Rr][Ee][Ss][Ee][Rr]|[Cc][Oo][Pp][Yy]")  # spares most lines the slow patterns
_COPYRIGHT = re.compile(
    r"무단\s?전재|무단\s?(?:복제|배포|도용)|재배포\s?(?:및\s?\S{1,10}\s?)?금지|저작권자\s?[(ⓒ©:]|(?i:all\s?rights?\s?reserved)"
    r"|(?i:copyright)\s?(?:[ⓒ©]|\(c\)|(?:19|20)[0-9]{2})|^[^\w]{0,3}[ⓒ©]\s?[0-9A-Za-z가-힣]"
)
_COPYRIGHT_MARK = re.compile(r"[ⓒ©]|(?i:\(c\)|copyright|reserved)|저작권자\s?:|금지(?:합니다|함)?\W{0,3}$")
_MORE = re.compile(
    r"^\W{0,4}(?:(?:키워드\s?)?관련\s?(?:기사|뉴스)|이\s?(?:기자|시각)의?\s?(?:다른\s?)?(?:기사|주요\s?뉴스)|기자의?\s?다른\s?기사"
    r"|함께\s?본\s?기사|(?:많이|가장\s?많이)\s?본\s?(?:기사|뉴스)|(?:추천|인기)\s?(?:기사|뉴스)|주요\s?뉴스)\W{0,3}(?:더?보기)?\W{0,3}$"
    r"|^\W{0,4}(?:관련\s?기사|관련\s?뉴스)\s?[:>▶☞].{0,120}$"
    r"|^\W{0,2}(?:이전|다음)\s?글\s?[:：|▲▼△▽].{0,100}$|^(?:이전|다음)\s?글이?\s?없습니다\W{0,2}$"
    r"|^[▶▷►☞※■◆●★【].{0,80}(?:구독|제보|바로\s?가기|팔로우|채널\s?추가|앱\s?다운|더\s?보기).{0,60}$"
    rf"|^[^#].{{0,24}}바로가기\W{{0,3}}$|^제보는\s.{{2,40}}$|^기사\s?제보\s?(?:및\s?보도자료)?.{{0,30}}{_ADDRESS}\W{{0,3}}$"
)
_OUTLET = r"(?:페이스북|트위터|엑스|카카오톡|카카오스토리|네이버\s?(?:블로그|밴드)|밴드|라인|이메일)"
_SHARE = re.compile(
    rf"^(?:SNS\s?)?기사\s?보내기(?:{_OUTLET}|\W{{0,3}}$)|^{_OUTLET}(?:\(으\)로|으로|로|에)?\s?(?:기사\s?)?(?:공유|보내기)(?:하기)?(?:$|\s)"
    r"|^키워드\s?(?:Tags?)?\s?#"
)
_STEP = r"\s?[>›»▶]\s?"
_BREADCRUMB = re.compile(
    rf"^\W{{0,2}}(?:현재\s?위치\s?:?\s?)?(?:홈|메인|처음|Home|HOME)(?:{_STEP}[^>›»▶.!?]{{1,20}}){{1,6}}$"
)
_COOKIE = re.compile(
    r"(?:사이트|서비스|당사|저희)[^.]{0,24}(?:경험|품질|개선|향상|분석|맞춤|광고|통계|편의)[^.]{0,30}쿠키를?\s?(?:사용|이용)(?:합니다|하고\s?있)"
    r"|^[^.]{0,12}사이트(?:는|에서는)\s쿠키를\s?사용(?:합니다|하고\s?있습니다)"
    r"|^\W{0,3}(?:모든|필수)?\s?쿠키\s?(?:사용|설정|정책|허용|수락|거부|모두\s?허용)(?:에\s?동의)?(?:하기|합니다|함|보기|관리)?\W{0,3}$"
    r"|쿠키\s?(?:사용|이용|수집)에\s?(?:대해\s?)?동의(?:합니다|하시|한\s?것으로|하는\s?것으로)"
    r"|^(?:this|our)\s(?:web)?site\suses\scookies|^we\suse\scookies",
    re.IGNORECASE,
)
_ADVERT = re.compile(
    r"^\W{0,3}(?:AD|ADVERTISEMENT|Advertisement|Sponsored|스폰서\s?(?:링크|광고)|광고|광고\s?배너|배너\s?광고)\W{0,3}$"
    r"|^\W{0,2}[\[(【<]\s?광고\s?[\])】>]|파트너스\s?활동.{0,60}(?:수수료|커미션|일정액)"
    r"|(?:소정의|제품|원고료).{0,30}(?:제공|지급|지원)\s?받.{0,20}(?:작성|포스팅|리뷰|후기|글)"
    r"|(?:무료\s?)?수신\s?거부\s?:?\s?(?:문자\s?)?080|^\W{0,3}광고\s?(?:문의|제휴|신청|안내)\W{0,3}(?:[:：]|$)"
)
_ADVERT_WORD = re.compile("광고|파트너스|제공|지원|지급|수신|스폰서|^.{0,3}(?:AD|Ad|Sp)")
_LOGIN = re.compile(
    r"^[^.]{0,30}로그인\s?(?:후|하신\s?후|을\s?하셔야|하셔야|해야)[^.]{0,20}(?:댓글|이용|작성|글쓰기|열람|확인)[^.]{0,12}(?:수\s?있습니다|가능합니다|주세요)\W{0,3}$"
    r"|^[^.]{0,24}(?:댓글|이용|작성|글)[^.]{0,12}(?:하려면|하시려면|쓰려면|남기려면|위해서는|위해)\s?로그인[^.]{0,8}(?:주세요|하세요|합니다|필요합니다)\W{0,3}$"
    r"|^\W{0,3}로그인(?:해\s?주세요|하세요|이\s?필요합니다|하시겠습니까|\s?상태\s?유지)\W{0,3}$"
)
_TAIL_MARK = re.compile(r"@|금지|[Rr]eserved|[Cc]opyright")
_ENDS = r"(?<=[.다요)\]>\"”'’])"
_TAIL = re.compile(
    rf"{_ENDS}\s{{1,3}}\W{{0,3}}(?:[가-힣A-Za-z0-9]{{2,12}}\s){{0,2}}[가-힣]{{2,4}}\s?{_REPORTER}\s?=?\s?{_ADDRESS}.{{0,80}}$"
    rf"|(?<=다\.)\s{{1,3}}{_ADDRESS}\s?\(끝\)$"
)
_TAIL_NOTICE = re.compile(
    rf"(?<=[.다요)\]>\"”'’@a-z])\s{{0,3}}(?:(?<!\S){_ADDRESS}\s?)?(?:\(끝\)\s?)?[\[<(【〈“\"'/]?\s?"
    r"(?:저작권자?\s?[ⓒ©:(]|[ⓒ©]|[Cc]opyright).{0,100}"
    r"(?:금지|[Rr]eserved)[\]>)】〉”\"'.]{0,3}(?:\s?(?:19|20)[0-9/.: -]{8,20}(?:송고)?)?$"
    r"|(?<=[.다요])\s{0,3}[Cc]opyright\s?(?:[ⓒ©]|\([cC]\)).{1,60}$"
)


def judge_line(line: str) -> tuple[str, int]:
    """Return why a line goes and from which character on; nothing and its length where it stays.

    Kinds: ``copyright``, ``byline``, ``more`` (links to other pages), ``breadcrumb``, ``cookie``, ``advert``,
    ``login``, ``menu`` (navigation and share lines), ``weak`` (goes only among other menu lines), and ``tail`` (byline
    or copyright behind text on one line).
    """
    cut = tail_start(line)
    if cut < len(line):
        head = line[:cut].strip()
        if len(head) >= _SHORTEST_TEXT and not _line_kind(head):
            return "tail", cut
    kind = _line_kind(line.strip())
    return kind, 0 if kind else len(line)


def _line_kind(stripped: str) -> str:
    if not stripped or len(stripped) > LONGEST_LINE:
        return ""
    if _MARKED.search(stripped) and _COPYRIGHT.search(stripped) and _COPYRIGHT_MARK.search(stripped):
        return "copyright"
    if _BYLINE.match(stripped) or ("@" in stripped and _ADDRESSED.match(stripped)):
        return "byline"
    if stripped.startswith("#"):
        return ""
    if _MORE.match(stripped):
        return "more"
    if _SHARE.match(stripped):
        return "menu"
    if _BREADCRUMB.match(stripped):
        return "breadcrumb"
    if "쿠키" in stripped or "ookie" in stripped:
        return "cookie" if _COOKIE.search(stripped) else ""
    if _ADVERT_WORD.search(stripped) and _ADVERT.search(stripped):
        return "advert"
    if "로그인" in stripped and _LOGIN.match(stripped):
        return "login"
    return menu_kind(stripped)


def tail_start(line: str) -> int:
    """Return where bylines and copyright notices at the end of a line of text begin, its length for none."""
    end = len(line)
    for _ in range(3):  # a notice may stand behind a byline
        start = max(0, end - TAIL_CHARS)
        part = line[start:end]
        found = _TAIL_MARK.search(part) and (_TAIL_NOTICE.search(part) or _TAIL.search(part))
        if not found:
            break
        end = start + found.start()
    return end
