"""Mask personal data in Korean formats by patterns of bounded length, so the time is linear in the text."""

from __future__ import annotations

import re
from calendar import monthrange
from collections import Counter
from collections.abc import Callable

MASKS = {
    "resident": "[주민등록번호]",
    "card": "[카드번호]",
    "business": "[사업자등록번호]",
    "phone": "[전화번호]",
    "account": "[계좌번호]",
    "passport": "[여권번호]",
    "email": "[이메일]",
}
_NEARBY_CHARS = 24
# Every number but a passport's is a run of at least nine digits and separators; +, ( and 0 may stand before it.
_DIGIT_RUN = re.compile(r"[0-9][0-9)(.+ –—-]{7,}[0-9]")
_PREFIX_CHARS = 2
_RESIDENT = re.compile(r"(?<![0-9-])([0-9]{6})( ?[-–—] ?)?([1-8][0-9]{6})(?![0-9]|-[0-9])")
_CARD = re.compile(
    r"(?<![0-9A-Za-z_-])(?:2[2-7]|[3-69][0-9])[0-9]{2}([- ]?)[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?![0-9]|-[0-9])"
)
_AMEX = re.compile(r"(?<![0-9A-Za-z_-])3[47][0-9]{2}([- ]?)[0-9]{6}\1[0-9]{5}(?![0-9]|-[0-9])")
_BUSINESS = re.compile(r"(?<![0-9-])[0-9]{3}-[0-9]{2}-[0-9]{5}(?![0-9]|-[0-9])")
_START = r"(?<![0-9A-Za-z_-])(?<![0-9]\.)"
_MOBILE = re.compile(
    _START
    + r"(?:\+?82[-. ]?\(?0?\)?|0|\(0(?=1[0-9]\)))(?:10(?:[-. ] ?|\) ?)[0-9]{4}|1[16-9](?:[-. ] ?|\) ?)[0-9]{3,4})"
    r"(?: ?[-. ] ?)?[0-9]{4}(?![0-9]|[-.][0-9])"
)
# Eleven digits in one run: only 010, and no binary number.
_MOBILE_RUN = re.compile(_START + r"(?:\+82|0)(?![01]{10}(?![0-9]))10[0-9]{8}(?![0-9A-Za-z_]|[-.][0-9])")
# Without separators a landline looks like any number (제0303340000호), so they are required.
_LANDLINE = re.compile(
    _START + r"(?:\+82[-. ]?|0|\(0(?=[0-9]{1,3}\)))(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|50[2-8]?|70|80)"
    r"(?:\) ?| ?[-.] ?)[0-9]{3,4} ?[-.] ?[0-9]{4}(?![0-9]|[-.][0-9])"
)
_ACCOUNT = re.compile(r"(?<![0-9-])(?:[0-9]{2,6}-){2,3}[0-9]{1,8}(?![0-9-])|(?<![0-9-])[0-9]{10,14}(?![0-9-])")
_DATED = re.compile(r"(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-")
_BANK = re.compile(r"[가-힣]{1,6}은행|계좌|예금주|입금|농협|신협|수협|새마을금고|우체국|카카오뱅크|케이뱅크|토스뱅크")
# Short names are ordinary words (하나, 우리); they count right before the number only.
_BANK_JUST_BEFORE = re.compile(
    r"(?:(?<![가-힣])(?:국민|신한|우리|하나|기업|산업|제일|씨티|부산|대구|광주|전북|경남|제주)|(?<![A-Za-z])(?:KB|NH|IBK|SC|KEB))"
    r"\)? ?[:：]? ?$"
)
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}([A-Za-z]{2,24})(?![A-Za-z0-9])"
)
_FILE_ENDINGS = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "bmp", "ico", "css", "js", "ts", "json", "py"})
_PASSPORT = re.compile(r"(?<![A-Za-z0-9])[MSROD](?:[0-9]{8}|[0-9]{3}[A-Z][0-9]{4})(?![A-Za-z0-9])")
_RESIDENT_WORDS = ("주민등록", "주민번호", "외국인등록", "등록번호")
_RESIDENT_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
_BUSINESS_WEIGHTS = (1, 3, 7, 1, 3, 7, 1, 3, 5)


def mask(text: str) -> tuple[str, Counter[str]]:
    """Replace personal numbers and mail addresses by their name in brackets; return the text and counts by kind.

    Resident numbers need a date, cards the Luhn digit, business numbers their check digit, accounts a
    bank or the word 계좌 nearby, passports the word 여권. Dates, prices, statute and version numbers stay.
    """
    found = [*_addresses(text), *_numbers(text)]
    counts: Counter[str] = Counter()
    if not found:
        return text, counts
    parts, end = [], 0
    for start, stop, kind in sorted(found):
        if start < end:
            continue
        counts[kind] += 1
        parts += [text[end:start], MASKS[kind]]
        end = stop
    return "".join([*parts, text[end:]]), counts


