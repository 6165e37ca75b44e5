"""Measure texts for the quality filters: one pass of compiled kernels over the buffer of a chunk."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

from redwhale.core.recipe.filters import Filters
from redwhale.corpus.clean.code import code_mask
from redwhale.corpus.filters.characters import (
    KINDS,
    PROSE,
    REGIONS,
    SYMBOL,
    count_kinds,
    decode,
    kind_table,
    mark_addresses,
)
from redwhale.corpus.filters.language import language_scores
from redwhale.corpus.filters.lines import (
    LINE_COUNTS,
    MARK_COUNTS,
    PARAGRAPHS,
    SENTENCE_CHARS,
    SENTENCES,
    count_marks,
    split_lines,
)
from redwhale.corpus.filters.morphemes import find_morphemes, stop_word_hashes
from redwhale.corpus.filters.offers import find_terms, score_terms
from redwhale.corpus.filters.repetition import count_ngrams, count_repeats
from redwhale.corpus.filters.vocabulary import CATEGORIES, vocabulary
from redwhale.corpus.filters.words import (
    WORD_COUNTS,
    count_unspaced,
    count_words,
    ending_table,
    keep_content,
    mark_torn,
    read_words,
    torn_table,
)
from redwhale.corpus.texts import Texts

NGRAM_COUNTS = 9
REPEAT_COUNTS = 5
_LEAST_OCCURRENCES = {"eojeol": 3, "kiwi": 1}
_LONGEST_CHARACTER = 4  # bytes
_NO_WORDS = np.zeros((0, 2), dtype=np.int64)


@dataclass(frozen=True)
class Extra:
    """What cleaning found on the way, (n,) int64 each: mojibake and visible characters of the raw text, characters
    of the menu, byline and copyright lines that it removed."""

    mojibake: np.ndarray
    raw_visible: np.ndarray
    boilerplate: np.ndarray


@dataclass(frozen=True)
class Measures:
    """Counts of n texts, (n, …) int64 but for ``offers``; ``verdict.py`` makes the values of the filters from them.

    ``kinds``: (n, regions, kinds) characters; ``words``: (n, 8) as ``count_words`` adds them, and different stop words;
    ``lines``, ``marks``: columns as named in ``lines.py``; ``repeats``: (n, 5) repeated lines and their characters, the
    same of paragraphs, and characters of sentences that have a twin; ``ngrams``: (n, 9) from 2 to 10 words;
    ``unspaced``: (n,) syllables; ``offers``: (n, 3) float64; ``languages``: (n,) float64, NaN without a model.
    """

    kinds: np.ndarray
    words: np.ndarray
    lines: np.ndarray
    marks: np.ndarray
    repeats: np.ndarray
    ngrams: np.ndarray
    unspaced: np.ndarray
    offers: np.ndarray
    languages: np.ndarray
    extra: Extra

    def __len__(self) -> int:
        return len(self.kinds)

    @cached_property
    def all_kinds(self) -> np.ndarray:
        """Return characters of each kind in the whole text: (n, kinds) int64."""
        return self.kinds.sum(1)

    @cached_property
    def chars(self) -> np.ndarray:
        """Return the characters of each text: (n,) int64."""
        return self.all_kinds.sum(1)

    @cached_property
    def prose_chars(self) -> np.ndarray:
        """Return the characters outside code and addresses: (n,) int64."""
        return self.kinds[:, PROSE].sum(1)


def measure(
    texts: Texts,
    *,
    extra: Extra,
    limits: Filters,
    language: str,
    morphemes: Sequence[np.ndarray] | None = None,
) -> Measures:
    """Count what the filters of ``limits`` look at; nothing, zeros, where all are off.

    Of texts that must be longer than ``max_chars`` only the characters are counted, so that memory stays bounded.
    ``morphemes``: for `words: kiwi`, start and stop of the words of each text in characters, (m, 2) int64, in place of
    those that Kiwi finds here. Raises ``RedwhaleError`` where the language model cannot be read.
    """
    n = len(texts)
    counts = (
        np.zeros((n, REGIONS, KINDS), dtype=np.int64),
        np.zeros((n, WORD_COUNTS), dtype=np.int64),
        np.zeros((n, LINE_COUNTS), dtype=np.int64),
        np.zeros((n, MARK_COUNTS), dtype=np.int64),
        np.zeros((n, REPEAT_COUNTS), dtype=np.int64),
        np.zeros((n, NGRAM_COUNTS), dtype=np.int64),
        np.zeros(n, dtype=np.int64),
        np.zeros((n, len(CATEGORIES)), dtype=np.float64),
    )
    languages = np.full(n, np.nan)
    if not limits.is_off:
        _count(texts, limits, morphemes, counts)
    if limits.language_model is not None:
        languages = language_scores(limits.language_model, texts, language)
    return Measures(*counts, languages=languages, extra=extra)


def _count(
    texts: Texts, limits: Filters, morphemes: Sequence[np.ndarray] | None, counts: tuple[np.ndarray, ...]
) -> None:
    kiwi = limits.words == "kiwi"
    most_bytes = sys.maxsize if limits.max_chars is None else _LONGEST_CHARACTER * limits.max_chars
    tables = (kind_table(), ending_table(), torn_table(), stop_word_hashes()[: None if kiwi else 0], vocabulary())
    if kiwi and morphemes is None:
        short = texts.sizes <= most_bytes
        morphemes = [find_morphemes(texts.string(index)) if short[index] else _NO_WORDS for index in range(len(texts))]
    spans = _joined(morphemes or []) if kiwi else (_NO_WORDS, np.zeros(0, dtype=np.int64))
    code = np.zeros(len(texts.data), dtype=np.uint8) if kiwi else code_mask(texts)
    bounds = (_LEAST_OCCURRENCES[limits.words], most_bytes)
    _measure(texts.data, texts.offsets, code, spans, bounds, tables, counts)


def _joined(morphemes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.zeros(len(morphemes) + 1, dtype=np.int64)
    np.cumsum([len(spans) for spans in morphemes], out=offsets[1:])
    return np.concatenate([_NO_WORDS, *morphemes]), offsets


@njit(cache=True, nogil=True)
def _measure(
    data: np.ndarray,
    offsets: np.ndarray,
    code: np.ndarray,
    morphemes: tuple,
    bounds_of: tuple[int, int],
    tables: tuple,
    counts: tuple,
) -> None:
    kind_of, endings, torn, stop_words, terms = tables
    kind_counts, word_counts, line_counts, mark_counts, repeats, ngrams, unspaced, offers = counts
    spans, span_offsets = morphemes
    least, most_bytes = bounds_of
    by_eojeol = len(span_offsets) == 0
    text_memory, piece_memory, gram_memory, bounds_memory, hits = _memory(offsets, span_offsets, most_bytes)
    points_memory, kinds_memory, regions_memory = text_memory
    word_memory = (piece_memory[0][0], piece_memory[0][1], piece_memory[3])
    for text in range(len(offsets) - 1):
        start, stop = offsets[text], offsets[text + 1]
        if stop - start > most_bytes:
            for i in range(start, stop):
                kind_counts[text, PROSE, SYMBOL] += data[i] & 0xC0 != 0x80
            continue
        n = decode(data[start:stop], code[start:stop], kind_of, text_memory)
        characters = (points_memory[:n], kinds_memory[:n], regions_memory[:n])
        points, kinds, regions = characters
        if by_eojeol:
            mark_addresses(points, kinds, regions)
        count_kinds(kinds, regions, kind_counts[text])
        count_marks(characters, mark_counts[text], line_counts[text])
        _measure_lines(characters, piece_memory, gram_memory[4], line_counts[text], repeats[text])
        bounds, known = bounds_memory, -1
        if not by_eojeol:
            bounds = spans[span_offsets[text] : span_offsets[text + 1]]
            known = len(bounds)
        bounds = bounds[: read_words(characters, endings, bounds, word_memory, known)]
        words = (word_memory[0][: len(bounds)], word_memory[1][: len(bounds)], word_memory[2][: len(bounds)])
        mark_torn(bounds, characters, words, (endings, torn))
        count_words(words, stop_words, word_counts[text])
        unspaced[text] = count_unspaced(bounds, kinds, words)
        found = hits[: find_terms(bounds, characters, terms, hits)]
        for category in range(offers.shape[1]):
            offers[text, category] = score_terms(found, terms[1], category, len(bounds))
        if by_eojeol:
            words = keep_content(words)
        count_ngrams(words, least, gram_memory, ngrams[text])


@njit(cache=True, nogil=True)
def _memory(offsets: np.ndarray, span_offsets: np.ndarray, most_bytes: int) -> tuple:
    """Return scratch arrays for the longest text that is measured; pages are touched only as far as they are used."""
    longest = 0
    for text in range(len(offsets) - 1):
        size = offsets[text + 1] - offsets[text]
        if size <= most_bytes:
            longest = max(longest, size)
    most = longest + 1
    for text in range(len(span_offsets) - 1):
        most = max(most, span_offsets[text + 1] - span_offsets[text] + 1)
    slots = 16
    while slots < 2 * most:
        slots *= 2
    characters = (np.empty(most, np.int32), np.empty(most, np.uint8), np.empty(most, np.uint8))
    pieces = (
        (np.empty(most, np.uint64), np.empty(most, np.int32)),
        (np.empty(most, np.uint64), np.empty(most, np.int32)),
        (np.empty(most, np.uint64), np.empty(most, np.int32)),
        np.empty(most, np.uint8),
    )
    table = (np.empty(slots, np.uint64), np.empty(slots, np.int32), np.empty(slots, np.uint8))
    places = (np.empty(most, np.int32), np.empty(most, np.int32))
    grams = (np.empty(most, np.uint64), places[0], places[1], np.empty(most, np.int64), table)
    return characters, pieces, grams, np.empty((most, 2), np.int64), np.empty((most, 2), np.int32)


@njit(cache=True, nogil=True)
def _measure_lines(
    characters: tuple,
    memory: tuple,
    table: tuple,
    line_counts: np.ndarray,
    repeats: np.ndarray,
) -> None:
    lines, blocks, units, _ = memory
    line_count, block_count, unit_count = split_lines(characters, (lines, blocks, units), line_counts)
    repeats[0], repeats[1], _ = count_repeats(lines[0][:line_count], lines[1][:line_count], table)
    repeats[2], repeats[3], _ = count_repeats(blocks[0][:block_count], blocks[1][:block_count], table)
    _, _, repeats[4] = count_repeats(units[0][:unit_count], units[1][:unit_count], table)
    line_counts[PARAGRAPHS], line_counts[SENTENCES] = block_count, unit_count
    line_counts[SENTENCE_CHARS] = units[1][:unit_count].sum()
