"""Continued byte-pair encoding: go on merging where the base's own segmentation of the sample stops.

Every step takes the most frequent join of two neighbours that an added piece may be (hangul.py), makes it
a piece, and brings the sample to the state that the extended tokenizer gives at runtime. So each half of a
new piece is itself in the vocabulary, and no new piece is unreachable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from redwhale.core.console import Console
from redwhale.core.recipe.tokenizer import Tokenizer as Settings
from redwhale.tokenizer.base import SENTENCEPIECE, BaseTokenizer
from redwhale.tokenizer.characters import is_extra
from redwhale.tokenizer.hangul import has_hangul
from redwhale.tokenizer.learn.cut import Cutter, cutter_of, piece_of, string_of
from redwhale.tokenizer.learn.excluded import excluded_strings
from redwhale.tokenizer.learn.joiner import Joiner
from redwhale.tokenizer.learn.morphemes import morpheme_boundaries
from redwhale.tokenizer.learn.pretokens import pretokens
from redwhale.tokenizer.learn.sample import Sample
from redwhale.tokenizer.learn.words import WordCounts
from redwhale.tokenizer.proto import normal_scores


@dataclass(frozen=True)
class Learned:
    """New pieces in order, as the vocabulary writes them, and how they came about.

    ``lowest_count``: occurrences of the last join in the sample; ``extra``: single characters beside Hangul.
    """

    pieces: list[str]
    syllables: int
    extra: int
    distinct_words: int
    lowest_count: int


def learn(base: BaseTokenizer, sample: Sample, settings: Settings, *, count: int, console: Console) -> Learned:
    """Learn at most ``count`` pieces: frequent single syllables first, then joins and signs by the tokens they save."""
    syllables = frequent_syllables(sample.characters, settings)
    signs = frequent_signs(base, sample.characters, settings) if settings.extra_characters else {}
    with console.progress("learning", total=count, unit="tokens") as progress:
        if base.family == SENTENCEPIECE:
            first = [syllable.encode() for syllable in syllables if syllable not in base.vocabulary][:count]
            joiner = _sentencepiece_joiner(base, first, sample, settings)
        else:
            joiner = _byte_level_joiner(base, signs, sample, settings)
            first = _join_syllables(cutter_of(base), joiner, syllables, settings, count)
        progress.advance(len(first))
        joined = joiner.join_most_frequent(
            count - len(first), at_least=settings.min_count, advance=lambda done: progress.advance(done)
        )
    saving = signs if base.family == SENTENCEPIECE else {}  # byte-level ones are joins like others
    strings = first + interleave(joined, saving)[: count - len(first)]
    chosen = set(strings)
    lowest = min((joins for string, joins in joined if string in chosen), default=0)
    pieces = [piece_of(base, string) for string in strings]
    extra = len(chosen & signs.keys())
    return Learned(pieces, len(first), extra, distinct_words=joiner.distinct_words, lowest_count=lowest)


def frequent_syllables(characters: np.ndarray, settings: Settings) -> list[str]:
    """Return the Hangul characters of the sample, most frequent first, up to the coverage wanted.

    Characters that the base has already count towards the coverage. ``characters``: (0x110000,) int64, counts.
    """
    hangul = [(int(characters[code]), chr(code)) for code in np.flatnonzero(characters) if has_hangul(chr(code))]
    hangul.sort(key=lambda item: (-item[0], item[1]))
    wanted = settings.syllable_coverage * sum(count for count, _ in hangul)
    covered, chosen = 0, []
    for count, character in hangul:
        if covered >= wanted or count < settings.min_count:
            break
        covered += count
        chosen.append(character)
    return chosen


def frequent_signs(base: BaseTokenizer, characters: np.ndarray, settings: Settings) -> dict[bytes, int]:
    """Return the characters beside Hangul that may be added, each with the tokens that it would save."""
    signs = {}
    for code in np.flatnonzero(characters >= settings.min_count):
        character = chr(code)
        string = character.encode(errors="replace")
        if is_extra(character) and piece_of(base, string) not in base.vocabulary:
            signs[string] = int(characters[code]) * (len(string) - 1)
    return signs


def interleave(joined: list[tuple[bytes, int]], saving: dict[bytes, int]) -> list[bytes]:
    """Merge joins, in their order, with single characters, those that save more tokens first."""
    strings = []
    waiting = sorted(saving, key=lambda string: (saving[string], string))
    for string, count in joined:
        while waiting and saving[waiting[-1]] >= count:
            strings.append(waiting.pop())
        strings.append(string)
    return strings + waiting[::-1]


def _sentencepiece_joiner(base: BaseTokenizer, syllables: list[bytes], sample: Sample, settings: Settings) -> Joiner:
    """Cut words as the base does once it has the new syllables; a join that is a base piece happens at once."""
    cutter = cutter_of(base, [syllable.decode() for syllable in syllables])
    scores = normal_scores(base.proto) if base.proto is not None else {}
    earlier = {
        string: -score
        for piece, score in scores.items()
        if len(piece) > 1 and has_hangul(piece) and (string := string_of(base, piece)) is not None
    }
    return Joiner(
        cutter.cut(sample.words, _boundaries(sample.words, settings)),
        cutter.strings,
        max_chars=settings.max_chars,
        partial=False,
        forbidden=excluded_strings(settings),
        earlier=earlier,
    )


def _byte_level_joiner(base: BaseTokenizer, signs: Iterable[bytes], sample: Sample, settings: Settings) -> Joiner:
    """Cut words as the base's pre-tokenizer and merges do."""
    cutter, words = cutter_of(base), pretokens(base, sample.words)
    return Joiner(
        cutter.cut(words, _boundaries(words, settings)),
        cutter.strings,
        max_chars=settings.max_chars,
        partial=True,
        allowed=signs,
        forbidden=excluded_strings(settings),
    )


def _boundaries(words: WordCounts, settings: Settings) -> np.ndarray:
    return morpheme_boundaries(words) if settings.morphemes else np.zeros(0, dtype=np.bool_)


def _join_syllables(
    cutter: Cutter, joiner: Joiner, syllables: Iterable[str], settings: Settings, count: int
) -> list[bytes]:
    """Join the bytes of single syllables from the left, where every step is certainly Hangul and frequent enough."""
    strings: list[bytes] = []
    for syllable in syllables:
        parts = cutter.spell(syllable.encode())
        for size in range(2, len(parts) + 1):
            string = b"".join(parts[:size])
            if joiner.is_piece(string):
                continue
            if len(strings) >= count or joiner.count(string) < settings.min_count:
                break
            joiner.join(string)
            strings.append(string)
    return strings
