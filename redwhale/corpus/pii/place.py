"""The part of a postal address that tells one house or flat."""

from __future__ import annotations

import re

from redwhale.corpus.pii.context import after, before

_FLOOR, _DOOR = "제?[0-9]{1,2}층", "제?B?[0-9]{1,4}호"
_FLAT = (
    rf"(?:,? ?(?:지하 ?)?(?:(?:[0-9]{{1,4}}|[A-Z가나다라마바사])동 ?(?:{_DOOR}|{_FLOOR}(?: ?{_DOOR})?)|"
    rf"{_FLOOR}(?: ?{_DOOR})?|지하 ?[0-9]층?|{_DOOR}))"
)
_BUILDING = (
    rf"(?:,? ?[가-힣A-Za-z0-9]{{1,12}}(?:빌딩|타워|아파트|오피스텔|빌라|맨션|상가|[프플]라자|하우스)(?={_FLAT}))"
)
_STREET_NUMBER = r"(?:지하 ?)?[0-9]{1,5}(?:(?:-| ?의 ?)[0-9]{1,4})?"
ADDRESS = re.compile(
    r"(?<![0-9.,~-])(?:[0-9]{1,4}동 ?[0-9]{1,4}호|"
    rf"(?P<number>(?:산 ?)?{_STREET_NUMBER}(?:번길 ?{_STREET_NUMBER})?(?:번지)?)"
    rf"(?P<flat>{_BUILDING}?{_FLAT}{{0,3}}))(?![0-9.-])"
)
# 면 also ends verbs (좋아하면 아폴로 13).
_DISTRICT = (
    r"(?:특별시|광역시|자치시|자치도|[가-힣](?:시|군|구|읍|(?<![하이으려다라])면|도)|"
    r"서울|부산|대구|인천|광주|대전|울산|세종)"
)
_ROAD_BEFORE = re.compile(rf"{_DISTRICT} [가-힣0-9]{{1,9}}(?:로|길)(?:[0-9]{{1,4}}(?:번|가|나|다)?길)? ?$")
_NEIGHBOURHOOD_BEFORE = re.compile(rf"{_DISTRICT} (?:[가-힣]{{1,5}}(?:읍|면) )?[가-힣0-9]{{1,6}}(?:동|리|[0-9]가) $")
_ROAD_ENDS, _NEIGHBOURHOOD_ENDS = ("로", "길", "로 ", "길 "), ("동 ", "리 ", "가 ")
_ENDS = re.compile(
    r"$|[\s,)\]>'\"·;/]|\.(?![0-9])|\(|에|의|으로|로|이|입|은|는|을|를|과|와|번지|일대|일원|소재|호(?!선)"
)
_COUNTED = re.compile(
    r" ?(?:명|개|년|월|일(?!원|대)|원|시간|미터|킬로|m|km|%|대|가지|위|차|회|곳|점|배|살|세대|분|억|만|천|여|가구|건)"
)
_NO_FLAT_AFTER = re.compile(r"기|선|실|봉|차|점|법")


def is_address(found: re.Match[str]) -> bool:
    """Accept a number after district and street or neighbourhood, and a flat written as 동 and 호."""
    near = before(found)
    if near[-1:] == "제":
        return False
    if not found["number"]:
        return not _NO_FLAT_AFTER.match(after(found))
    on_road = near.endswith(_ROAD_ENDS)  # how the patterns end: a look that costs nothing, before theirs
    if not on_road and not near.endswith(_NEIGHBOURHOOD_ENDS):
        return False
    if not found["flat"] and (not _ENDS.match(after(found)) or _COUNTED.match(after(found))):
        return False
    return bool(_ROAD_BEFORE.search(near) if on_road else _NEIGHBOURHOOD_BEFORE.search(near))
