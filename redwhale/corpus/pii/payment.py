"""Numbers that move money: cards and bank accounts."""

from __future__ import annotations

import re

from redwhale.corpus.pii.context import after, before, digits_of, is_named_otherwise, named_before

_START = r"(?<![0-9A-Za-z_-])(?<![0-9]\.)"
_END = r"(?![0-9A-Za-z_]|[-.][0-9])"
# First digits of the networks (ISO/IEC 7812): Visa, Mastercard, UnionPay, Maestro, JCB, and 9 for Korea alone.
CARD = re.compile(
    rf"{_START}(?:2[2-7][0-9]{{2}}|35[0-9]{{2}}|4[0-9]{{3}}|5[0-9]{{3}}|6[0-9]{{3}}|9[0-9]{{3}})"
    rf"([-. ]?)[0-9]{{4}}\1[0-9]{{4}}\1[0-9]{{4}}{_END}"
)
AMEX_OR_DINERS = re.compile(
    rf"{_START}3(?:[47][0-9]{{2}}([- ]?)[0-9]{{6}}\1[0-9]{{5}}|[68][0-9]{{2}}([- ]?)[0-9]{{6}}\2[0-9]{{4}}){_END}"
)
ACCOUNT = re.compile(
    r"(?<![0-9A-Za-z_.-])(?:(?:[0-9]{2,6}-){2,3}[0-9]{1,8}|[0-9]{3,6}(?: [0-9]{2,6}){2,3}|(?P<bare>[0-9]{10,14}))"
    r"(?![0-9A-Za-z_%]|[-.][0-9])"
)

_DATED = re.compile(r"(?<![0-9])(?:19|20)[0-9]{2}[- ](?:0?[1-9]|1[0-2])(?![0-9])")
_ACCOUNT_WORDS = re.compile(r"계좌|예금주|통장")
_BANK = re.compile(
    r"[가-힣]{1,6}은행(?!나무|잎|열매)|입금|농협|신협|수협|새마을금고|우체국|카카오뱅크|케이뱅크|토스뱅크|뱅크|산림조합"
)
# Short names are ordinary words (하나, 우리); they count right before the number only.
_BANK_JUST_BEFORE = re.compile(
    r"(?:(?<![가-힣])(?:국민|신한|우리|하나|기업|산업|제일|씨티|부산|대구|광주|전북|경남|제주)|(?<![A-Za-z])(?:KB|NH|IBK|SC|KEB))"
    r"\)? ?[:：]? ?$"
)
_COUNTED = re.compile(r" ?(?:원|달러|그루|명|개|건|톤|주(?!세)|회|년|월|둘|번째)")
_FOUR = re.compile("[0-9]{4}")  # the serial
_SHORTEST_BARE = 11


def is_card(found: re.Match[str]) -> bool:
    """Check the Luhn digit; refuse digits in one run that are named otherwise."""
    digits = digits_of(found[0])
    if digits[4:] == digits[4] * (len(digits) - 4) or not _has_luhn(digits):
        return False
    near = before(found)
    return "-" in found[0] or not (is_named_otherwise(found) or near.endswith(("/", "=", "#", "&")))


def _has_luhn(digits: str) -> bool:
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (doubled + sum(map(int, digits[::-2]))) % 10 == 0


def is_account(found: re.Match[str]) -> bool:
    """Ask for a bank or the word 계좌 nearby; refuse dates, amounts and numbers named otherwise."""
    digits = digits_of(found[0])
    if (
        not 10 <= len(digits) <= 14
        or not _FOUR.search(found[0])
        or _DATED.search(found[0])
        or _COUNTED.match(after(found))
    ):
        return False
    near = named_before(found)
    if is_named_otherwise(found):
        return False
    if _ACCOUNT_WORDS.search(near) or _ACCOUNT_WORDS.search(after(found, 12)):
        return True
    if " " in found[0] or (found["bare"] and len(digits) < _SHORTEST_BARE):
        return False
    return bool(_BANK.search(near) or _BANK_JUST_BEFORE.search(near) or _BANK.search(after(found, 8)))
