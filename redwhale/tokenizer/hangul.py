"""What a new piece may be: Hangul and nothing else, after at most one space.

A text without Hangul can then never form a new piece, so it keeps its old tokens by construction.
Hangul here means syllables and jamo. U+318D (the middle dot of Korean print) lies in the jamo block
but is punctuation, so it is not Hangul.
"""

from __future__ import annotations

import codecs
import re

SPACE = "▁"
"""How SentencePiece writes a space."""
HANGUL = "\u1100-\u11ff\u3131-\u318c\u318e\uac00-\ud7a3"
"""Hangul as the inside of a character class: conjoining jamo, compatibility jamo, syllables."""

_HANGUL = re.compile(f"[{HANGUL}]")
_PIECE = re.compile(f"{SPACE}?[{HANGUL}]+")
_CONTINUATION = range(0x80, 0xC0)


def _hangul_beginnings() -> frozenset[bytes]:
    """Return every incomplete UTF-8 character whose completions are all Hangul.

    EA also begins Yi and Vai, ED 9E also unassigned characters, E3 84 and E3 86 also Bopomofo.
    """
    pairs = {0xEA: range(0xB0, 0xC0), 0xEB: _CONTINUATION, 0xEC: _CONTINUATION, 0xED: range(0x80, 0x9E), 0xE3: (0x85,)}
    beginnings = {bytes((lead, second)) for lead, seconds in pairs.items() for second in seconds}
    return frozenset(beginnings | {b"\xeb", b"\xec"})


HANGUL_BEGINNINGS = _hangul_beginnings()


def has_hangul(text: str) -> bool:
    """Tell whether the text holds a Hangul syllable or jamo."""
    return _HANGUL.search(text) is not None


def text_piece_length(piece: str) -> int:
    """Return the characters of a SentencePiece piece that may be added, its space not counted; 0: it may not."""
    return len(piece.removeprefix(SPACE)) if _PIECE.fullmatch(piece) else 0


def byte_piece_length(piece: bytes) -> int:
    """Return the characters of a byte-level piece that may be added, its space not counted; 0: it may not.

    Allowed are whole Hangul characters and, at the end, an incomplete one whose completions are all Hangul.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(piece.removeprefix(b" "))
    except UnicodeDecodeError:
        return 0
    beginning = decoder.getstate()[0]
    if not all(map(_HANGUL.match, text)) or (beginning and beginning not in HANGUL_BEGINNINGS):
        return 0
    return len(text) + bool(beginning)
