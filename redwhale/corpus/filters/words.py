"""Words of a text: eojeols found here, or morphemes found elsewhere; hash, length and what they are made of."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit

from redwhale.corpus.filters.characters import (
    DIGIT,
    JAMO,
    KIND_BITS,
    LATIN,
    MARK,
    OTHER_LETTER,
    PROSE,
    PUNCTUATION,
    SPACE,
    SYLLABLE,
    TARGET,
)

# Flags of a word, in the order of _FLAG_COLUMNS.
ALPHA, CONTENT, JAMO_ONLY, KOREAN, PARTICLE, TORN = 1, 2, 4, 8, 16, 32
# Columns of the counts of words.
WORDS, CONTENT_WORDS, CONTENT_CHARS, ALPHA_WORDS, JAMO_WORDS, KOREAN_WORDS, ENDED_WORDS, TORN_WORDS, STOP_WORDS = range(
    9
)
WORD_COUNTS = 9
_FLAG_COLUMNS = (ALPHA_WORDS, CONTENT_WORDS, JAMO_WORDS, KOREAN_WORDS, ENDED_WORDS, TORN_WORDS)
_FLAG_VALUES = 64
UNSPACED_SYLLABLES = 15
_FIRST_SYLLABLE = 0xAC00
_SYLLABLES = 11172
_ODD = np.uint64(0x9E3779B97F4A7C15)
_LONGEST_TORN = 7
_ENDS, _BEGINS_TORN, _NO_NOUN = 1, 2, 4

# Last syllables of eojeols with a particle (은/는, 이/가, 을/를 …) or an ending (다, 고, 며, 면, 서 …).
_PARTICLE_SYLLABLES = (
    "은는이가을를의에로와과도만서터께랑고며면니게다요죠네까던야여해돼데듯록려러어아워거음함됨한할된될들"
)
# Further last syllables after which 하다 and 되다 stand apart by right: 하게 되는, 보기 하나, 얼마나 할.
_LOOSE_SYLLABLES = "나라마자기군걸인일린릴진질운울난날든른긴길킨킬간갈본볼온올단달친칠"
# 하다 and 되다, which machine translation tears off the noun before them.
_TORN_VERBS = (
    "하 하고 하는 하는지 하면 하므로 하지 하지만 하여 하거나 하려는 하려면 "
    "하도록 하세요 하십시오 할 합니다 했습니다 했다 한다 된 된다 될 되고 "
    "되는 되면 되므로 되지 되지만 되어 되었습니다 됩니다 되거나 되도록 "
)


@cache
def ending_table() -> np.ndarray:
    """Return for each syllable 1 where words that end in it mostly have a particle or ending, 2 where a torn word
    begins with it, 4 where it hardly ends a bare noun, added up: uint8."""
    table = np.zeros(_SYLLABLES, dtype=np.uint8)
    for syllable in _PARTICLE_SYLLABLES:
        table[ord(syllable) - _FIRST_SYLLABLE] |= _ENDS | _NO_NOUN
    for syllable in _LOOSE_SYLLABLES:
        table[ord(syllable) - _FIRST_SYLLABLE] |= _NO_NOUN
    for word in _TORN_VERBS.split():
        table[ord(word[0]) - _FIRST_SYLLABLE] |= _BEGINS_TORN
    return table


@cache
def torn_table() -> np.ndarray:
    """Return the hashes of verbs that machines tear off their noun: sorted uint64."""
    return np.sort(np.array([word_hash(word) for word in _TORN_VERBS.split()], dtype=np.uint64))


def word_hash(word: str) -> int:
    """Return the hash of a word as the kernels compute it."""
    value = 0
    for character in word:
        value = (value + ord(character) + 1) * int(_ODD) % 2**64
    return value


@njit(cache=True, nogil=True)
def read_words(characters: tuple, endings: np.ndarray, bounds: np.ndarray, words: tuple, known: int) -> int:
    """Describe ``known`` words whose bounds are given, or, if that is -1, find eojeols; return how many.

    An eojeol is a run of prose without white space; targets of links are passed over, so ``[이름](x.html)은`` is one.
    ``bounds``: (words, 2) int64, start and stop in characters; ``words``: hash (uint64), length in characters (int32)
    and flags (uint8) of each. A known word may hold a space, as Kiwi's names do. One function for both, because passing
    arrays for every word would cost more than reading it.
    """
    points, kinds, regions = characters
    hashes, lengths, flags = words
    one, size = np.uint64(1), np.uint64(len(kinds))  # unsigned indices spare the check for negative ones
    word, i, stop = 0, np.uint64(0), size
    while True:
        if known >= 0:
            if word == known:
                return word
            i, stop = np.uint64(bounds[word, 0]), np.uint64(bounds[word, 1])
        while i < stop and (kinds[i] & KIND_BITS == SPACE or regions[i] != PROSE):
            i += one
        if i == stop and known < 0:
            return word
        bounds[word, 0] = i
        value, length, kinds_seen, last = np.uint64(0), 0, 0, -1
        while i < stop:
            kind = kinds[i] & KIND_BITS
            region = regions[i]
            if region == PROSE:
                if kind == SPACE and known < 0:
                    break
                value = (value + np.uint64(points[i] + 1)) * _ODD
                length += 1
                kinds_seen |= 1 << kind
                if kind == SYLLABLE:
                    last = points[i] if length > 1 else -1
                elif kind != PUNCTUATION and kind != JAMO:
                    last = -1
            elif known < 0 and (kind == SPACE or region != TARGET):
                break
            i += one
        bounds[word, 1] = i
        hashes[word], lengths[word], flags[word] = value, length, _flags(kinds_seen)
        if last >= 0 and endings[last - _FIRST_SYLLABLE] & _ENDS:
            flags[word] |= PARTICLE
        word += 1


@njit(cache=True, nogil=True)
def _flags(kinds_seen: int) -> int:
    letters = (((1 << OTHER_LETTER) - 1) ^ ((1 << SYLLABLE) - 1)) | 1 << OTHER_LETTER
    found = 0
    if kinds_seen & letters:
        found |= ALPHA
    if kinds_seen & ~(1 << PUNCTUATION):
        found |= CONTENT
    if kinds_seen & (1 << SYLLABLE):
        found |= KOREAN
    other = letters & ~(1 << JAMO) | 1 << DIGIT | 1 << MARK
    if kinds_seen & (1 << JAMO) and not kinds_seen & other:
        found |= JAMO_ONLY
    return found


@njit(cache=True, nogil=True)
def mark_torn(bounds: np.ndarray, characters: tuple, words: tuple, tables: tuple) -> None:
    """Flag verbs torn off the noun before them (``지정 된``): it has no particle and stands one space before."""
    points, kinds, _ = characters
    _, lengths, flags = words
    table, torn = tables
    for word in range(1, len(bounds)):
        first = bounds[word, 0]
        if kinds[first] != SYLLABLE or not table[points[first] - _FIRST_SYLLABLE] & _BEGINS_TORN:
            continue
        before = kinds[first - 2]
        if lengths[word] > _LONGEST_TORN or kinds[first - 1] & KIND_BITS != SPACE or before not in (SYLLABLE, LATIN):
            continue
        if before == SYLLABLE and table[points[first - 2] - _FIRST_SYLLABLE] & _NO_NOUN:
            continue
        value, i = np.uint64(0), first
        while i < bounds[word, 1] and kinds[i] == SYLLABLE:  # a full stop may follow
            value = (value + np.uint64(points[i] + 1)) * _ODD
            i += 1
        place = np.searchsorted(torn, value)
        if place < len(torn) and torn[place] == value:
            flags[word] |= TORN


@njit(cache=True, nogil=True)
def count_words(words: tuple, stop_words: np.ndarray, counts: np.ndarray) -> None:
    """Add the columns named above to ``counts``: (WORD_COUNTS,) int64; ``stop_words``: sorted hashes."""
    hashes, lengths, flags = words
    seen = np.zeros(len(stop_words), dtype=np.bool_)
    by_flags = np.zeros(_FLAG_VALUES, dtype=np.int64)
    for word in range(len(lengths)):
        by_flags[flags[word]] += 1
        if flags[word] & CONTENT:
            counts[CONTENT_CHARS] += lengths[word]
        if len(stop_words) and lengths[word] <= 2:
            place = np.searchsorted(stop_words, hashes[word])
            if place < len(stop_words) and stop_words[place] == hashes[word]:
                seen[place] = True
    counts[STOP_WORDS] += seen.sum()
    counts[WORDS] += len(lengths)
    for value in range(_FLAG_VALUES):
        for column in range(len(_FLAG_COLUMNS)):
            if value & (1 << column):
                counts[_FLAG_COLUMNS[column]] += by_flags[value]


@njit(cache=True, nogil=True)
def keep_content(words: tuple) -> tuple:
    """Return the words without those of punctuation alone, such as table rules, in the same memory."""
    hashes, lengths, flags = words
    kept = 0
    for word in range(len(hashes)):
        if flags[word] & CONTENT:
            hashes[kept], lengths[kept], flags[kept] = hashes[word], lengths[word], flags[word]
            kept += 1
    return hashes[:kept], lengths[:kept], flags[:kept]


@njit(cache=True, nogil=True)
def count_unspaced(bounds: np.ndarray, kinds: np.ndarray, words: tuple) -> int:
    """Return the number of syllables in runs of 15 or more."""
    total = 0
    for word in range(len(bounds)):
        if words[1][word] < UNSPACED_SYLLABLES:
            continue
        run = 0
        for i in range(bounds[word, 0], bounds[word, 1]):
            run = run + 1 if kinds[i] == SYLLABLE else 0
            if run >= UNSPACED_SYLLABLES:
                total += UNSPACED_SYLLABLES if run == UNSPACED_SYLLABLES else 1
    return total
