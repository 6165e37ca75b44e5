"""Single characters beside Hangul that a new piece may be: signs of Korean print that the base spells in bytes.

Signs such as ① ㎡ △ ♡ 「 and Hanja. No letters of other scripts, digits, spaces, marks that combine with a
letter, or invisible characters: those belong to other languages or to code.
"""

from __future__ import annotations

import unicodedata

_SIGNS = frozenset(("So", "Sm", "Sc", "Po", "Ps", "Pe", "Pd", "Pi", "Pf", "No", "Nl"))
_HANJA = ("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH")
_LETTER_DOT = "\u318d"  # a middle dot in print, though Unicode has it as a letter


def is_extra(character: str) -> bool:
    """Tell whether a single character beside Hangul may be a new piece."""
    if character < "\x80":
        return False
    category = unicodedata.category(character)
    if category == "Lo":
        return character == _LETTER_DOT or unicodedata.name(character, "").startswith(_HANJA)
    return category in _SIGNS
