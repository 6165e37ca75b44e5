"""Judge measured texts: the rules in the order in which they are asked, each with its value and limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from redwhale.core.recipe.filters import Filters
from redwhale.corpus.filters import lines as of_lines
from redwhale.corpus.filters import words as of_words
from redwhale.corpus.filters.characters import (
    ADDRESS,
    CYRILLIC,
    DIGIT,
    HAN,
    JAMO,
    KANA,
    LATIN,
    MARK,
    OTHER_LETTER,
    PROSE,
    SPACE,
    SYLLABLE,
    TARGET,
)
from redwhale.corpus.filters.language import SCRIPTS, UNSPACED_LANGUAGES
from redwhale.corpus.filters.measure import Measures
from redwhale.corpus.filters.repetition import LARGEST_N

LEAST_SENTENCES = 5
LEAST_KOREAN_WORDS = 20
LEAST_WORDS = 30
_LETTERS = (SYLLABLE, JAMO, LATIN, HAN, KANA, CYRILLIC, OTHER_LETTER, MARK)
_SHORT_DOCUMENTS = ("min_line_punct", "max_short_lines", "max_char_dup", "max_new_lines", "min_terminal_lines")
_NAMES = {"min_script": "language", "min_language": "language_model"}

Value = Callable[[Measures, str], np.ndarray]


@dataclass(frozen=True)
class Verdicts:
    """What became of n texts.

    ``reason``: (n,) int16, place in ``RULES``, -1 where the text is kept; ``value``, ``threshold``: (n,) float64, NaN
    where it is kept.
    """

    reason: np.ndarray
    value: np.ndarray
    threshold: np.ndarray


@dataclass(frozen=True)
class Finding:
    """One rule's opinion of one text; ``value`` is NaN where the rule does not apply, ``threshold`` where it is off."""

    rule: str
    value: float
    threshold: float
    verdict: Literal["kept", "rejected", "off", "does not apply"]


def judge(measures: Measures, limits: Filters, language: str) -> Verdicts:
    """Return for each text the first rule that it breaks."""
    n = len(measures)
    reason = np.full(n, -1, dtype=np.int16)
    found, threshold = np.full(n, np.nan), np.full(n, np.nan)
    for place, field in enumerate(_VALUES):
        limit = getattr(limits, field)
        if limit is None:
            continue
        value = _value(field, measures, limits, language)
        broken = (reason < 0) & (value < limit if field.startswith("min_") else value > limit)
        reason[broken], found[broken], threshold[broken] = place, value[broken], limit
    return Verdicts(reason, found, threshold)


def explain(measures: Measures, limits: Filters, language: str, index: int) -> list[Finding]:
    """Return what every rule says of the text at ``index``, in order."""
    findings = []
    for name, field in zip(RULES, _VALUES, strict=True):
        limit = getattr(limits, field)
        value = float(_value(field, measures, limits, language)[index])
        verdict: Literal["kept", "rejected", "off", "does not apply"] = "kept"
        if limit is None:
            verdict = "off"
        elif np.isnan(value):
            verdict = "does not apply"
        elif value < limit if field.startswith("min_") else value > limit:
            verdict = "rejected"
        findings.append(Finding(name, value, np.nan if limit is None else float(limit), verdict))
    return findings


def _value(field: str, measures: Measures, limits: Filters, language: str) -> np.ndarray:
    """Return a rule's value of each text, NaN where it does not apply."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = _VALUES[field](measures, language)
    if field in _SHORT_DOCUMENTS:
        value = np.where(measures.lines[:, of_lines.LINES] < limits.min_lines, np.nan, value)
    return value


def _visible(counts: np.ndarray) -> np.ndarray:
    return counts.sum(1) - counts[:, SPACE]


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, 0 where there is nothing."""
    return np.where(whole > 0, part / whole, 0.0)


def _best_share(measures: Measures, kinds: tuple[int, ...], among: tuple[int, ...] | None) -> np.ndarray:
    """Return the share of ``kinds`` in the prose or in all, where that is higher; ``among`` None is all visible."""
    shares = []
    for counts in (measures.kinds[:, PROSE], measures.all_kinds):
        whole = counts[:, among].sum(1) if among else _visible(counts)
        shares.append(_share(counts[:, kinds].sum(1), whole))
    return np.maximum(*shares)


def _script(measures: Measures, language: str) -> np.ndarray:
    """Share of the language's own letters among letters, without Latin ones where the language has others."""
    own = SCRIPTS.get(language)
    if own is None:
        return np.full(len(measures), np.nan)
    among = tuple(kind for kind in _LETTERS if kind != MARK and (kind != LATIN or LATIN in own))
    return _best_share(measures, own, among)


def _hangul(measures: Measures, language: str) -> np.ndarray:
    if language != "ko":
        return np.full(len(measures), np.nan)
    return _best_share(measures, (SYLLABLE, JAMO), _LETTERS)


def _particles(measures: Measures, language: str) -> np.ndarray:
    korean = measures.words[:, of_words.KOREAN_WORDS]
    applies = (korean >= LEAST_KOREAN_WORDS) & (language == "ko")
    return np.where(applies, measures.words[:, of_words.ENDED_WORDS] / korean, np.nan)


