"""Quality filters: each returns why a document goes, or nothing; the order is fixed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from redwhale.core.recipe.filters import Filters
from redwhale.corpus.clean.markup import segments

MIN_UNITS = 5
_UNIT_END = re.compile(r"\n|(?<=[.!?]) ")
_NGRAM_WORDS = 3
_LETTER, _DIGIT, _SPACE, _HANGUL = 1, 2, 4, 8
_NOT_PROSE = re.compile(r"``?[^`\n]{1,400}``?|\]\([^()\s]{0,1000}\)|https?://[^\s<>()\"'가-힣]{1,2000}")
# UTF-8 read as Latin-1 or Windows-1252: a lead byte, then continuation bytes or what 1252 makes of them.
_CONTINUATION = "\x80-\xbf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122\ufffd"
_LATIN = re.compile(f"(?:[\xc2-\xf4][{_CONTINUATION}]{{1,3}})+")
# CP949 read as Latin-1: long runs of the upper half with signs among the letters.
_LATIN_RUN = re.compile("[\xa1-\xfe]{4,}")
_LATIN_SIGN = re.compile("[\xa1-\xbf\xd7\xf7]")
_FOREIGN_RUN = re.compile("[^\x00-\x7f]{3,40}")
_HAN = re.compile("[\u4e00-\u9fff\uf900-\ufaff]")
_SAMPLED_RUNS = 200

Verdict = tuple[str, str] | None


class Classes(NamedTuple):
    """Numbers of characters: letters, digits, Hangul letters, and all that are not white space."""

    letters: int
    digits: int
    hangul: int
    visible: int


@dataclass(frozen=True)
class Features:
    """What the filters look at: text as it will stand in the corpus, and what cleaning found on the way.

    ``prose`` is the text outside code and ``counted`` its characters; ``mojibake`` and ``raw_visible`` count
    characters of the raw text, ``boilerplate`` those of removed lines.
    """

    text: str
    language: str
    prose: str
    counted: Classes
    mojibake: int = 0
    raw_visible: int = 0
    boilerplate: int = 0


def features(text: str, *, language: str, mojibake: int = 0, raw_visible: int = 0, boilerplate: int = 0) -> Features:
    """Count what the filters need."""
    prose = _prose(text)
    return Features(text, language, prose, count_classes(prose), mojibake, raw_visible, boilerplate)


def judge(found: Features, limits: Filters) -> Verdict:
    """Return (name of the first filter that rejects, detail with value and limit), or nothing."""
    for check in _CHECKS:
        if verdict := check(found, limits):
            return verdict
    return None


def count_classes(text: str) -> Classes:
    """Count the characters of ``text`` by class."""
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32)
    classes = _classes()
    kinds = classes[np.minimum(codes, len(classes) - 1)]
    letters, hangul = np.count_nonzero(kinds & _LETTER), np.count_nonzero(kinds & _HANGUL)
    digits, spaces = np.count_nonzero(kinds & _DIGIT), np.count_nonzero(kinds & _SPACE)
    return Classes(int(letters), int(digits), int(hangul), len(codes) - int(spaces))


@cache
def _classes() -> np.ndarray:
    """Return the class of each code point below U+32400 (uint8); above that nothing is a letter."""
    import unicodedata

    table = np.zeros(0x32401, dtype=np.uint8)
    for code in range(len(table) - 1):
        if 0x3400 <= code <= 0x9FFF or code >= 0x20000:
            table[code] = _LETTER
        elif 0xAC00 <= code <= 0xD7A3:
            table[code] = _LETTER | _HANGUL
        else:
            character = chr(code)
            kind = unicodedata.category(character)[0]
            table[code] = {"L": _LETTER, "M": _LETTER, "N": _DIGIT, "Z": _SPACE}.get(kind, 0)
            if character.isspace():
                table[code] = _SPACE
    for first, last in ((0x1100, 0x11FF), (0x3131, 0x318E), (0xA960, 0xA97C), (0xD7B0, 0xD7FB)):
        table[first : last + 1] = _LETTER | _HANGUL
    return table


def _prose(text: str) -> str:
    """Return the text outside fenced and inline code, without addresses of links."""
    outside = "".join(part for is_code, part in segments(text) if not is_code)
    return _NOT_PROSE.sub(" ", outside) if "`" in outside or "](" in outside or "://" in outside else outside


def count_mojibake(text: str) -> int:
    """Count U+FFFD and the characters of Korean text that was decoded with the wrong encoding."""
    if text.isascii():
        return 0
    count = text.count("\ufffd")
    latin = 0
    for run in _LATIN.finditer(text):
        latin += len(run[0]) - run[0].count("\ufffd")
    signs = 0
    for run in _LATIN_RUN.finditer(text):
        signs += len(run[0]) if _LATIN_SIGN.search(run[0]) else 0
    return count + max(latin, signs) + _read_as_cp949(text)


def _read_as_cp949(text: str) -> int:
    """Count characters in runs that are UTF-8 read as CP949: their CP949 bytes are Hangul in UTF-8."""
    if not _HAN.search(text):  # Hangul's UTF-8 bytes give Chinese characters in CP949
        return 0
    count = 0
    for index, run in enumerate(_FOREIGN_RUN.finditer(text)):
        if index >= _SAMPLED_RUNS:
            break
        try:
            meant = run[0].encode("cp949").decode("utf-8")
        except UnicodeError:
            continue
        if any("가" <= character <= "힣" for character in meant):
            count += len(run[0])
    return count


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _above(name: str, value: float, limit: float | None) -> Verdict:
    return (name, f"{value:.3f}, highest {limit:g}") if limit is not None and value > limit else None


def _boilerplate(found: Features, limits: Filters) -> Verdict:
    share = _share(found.boilerplate, found.boilerplate + len(found.text))
    return _above("max_boilerplate", share, limits.max_boilerplate)


def _min_chars(found: Features, limits: Filters) -> Verdict:
    count = len(found.text)
    return ("min_chars", f"{count}, fewest {limits.min_chars}") if count < (limits.min_chars or 1) else None


def _max_chars(found: Features, limits: Filters) -> Verdict:
    count = len(found.text)
    most = limits.max_chars
    return ("max_chars", f"{count}, most {most}") if most is not None and count > most else None


def _replacement(found: Features, limits: Filters) -> Verdict:
    return _above("max_replacement", _share(found.mojibake, found.raw_visible), limits.max_replacement)


def _min_hangul(found: Features, limits: Filters) -> Verdict:
    least = limits.min_hangul or 0.0 if found.language == "ko" else 0.0
    share = _best_share(found, least, lambda counted: _share(counted.hangul, counted.letters))
    return ("min_hangul", f"{share:.3f}, lowest {least:g}") if share < least else None


def _min_letters(found: Features, limits: Filters) -> Verdict:
    least = limits.min_letters or 0.0
    share = _best_share(found, least, lambda counted: _share(counted.letters + counted.digits, counted.visible))
    return ("min_letters", f"{share:.3f}, lowest {least:g}") if share < least else None


def _best_share(found: Features, least: float, share: Callable[[Classes], float]) -> float:
    """Return the share in the prose, or in the whole text where that is higher and the prose has too little."""
    value = share(found.counted)
    if value >= least or found.prose == found.text:
        return value
    return max(value, share(count_classes(found.text)))


def _duplicate_lines(found: Features, limits: Filters) -> Verdict:
    """Share of characters in lines and sentences that occur more than once, every occurrence counted."""
    units = [unit for unit in map(str.strip, _UNIT_END.split(found.prose)) if unit]
    if len(units) < MIN_UNITS:
        return None
    counts = Counter(units)
    total = sum(map(len, units))
    repeated = sum(len(unit) * count for unit, count in counts.items() if count > 1)
    return _above("max_duplicate_lines", _share(repeated, total), limits.max_duplicate_lines)


def _repeated_ngrams(found: Features, limits: Filters) -> Verdict:
    words = found.prose.split()
    share = repeated_ngram_share(words, limits.max_repeated_ngrams or 0.0)
    return _above("max_repeated_ngrams", share, limits.max_repeated_ngrams)


def repeated_ngram_share(words: list[str], limit: float = 0.0) -> float:
    """Return the share of characters covered by the most frequent 3-gram that occurs three times or more.

    Returns 0 without counting n-grams where the share cannot be above ``limit``: a 3-gram covers at most
    what its three words cover.
    """
    if len(words) < 3 * _NGRAM_WORDS - 4:
        return 0.0
    total = sum(map(len, words))
    single = sorted((len(word) * count for word, count in Counter(words).items()), reverse=True)
    if sum(single[:_NGRAM_WORDS]) <= limit * total:
        return 0.0
    counts = Counter(zip(words, words[1:], words[2:], strict=False))
    best, occurrences = max(counts.items(), key=lambda item: (item[1], sum(map(len, item[0])), item[0]))
    if occurrences < 3:
        return 0.0
    covered, end = 0, 0
    for start in range(len(words) - _NGRAM_WORDS + 1):
        if words[start] == best[0] and words[start + 1] == best[1] and words[start + 2] == best[2]:
            covered += sum(map(len, words[max(start, end) : start + _NGRAM_WORDS]))
            end = start + _NGRAM_WORDS
    return covered / total


_CHECKS: tuple[Callable[[Features, Filters], Verdict], ...] = (
    _replacement,
    _boilerplate,
    _min_chars,
    _max_chars,
    _min_hangul,
    _min_letters,
    _duplicate_lines,
    _repeated_ngrams,
)
