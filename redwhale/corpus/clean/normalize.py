"""Unicode normalisation that loses no Hangul: NFC, one newline, one middle dot, nothing invisible."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

import numpy as np

from redwhale.corpus.clean.characters import CARE, character_classes, newline_classes, rewrite
from redwhale.corpus.clean.jamo import compose_jamo, compose_spelt
from redwhale.corpus.clean.needs import (
    COMPOSE,
    FILLED,
    REWRITE,
    UNTIDY,
    flags_of,
    have_other_newlines,
    lines_to_compose,
)
from redwhale.corpus.clean.splice import splice
from redwhale.corpus.clean.tidy import tidy
from redwhale.corpus.texts import Texts

_JOINED = "[\u0600-\u0dff\u203c\u2049\u20e3\u2139\u2190-\u2bff\u3030\u303d\u3297-\u3299\ufe0f\U0001f000-\U0001faff]"
_JOINER = re.compile(f"(?<!{_JOINED})[\u200c\u200d]|[\u200c\u200d](?!{_JOINED})")
_FEWEST_MARKS = 32
_HALF_WIDTH = re.compile("[\uff61-\uff9f\uffa1-\uffdc]")


def normalize_texts(texts: Texts) -> Texts:
    """Return texts in NFC with unified newlines, spaces and middle dots and without invisible characters.

    Idempotent. Compatibility characters such as ``①``, ``㎡`` and ``㈜`` stay; only half-width jamo and
    kana are widened, and jamo composed that are syllables in pieces. Runs of three or more blank lines
    become two.
    """
    flags = flags_of(texts)
    spelt = np.flatnonzero(flags & FILLED).tolist()
    texts = texts.replaced({text: compose_spelt(texts.string(text)).encode() for text in spelt})
    rare = flags & REWRITE != 0
    if rare.any():
        texts = rewrite(texts, rare, character_classes())
        flags[rare] = flags_of(texts, of=rare)[rare]
    lines = lines_to_compose(texts, flags & COMPOSE != 0)
    composed = [_compose(texts.data[start:stop].tobytes().decode()).encode() for start, stop in lines]
    texts = splice(texts, lines, composed)
    return tidy(texts, flags & (UNTIDY | COMPOSE) != 0)


def unify_newlines_in(texts: Texts) -> Texts:
    """Return texts with every kind of line end as ``\\n``."""
    return rewrite(texts, have_other_newlines(texts), newline_classes())


def normalize(text: str) -> str:
    """Return one text normalised as ``normalize_texts`` does it; lone surrogates become U+FFFD."""
    return normalize_texts(Texts.of([text])).string(0)


def _compose(text: str) -> str:
    """Widen, compose and take out joiners that join nothing; none of it crosses a line end."""
    text = _nfc(_HALF_WIDTH.sub(_widen, text))
    text, joiners = _JOINER.subn("", text)
    return compose_jamo(_nfc(text) if joiners else text)


def _nfc(text: str) -> str:
    """Return the composed form in linear time: ``unicodedata`` sorts combining marks by insertion."""
    return unicodedata.normalize("NFC", _many_marks().sub(_in_order, text))


def _in_order(marks: re.Match[str]) -> str:
    parts = (part for mark in marks[0] for part in unicodedata.normalize("NFD", mark))
    return "".join(sorted(parts, key=unicodedata.combining))


@cache
def _many_marks() -> re.Pattern[str]:
    """Return a pattern of combining marks in a run so long that their order takes time."""
    codes = np.flatnonzero(character_classes() & CARE).tolist()
    marks = "".join(re.escape(chr(code)) for code in codes if unicodedata.combining(chr(code)))
    return re.compile(f"[{marks}]{{{_FEWEST_MARKS},}}")


def _widen(found: re.Match[str]) -> str:
    return _wide(found[0])


@cache
def _wide(character: str) -> str:
    """Undo exactly one ``<narrow>`` step: NFKC would turn half-width jamo into conjoining ones."""
    decomposition = unicodedata.decomposition(character)
    if not decomposition.startswith("<narrow> "):
        return character
    return chr(int(decomposition.removeprefix("<narrow> "), 16))