def _longest_mean_word(measures: Measures, language: str) -> np.ndarray:
    mean = _words(of_words.CONTENT_CHARS, of_words.CONTENT_WORDS)(measures, language)
    return np.full(len(measures), np.nan) if language in UNSPACED_LANGUAGES else mean


def _torn(measures: Measures, _: str) -> np.ndarray:
    words = measures.words[:, of_words.WORDS]
    return np.where(words >= LEAST_WORDS, measures.words[:, of_words.TORN_WORDS] / words, np.nan)


def _duplicate_lines(measures: Measures, _: str) -> np.ndarray:
    lines = measures.lines
    share = _share(measures.repeats[:, 4], lines[:, of_lines.SENTENCE_CHARS])
    return np.where(lines[:, of_lines.SENTENCES] < LEAST_SENTENCES, np.nan, share)


def _ngram(n: int) -> Value:
    return lambda measures, _: _share(measures.ngrams[:, n - 2], measures.prose_chars)


def _repeat(column: int, whole: Callable[[Measures], np.ndarray]) -> Value:
    return lambda measures, _: _share(measures.repeats[:, column], whole(measures))


def _lines(column: int, whole: int = of_lines.LINES) -> Value:
    """Return a column of the line counts as a share of lines."""
    return lambda measures, _: measures.lines[:, column] / measures.lines[:, whole]


def _words(column: int, whole: int = of_words.WORDS) -> Value:
    return lambda measures, _: measures.words[:, column] / measures.words[:, whole]


def _marks(column: int) -> Value:
    return lambda measures, _: measures.marks[:, column] / measures.words[:, of_words.WORDS]


def _count(name: str, column: int) -> Value:
    return lambda measures, _: getattr(measures, name)[:, column].astype(np.float64)


def _length(measures: Measures) -> np.ndarray:
    """Characters of the text without newlines."""
    return measures.lines[:, of_lines.LINE_CHARS]


_VALUES: dict[str, Value] = {
    "max_replacement": lambda m, _: _share(m.extra.mojibake, m.extra.raw_visible),
    "max_boilerplate": lambda m, _: _share(m.extra.boilerplate, m.extra.boilerplate + m.chars),
    "min_chars": lambda m, _: m.chars.astype(np.float64),
    "max_chars": lambda m, _: m.chars.astype(np.float64),
    "min_script": _script,
    "min_hangul": _hangul,
    "min_language": lambda m, _: m.languages,
    "min_letters": lambda m, _: _best_share(m, (*_LETTERS, DIGIT), None),
    "max_digits": lambda m, _: _share(m.kinds[:, PROSE, DIGIT], _visible(m.kinds[:, PROSE])),
    "max_urls": lambda m, _: _share(m.kinds[:, ADDRESS : TARGET + 1].sum((1, 2)), _visible(m.all_kinds)),
    "max_jamo_words": _words(of_words.JAMO_WORDS),
    "max_duplicate_lines": _duplicate_lines,
    "max_dup_para_frac": _repeat(2, lambda m: m.lines[:, of_lines.PARAGRAPHS]),
    "max_dup_para_char_frac": _repeat(3, lambda m: m.prose_chars),
    "max_dup_line_frac": _repeat(0, lambda m: m.lines[:, of_lines.LINES]),
    "max_dup_line_char_frac": _repeat(1, lambda m: m.prose_chars),
    **{f"max_top_{n}_gram": _ngram(n) for n in range(2, 5)},
    **{f"max_dup_{n}_gram": _ngram(n) for n in range(5, LARGEST_N + 1)},
    "min_line_punct": _lines(of_lines.TERMINAL_LINES),
    "max_short_lines": _lines(of_lines.SHORT),
    "max_char_dup": _repeat(1, _length),
    "max_new_lines": lambda m, _: m.lines[:, of_lines.NEWLINES] / m.words[:, of_words.WORDS],
    "min_terminal_lines": _lines(of_lines.QUOTED_LINES),
    "min_words": _count("words", of_words.CONTENT_WORDS),
    "max_words": _count("words", of_words.CONTENT_WORDS),
    "min_mean_word": _words(of_words.CONTENT_CHARS, of_words.CONTENT_WORDS),
    "max_mean_word": _longest_mean_word,
    "max_hashes": _marks(of_lines.HASHES),
    "max_ellipses": _marks(of_lines.ELLIPSES),
    "max_bullet_lines": _lines(of_lines.BULLETS, of_lines.ALL_LINES),
    "max_ellipsis_lines": _lines(of_lines.ELLIPSIS_ENDS, of_lines.ALL_LINES),
    "min_alpha_words": _words(of_words.ALPHA_WORDS),
    "min_stop_words": _count("words", of_words.STOP_WORDS),
    "min_particles": _particles,
    "max_curly_braces": _count("marks", of_lines.BRACES),
    "max_lorem_ipsum": _count("marks", of_lines.LOREM_IPSUM),
    "max_javascript_lines": _lines(of_lines.JAVASCRIPT),
    "min_sentences": _count("lines", of_lines.SENTENCES),
    "max_unspaced": lambda m, _: _share(m.unspaced, m.kinds[:, PROSE, SYLLABLE]),
    "max_split_words": _torn,
    "max_adult": lambda m, _: m.offers[:, 0],
    "max_gambling": lambda m, _: m.offers[:, 1],
    "max_adverts": lambda m, _: m.offers[:, 2],
}
RULES = tuple(_NAMES.get(field, field) for field in _VALUES)