Span = tuple[int, int, str]


def _addresses(text: str) -> list[Span]:
    if "@" not in text:
        return []
    return [(m.start(), m.end(), "email") for m in _EMAIL.finditer(text) if m[1].lower() not in _FILE_ENDINGS]


def _numbers(text: str) -> list[Span]:
    """Try the patterns, most telling first, on runs of digits and separators only; the rest holds no number."""
    spans: list[Span] = []
    for run in _DIGIT_RUN.finditer(text):
        first = max(0, run.start() - _PREFIX_CHARS)
        taken = bytearray(run.end() + 2 - first)
        for pattern, kind, accepts in _NUMBERS:
            for found in pattern.finditer(text, first, run.end() + 2):
                start, stop = found.start() - first, found.end() - first
                if taken.find(1, start, stop) < 0 and accepts(found):
                    taken[start:stop] = b"\1" * (stop - start)
                    spans.append((found.start(), found.end(), kind))
    if "여권" in text or "assport" in text:
        spans += [(m.start(), m.end(), "passport") for m in _PASSPORT.finditer(text) if _is_passport(m)]
    return spans


def _before(found: re.Match[str]) -> str:
    return found.string[max(0, found.start() - _NEARBY_CHARS) : found.start()]


def _after(found: re.Match[str]) -> str:
    return found.string[found.end() : found.end() + _NEARBY_CHARS]


def _digits(found: re.Match[str]) -> list[int]:
    return [int(character) for character in found[0] if "0" <= character <= "9"]


def _is_resident(found: re.Match[str]) -> bool:
    """Accept a resident number: a real date of birth, and no corporate number.

    Numbers given since October 2020, also to people born before, end in random digits; the check digit
    proves a number but does not disprove one. Corporate registration numbers have the same shape.
    """
    birth, separator, tail = found[1], found[2], found[3]
    century = 1900 if tail[0] in "1256" else 2000
    year, month, day = century + int(birth[:2]), int(birth[2:4]), int(birth[4:])
    if not 1 <= month <= 12 or not 1 <= day <= monthrange(year, month)[1]:
        return False
    digits = _digits(found)
    check = (11 - sum(w * d for w, d in zip(_RESIDENT_WEIGHTS, digits, strict=False)) % 11) % 10
    foreign = (13 - sum(w * d for w, d in zip(_RESIDENT_WEIGHTS, digits, strict=False)) % 11) % 10
    proven = digits[12] in ((check, foreign) if tail[0] in "5678" else (check,))
    before = _before(found)
    if "법인" in before:
        return False
    named = any(word in before for word in _RESIDENT_WORDS)
    if separator is None:
        return named
    return proven or named or not _is_corporate(digits)


def _is_corporate(digits: list[int]) -> bool:
    """Check the last digit of a corporate registration number: weights 1, 2 in turn."""
    total = sum(digit * (1 + index % 2) for index, digit in enumerate(digits[:12]))
    return digits[12] == (10 - total % 10) % 10


def _is_card(found: re.Match[str]) -> bool:
    """Check the Luhn digit."""
    total = 0
    for index, digit in enumerate(reversed(_digits(found))):
        doubled = digit * 2 if index % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _is_business(found: re.Match[str]) -> bool:
    """Check the tenth digit of a business registration number, or take its name before it as proof."""
    digits = _digits(found)
    total = sum(w * d for w, d in zip(_BUSINESS_WEIGHTS, digits, strict=False)) + digits[8] * 5 // 10
    return digits[9] == (10 - total % 10) % 10 or "사업자" in _before(found)


def _is_account(found: re.Match[str]) -> bool:
    count = sum("0" <= character <= "9" for character in found[0])
    if not 10 <= count <= 14 or _DATED.match(found[0]) or _after(found).startswith("원"):
        return False
    before = _before(found)
    return bool(_BANK.search(before) or _BANK_JUST_BEFORE.search(before) or "계좌" in _after(found)[:8])


def _is_passport(found: re.Match[str]) -> bool:
    return "여권" in _before(found) or "passport" in _before(found).lower()


def _always(found: re.Match[str]) -> bool:
    return True


_NUMBERS: tuple[tuple[re.Pattern[str], str, Callable[[re.Match[str]], bool]], ...] = (
    (_RESIDENT, "resident", _is_resident),
    (_CARD, "card", _is_card),
    (_AMEX, "card", _is_card),
    (_BUSINESS, "business", _is_business),
    (_MOBILE, "phone", _always),
    (_MOBILE_RUN, "phone", _always),
    (_LANDLINE, "phone", _always),
    (_ACCOUNT, "account", _is_account),
)
