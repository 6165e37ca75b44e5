"""Continued byte-pair encoding: go on merging where the base's own segmentation of the sample stops.

Every step takes the most frequent join of two neighbours that an added piece may be (hangul.py), makes it
a piece, and brings the sample to the state that the extended tokenizer gives at runtime. So each half of a
new piece is itself in the vocabulary, and no new piece is unreachable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from redwhale.core.console import Console, Progress
from redwhale.core.recipe.tokenizer import Tokenizer as Settings
from redwhale.tokenizer.base import SENTENCEPIECE, BaseTokenizer, tokenizer_of
from redwhale.tokenizer.byte_alphabet import raw, written
from redwhale.tokenizer.hangul import byte_piece_length, has_hangul, text_piece_length
from redwhale.tokenizer.learn.joining import Joiner
from redwhale.tokenizer.learn.sample import Sample
from redwhale.tokenizer.proto import normal_scores


@dataclass(frozen=True)
class Learned:
    """New pieces in order, as the vocabulary writes them, and how they came about."""

    pieces: list[str]
    syllables: int
    distinct_words: int
    lowest_count: int


def learn(base: BaseTokenizer, sample: Sample, settings: Settings, console: Console) -> Learned:
    """Learn at most ``settings.new_tokens`` pieces: frequent single syllables first, then merges by count."""
    syllables = frequent_syllables(sample.words, settings)
    with console.progress("learning", total=settings.new_tokens, unit="tokens") as progress:
        if base.family == SENTENCEPIECE:
            pieces = [syllable for syllable in syllables if syllable not in base.vocabulary][: settings.new_tokens]
            joiner = _sentencepiece_joiner(base, pieces, sample.words, settings.max_chars)
        else:
            joiner = _byte_level_joiner(base, sample.words, settings.max_chars)
            pieces = _join_syllables(base, joiner, syllables, settings)
        single = len(pieces)
        lowest = _join_most_frequent(joiner, pieces, settings, progress)
    return Learned(pieces, single, distinct_words=joiner.distinct_words, lowest_count=lowest)


def frequent_syllables(words: Counter[str], settings: Settings) -> list[str]:
    """Return the Hangul characters of the sample, most frequent first, up to the coverage wanted.

    Characters that the base has already count towards the coverage.
    """
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    hangul = [(count, character) for character, count in counts.items() if has_hangul(character)]
    hangul.sort(key=lambda item: (-item[0], item[1]))
    wanted = settings.syllable_coverage * sum(count for count, _ in hangul)
    covered, chosen = 0, []
    for count, character in hangul:
        if covered >= wanted or count < settings.min_count:
            break
        covered += count
        chosen.append(character)
    return chosen


def _join_most_frequent(joiner: Joiner, pieces: list[str], settings: Settings, progress: Progress) -> int:
    """Append merges to ``pieces`` until there are enough or none is frequent enough; return the last count."""
    lowest = 0
    progress.advance(len(pieces))
    while len(pieces) < settings.new_tokens:
        best = joiner.most_frequent(at_least=settings.min_count)
        if best is None:
            break
        piece, lowest = best
        joiner.join(piece)
        pieces.append(piece)
        progress.advance()
    return lowest


def _sentencepiece_joiner(base: BaseTokenizer, syllables: list[str], words: Counter[str], max_chars: int) -> Joiner:
    """Cut words as the base does once it has the new syllables; a join that is a base piece happens at once."""
    model = base.document["model"]
    first = base.tokens
    vocabulary = model["vocab"] | {syllable: first + i for i, syllable in enumerate(syllables)}
    cut = tokenizer_of(base.document | {"model": model | {"vocab": vocabulary}}).model.tokenize
    scores = normal_scores(base.proto) if base.proto is not None else {}

    def allowed(piece: str) -> bool:
        return len(piece) > 1 and text_piece_length(piece) in range(1, max_chars + 1) and piece not in vocabulary

    return Joiner(
        ([token.value for token in cut(word)], count) for word, count in words.items() if len(word) > 1
    ).start(allowed, earlier={piece: -score for piece, score in scores.items() if len(piece) > 1 and has_hangul(piece)})


def _byte_level_joiner(base: BaseTokenizer, words: Counter[str], max_chars: int) -> Joiner:
    """Cut words as the base's pre-tokenizer and merges do."""
    tokenizer = tokenizer_of(base.document, merges_only=True)
    cut, split = tokenizer.model.tokenize, tokenizer.pre_tokenizer.pre_tokenize_str
    pretokens: Counter[str] = Counter()
    for word, count in words.items():
        if has_hangul(word):
            for pretoken, _ in split(word):
                pretokens[pretoken] += count

    def allowed(piece: str) -> bool:
        data = raw(piece)
        return data is not None and byte_piece_length(data) in range(1, max_chars + 1) and piece not in base.vocabulary

    cuts = (([token.value for token in cut(pretoken)], count) for pretoken, count in pretokens.items())
    return Joiner(cuts).start(allowed, earlier={})


def _join_syllables(base: BaseTokenizer, joiner: Joiner, syllables: Iterable[str], settings: Settings) -> list[str]:
    """Join the bytes of single syllables from the left, where every step is certainly Hangul and frequent enough."""
    cut = tokenizer_of(base.document, merges_only=True).model.tokenize
    pieces: list[str] = []
    for syllable in syllables:
        parts = [token.value for token in cut(written(syllable.encode()))]
        prefixes = ["".join(parts[:size]) for size in range(2, len(parts) + 1)]
        for piece in prefixes:
            if joiner.is_piece(piece):
                continue
            if len(pieces) >= settings.new_tokens or joiner.count(piece) < settings.min_count:
                break
            joiner.join(piece)
            pieces.append(piece)
    return pieces
