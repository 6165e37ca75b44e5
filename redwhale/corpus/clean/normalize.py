"""Unicode normalisation that loses no Hangul: NFC, one newline, one middle dot, nothing invisible."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

# NEL, vertical tab, form feed and the two Unicode separators are line ends as well.
_NEWLINE = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_INVISIBLE_CLASS = (
    "\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
)
_INVISIBLE = re.compile(f"[{_INVISIBLE_CLASS}]")
# Joiners shape emoji and Indic and Arabic letters; everywhere else they are invisible noise.
_JOINED = "[\u0600-\u0dff\u203c-\u3299\ufe0f\U0001f000-\U0001faff]"
_JOINER = re.compile(f"(?<!{_JOINED})[\u200c\u200d]|[\u200c\u200d](?!{_JOINED})")
_SPACE_CLASS = "\xa0\u1680\u2000-\u200a\u202f\u205f\u3000\u3164\uffa0"
_SPACE = re.compile(f"[{_SPACE_CLASS}]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_HALF_WIDTH = re.compile("[\uff61-\uff9f\uffa1-\uffdc]")
# Most texts hold none of these: one search spares them five passes.
_RARE = re.compile(f"[{_INVISIBLE_CLASS}{_SPACE_CLASS}\u200c\u200d\ud800-\udfff\uff61-\uff9f\uffa1-\uffdc]")
_MODERN = "\uac00-\ud7a3"
_JAMO = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\ud7b0-\ud7fb"
_DOTS = "\u318d\u2027\u30fb"
_DOT_BESIDE_HANGUL = re.compile(f"(?<=[{_MODERN}])[\u318d\u2027\u30fb]|[\u318d\u2027\u30fb](?=[{_MODERN}])")
# U+318D is a jamo only among jamo; between digits, brackets and letters it is the keyboard's middle dot.
_DOT_APART_FROM_JAMO = re.compile(f"(?<![{_JAMO}])\u318d+(?![{_JAMO}])")
_BLANK_LINES = re.compile("\n{4,}")


def normalize(text: str) -> str:
    """Return ``text`` in NFC with unified newlines, spaces and middle dots and without invisible characters.

    Idempotent. Compatibility characters such as ``①``, ``㎡`` and ``㈜`` stay; only half-width jamo and
    kana are widened. Runs of three or more blank lines become two. Lone surrogates become U+FFFD.
    """
    text = unify_newlines(text)
    if _RARE.search(text):
        text = _INVISIBLE.sub("", _SURROGATE.sub("\ufffd", text))
        text = _SPACE.sub(" ", _JOINER.sub("", text))
        text = _HALF_WIDTH.sub(_widen, text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
        if any(dot in text for dot in _DOTS):
            text = _DOT_BESIDE_HANGUL.sub("·", text)
            text = _DOT_APART_FROM_JAMO.sub(lambda found: "·" * len(found[0]), text)
    text = "\n".join(line.rstrip(" \t") for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n\n", text).strip("\n")


def unify_newlines(text: str) -> str:
    """Return ``text`` with every kind of line end as ``\\n``."""
    return _NEWLINE.sub("\n", text)


def _widen(found: re.Match[str]) -> str:
    return _wide(found[0])


@cache
def _wide(character: str) -> str:
    """Undo exactly one ``<narrow>`` step: NFKC would turn half-width jamo into conjoining ones."""
    decomposition = unicodedata.decomposition(character)
    if not decomposition.startswith("<narrow> "):
        return character
    return chr(int(decomposition.removeprefix("<narrow> "), 16))
