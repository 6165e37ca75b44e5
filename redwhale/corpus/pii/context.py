"""What stands around a match: the characters before and after it that a rule may read as proof."""

from __future__ import annotations

import re

CONTEXT_CHARS = 24
MARGIN_BYTES = 4 * (CONTEXT_CHARS + 8)
"""Bytes around a region that hold the context of any match in it, look-behind of patterns included."""

FOLD: dict[int, str] = {
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
    **dict.fromkeys([*range(0x2010, 0x2016), 0x2212, 0x2500], "-"),
    0x3000: " ",
    0x00A0: " ",
}
"""Characters read as ASCII ones: full-width forms, dashes, wide spaces. ``characters.folded`` reads them alike."""

_TO_LAST_NUMBER = re.compile(r".*(?:[0-9][0-9. ()/+-]{7,}[0-9]|\])", re.DOTALL)
_OTHER_NUMBERS = re.compile(
    r"(?:주문|송장|운송장|접수|관리|일련|예약|승인|문서|상품|고지|바코드|품번|모델|계약|신고|허가|특허|출원|제조|통계|학번|의안|사건|"
    r"코드|코드 ?번호|등기|시리얼|[Ss]erial|[Oo]rder|ISBN|ISSN|UUID|LOT|(?<![A-Za-z])(?:id|ID|[Nn]o\.?))"
    r" ?(?:번호|넘버|[Nn]umber|[Nn]o\.?|#)?(?:는|은|가|이|를|을)? ?[:=#\"'(\[]* ?$"
)
_NO_DIGITS = re.compile("[^0-9]+")
_LINKS = " :=#\"'(["


def before(found: re.Match[str], chars: int = CONTEXT_CHARS) -> str:
    """Return up to ``chars`` characters before a match."""
    return found.string[max(0, found.start() - chars) : found.start()]


def named_before(found: re.Match[str], chars: int = CONTEXT_CHARS) -> str:
    """Return what is before a match as far as the next number or placeholder: a name counts for one number only.

    So the mask of one number is no proof for the next when masked text is masked again.
    """
    text = before(found, chars)
    other = _TO_LAST_NUMBER.match(text)
    return text[other.end() :] if other else text


def after(found: re.Match[str], chars: int = CONTEXT_CHARS) -> str:
    """Return up to ``chars`` characters after a match, as far as the next bracket."""
    return found.string[found.end() : found.end() + chars].partition("[")[0]


def is_named_otherwise(found: re.Match[str]) -> bool:
    """Tell whether the name of a number that is nobody's (주문번호, serial) stands right before a match."""
    near = before(found)
    name = near.rstrip(_LINKS)  # most matches have no word before them: the look that costs nothing comes first
    return (name[-1:].isalpha() or name[-1:] == "." or near[-1:] == "#") and bool(_OTHER_NUMBERS.search(near))


def digits_of(text: str) -> str:
    """Return the digits of a folded text."""
    return _NO_DIGITS.sub("", text)
