"""Numbers that the state gives: residents, businesses, passports, driver's licences, car plates."""

from __future__ import annotations

import re
from calendar import monthrange
from operator import mul

from redwhale.corpus.pii.context import after, before, digits_of, is_named_otherwise, named_before

_END = r"(?![0-9A-Za-z_]|-[0-9])"
RESIDENT = re.compile(r"(?<![0-9A-Za-z_.-])([0-9]{6})( ?- ?| )?([1-8][0-9]{6})(?![0-9A-Za-z_]|[-.][0-9])")
BUSINESS = re.compile(rf"(?<![0-9A-Za-z_.-])[0-9]{{3}}([- ]?)[0-9]{{2}}\1[0-9]{{5}}{_END}")
PASSPORT = re.compile(r"(?<![A-Za-z0-9])[MSRODmsrod](?:[0-9]{8}|[0-9]{3}[A-Za-z][0-9]{4})(?![A-Za-z0-9])")
LICENCE = re.compile(rf"(?<![0-9A-Za-z_.-])(?:1[1-9]|2[0-8])(-?)[0-9]{{2}}\1[0-9]{{6}}\1[0-9]{{2}}{_END}")
_REGION = "서울|부산|대구|인천|광주|대전|울산|세종|경기(?:남부|북부)?|강원|충북|충남|전북|전남|경북|경남|제주"
LICENCE_BY_REGION = re.compile(rf"(?<![가-힣])(?:{_REGION})[- ]?[0-9]{{2}}-[0-9]{{6}}-[0-9]{{2}}{_END}")
PLATE = re.compile(
    rf"(?:(?P<region>(?<![가-힣])(?:{_REGION}) ?)|(?<![0-9A-Za-z.,-]))(?P<class>[0-9]{{2,3}})(?P<gap> ?)"
    r"(?P<use>[가나다라마바사아자차카타파하거너더러머버서어저고노도로모보소오조구누두루무부수우주배허호국합육해공])"
    r"(?P<space> ?)[0-9]{4}(?![0-9]|[.-][0-9]|,[0-9]{3}(?![0-9-]))"
)

_RESIDENT_WORDS = re.compile(r"주민|외국인 ?등록|거소|신분증|민증|등본")
_CORPORATION = re.compile(r"법인 ?(?:등록|등기)? ?번호|법인 ?(?:등록|등기)|등기 ?번호|법인 ?[\(:]? ?$")
_CORPORATION_TYPES = frozenset({"11", "12", "13", "14", "15", "21", "22"})
_RESIDENT_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
_BUSINESS_WEIGHTS = (1, 3, 7, 1, 3, 7, 1, 3, 5)
_BUSINESS_WORDS = re.compile(r"사업자|고유 ?번호")
_PASSPORT_WORDS = re.compile(r"여권|passport", re.IGNORECASE)
_PASSPORT_CHARS = 32  # names may stand between
_LICENCE_WORDS = re.compile(r"면허")

# The look at one syllable first makes a long list of words cheap.
_VEHICLE = re.compile(
    r"(?=[차번자승화택버트렌주견뺑군하과운소쏘그아벤B카제스모])(?:"
    r"차량|차 ?번호|번호판|자동차|승용차|화물차|택시|버스|트럭|렌터카|렌트카|주차|견인|뺑소니|차주|차종|군용차|"
    r"하이패스|택배차|과속|운전자|(?<![가-힣])차[를가는에도의와 ]|차 ?[를가] |"
    r"소나타|쏘나타|그랜저|아반떼|벤츠|BMW|아우디|카니발|제네시스|스타렉스|모닝)"
)
# Counters after the digits, or a syllable that goes on: the "plate" was two numbers with a word between.
_NO_PLATE_AFTER = re.compile(
    r" ?(?:년|월|억|만|원|조|천|백|명|개|세대|가구|건|미터|킬로|배|장|자 |표|점|필|주|회|여)|"
    r"대(?!의|가|를| )|[가-힣]{0,3}년"
)
_COURT = re.compile(r"법원|지법|고법|대법|헌재|판결|선고|결정|사건|참조|손해배상|헌법|판례|대판")
# Letters that also count or are particles after a number: 25조 2000억, 26호 2016년, 10자, 12가 3000.
_ALSO_WORDS = frozenset("가나다라마바사아자차카타파하도로고보서조주호배구부수우대국합육해공")
_CASE_YEARS = range(46, 100)


def is_resident(found: re.Match[str]) -> bool:
    """Accept a resident or foreigner number: a real date of birth, and no corporate number.

    Numbers given since October 2020, also to people born before, end in random digits; the check digit
    proves a number but does not disprove one. It is asked for only where thirteen digits have no name.
    """
    birth, separator, tail = found[1], found[2], found[3]
    century = 1900 if tail[0] in "1256" else 2000
    year, month, day = century + int(birth[:2]), int(birth[2:4]), int(birth[4:])
    if not 1 <= month <= 12 or not 1 <= day <= monthrange(year, month)[1]:
        return False
    if _RESIDENT_WORDS.search(named_before(found)):
        return True
    if _CORPORATION.search(before(found)) or is_named_otherwise(found):
        return False
    digits = birth + tail
    if _has_resident_check(digits):
        return separator is None or "-" in separator
    return separator is not None and "-" in separator and not _is_corporation(digits)


def _has_resident_check(digits: str) -> bool:
    total = sum(map(mul, _RESIDENT_WEIGHTS, map(int, digits))) % 11
    return int(digits[12]) in {(11 - total) % 10, (13 - total) % 10 if digits[6] in "5678" else (11 - total) % 10}


def _is_corporation(digits: str) -> bool:
    """Tell a corporate registration number: office (11-22), type, serial, check digit (weights 1, 2 in turn)."""
    if not "11" <= digits[:2] <= "22" or digits[4:6] not in _CORPORATION_TYPES:
        return False
    total = sum(int(digit) * (1 + index % 2) for index, digit in enumerate(digits[:12]))
    return int(digits[12]) == (10 - total % 10) % 10


def is_business(found: re.Match[str]) -> bool:
    """Check the tenth digit; without hyphens, or with a wrong digit, the number must be named."""
    checked = _has_business_check(digits_of(found[0]))
    if found[1] == "-" and checked:
        return not is_named_otherwise(found)
    return (checked or found[1] == "-") and bool(_BUSINESS_WORDS.search(named_before(found)))


def _has_business_check(digits: str) -> bool:
    total = sum(map(mul, _BUSINESS_WEIGHTS, map(int, digits)))
    return int(digits[9]) == (10 - (total + int(digits[8]) * 5 // 10) % 10) % 10


def is_passport(found: re.Match[str]) -> bool:
    """Ask for the word 여권 or passport: the shape alone is that of many part numbers."""
    return bool(_PASSPORT_WORDS.search(named_before(found, _PASSPORT_CHARS)) or _PASSPORT_WORDS.search(after(found, 8)))


def is_licence(found: re.Match[str]) -> bool:
    """Accept the hyphenated shape (office 11-28, year, serial, check), and twelve digits that are named."""
    if found[1]:
        return not is_named_otherwise(found)
    return bool(_LICENCE_WORDS.search(named_before(found, 12)))


def is_plate(found: re.Match[str]) -> bool:
    """Accept a car plate by its region, by words on vehicles, or by a letter that is no Korean word.

    Case numbers have the same shape (98다1234), and so have amounts and articles (25조 2000억, 26호 2016년).
    """
    behind = after(found, 12)
    if before(found, 1) == "제" or _NO_PLATE_AFTER.match(behind) or (found["gap"] and not found["region"]):
        return False
    around = f"{named_before(found)} … {behind}"
    if found["region"] or _VEHICLE.search(around):
        return not _COURT.search(around)
    if found["use"] in _ALSO_WORDS or _COURT.search(around):
        return False
    return bool(found["space"]) or len(found["class"]) == 3 or int(found["class"]) not in _CASE_YEARS
