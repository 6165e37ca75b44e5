"""The paper's route: a tokenizer of the sample alone, its pieces filtered by rule and merged into the base.

The auxiliary tokenizer is byte-pair encoding as the base is (a unigram model's pieces would mostly lack the
halves that the base's merging goes through) and sees words as the base's own normaliser and splitting give
them. What the base's merges and the new ones together cannot make, or make too rarely, is dropped, and pieces
from further down the auxiliary's list take its place (sound.py).
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat

from redwhale.core.console import Console
from redwhale.core.recipe.tokenizer import Tokenizer as Settings
from redwhale.tokenizer.base import SENTENCEPIECE, BaseTokenizer
from redwhale.tokenizer.byte_alphabet import BYTE_CHARACTERS, written
from redwhale.tokenizer.hangul import SPACE, byte_piece_length, has_hangul, text_piece_length
from redwhale.tokenizer.learn.continued import Learned, frequent_signs, frequent_syllables, interleave
from redwhale.tokenizer.learn.cut import cutter_of, piece_of, string_of
from redwhale.tokenizer.learn.excluded import excluded_strings
from redwhale.tokenizer.learn.pretokens import pretokens
from redwhale.tokenizer.learn.sample import Sample
from redwhale.tokenizer.learn.sound import sound_pieces

SPARE_SHARE, SPARE_PIECES = 0.5, 1000
"""The auxiliary tokenizer is larger than what is asked by this share and so many, and doubled while that is too few."""
Words = Counter[str]
"""Words as the vocabulary writes them, with their counts."""


@dataclass(frozen=True)
class _Route:
    """What the auxiliary is trained on: ``first`` are single syllables that go before its pieces."""

    first: list[str]
    words: Words
    train: Callable[..., list[str]]
    is_allowed: Callable[[str], bool]

    def candidates(self, base: BaseTokenizer, learned: Iterable[str]) -> list[str]:
        """Return ``first`` and then the learnt pieces that are new and pass the rule."""
        known = base.vocabulary.keys() | set(self.first)
        return [*self.first, *(piece for piece in learned if piece not in known and self.is_allowed(piece))]


def learn(base: BaseTokenizer, sample: Sample, settings: Settings, *, count: int, console: Console) -> Learned:
    """Learn at most ``count`` pieces: frequent single syllables first, then the auxiliary's in its order."""
    signs = _signs(base, sample, settings)
    route = _route(base, sample, settings, signs=signs, count=count)
    size = _size(count)
    with console.progress("learning", total=count, unit="tokens") as progress:
        while True:
            learned = route.train(route.words, pieces=size, max_chars=settings.max_chars)
            candidates = route.candidates(base, learned)
            counts = sound_pieces(base, route.words, candidates, count=count, min_count=settings.min_count)
            exhausted = len(learned) < size or _occurrences(route.words, learned[-1]) < settings.min_count
            if len(counts) >= count or exhausted:
                break
            size *= 2
        progress.advance(len(counts))
    return _learned(base, counts, route.first, signs, count=count, distinct_words=len(route.words))


def candidates(base: BaseTokenizer, sample: Sample, settings: Settings, *, count: int) -> list[str]:
    """Return more than ``count`` pieces as the auxiliary gives them, syllables first, unreachable ones among them."""
    route = _route(base, sample, settings, signs=_signs(base, sample, settings), count=count)
    return route.candidates(base, route.train(route.words, pieces=_size(count), max_chars=settings.max_chars))


def _size(count: int) -> int:
    return int(count * (1 + SPARE_SHARE)) + SPARE_PIECES


def _signs(base: BaseTokenizer, sample: Sample, settings: Settings) -> dict[bytes, int]:
    return frequent_signs(base, sample.characters, settings) if settings.extra_characters else {}


def _route(base: BaseTokenizer, sample: Sample, settings: Settings, *, signs: Iterable[bytes], count: int) -> _Route:
    syllables = frequent_syllables(sample.characters, settings)
    is_allowed = _rule(base, signs, settings)
    if base.family == SENTENCEPIECE:
        first = [syllable for syllable in syllables if syllable not in base.vocabulary][:count]
        return _Route(first, _hangul_runs(base, sample, first), _train_sentencepiece, is_allowed)
    first = _syllable_beginnings(base, syllables)[:count]
    return _Route(first, _pretokens(base, sample), _train_byte_level, is_allowed)


def _occurrences(words: Words, piece: str) -> int:
    """Return how often a piece stands in the words; later pieces of an auxiliary are rarer."""
    return sum(word.count(piece) * occurrences for word, occurrences in words.items())


def _learned(
    base: BaseTokenizer,
    counts: dict[str, int],
    first: list[str],
    signs: dict[bytes, int],
    *,
    count: int,
    distinct_words: int,
) -> Learned:
    """Put the signs of a SentencePiece base among the pieces, by the tokens that they save."""
    single = set(first) & counts.keys()
    joined = [(string_of(base, piece) or b"", n) for piece, n in counts.items() if piece not in single]
    saving = signs if base.family == SENTENCEPIECE else {}  # byte-level ones are joins like others
    others = [piece_of(base, string) for string in interleave(joined, saving)[: count - len(single)]]
    return Learned(
        [*(piece for piece in first if piece in single), *others],
        syllables=len(single),
        extra=len(signs.keys() & {string_of(base, piece) for piece in others}),
        distinct_words=distinct_words,
        lowest_count=min((counts[piece] for piece in others if piece in counts), default=0),
    )


def _rule(base: BaseTokenizer, signs: Iterable[bytes], settings: Settings) -> Callable[[str], bool]:
    """Return the test that a piece must pass: Hangul alone (hangul.py) or a single sign, and not excluded."""
    allowed_signs, excluded = set(signs), set(excluded_strings(settings))

    def is_allowed(piece: str) -> bool:
        data = string_of(base, piece)
        if data is None or data in excluded:
            return False
        length = text_piece_length(piece) if base.family == SENTENCEPIECE else byte_piece_length(data)
        return 1 <= length <= settings.max_chars or data in allowed_signs

    return is_allowed


def _hangul_runs(base: BaseTokenizer, sample: Sample, first: list[str]) -> Words:
    """Cut the words at everything that falls to bytes or is no Hangul: no new piece reaches across.

    SentencePiece joins no two scripts, so whole text gives the same pieces of Hangul in the same order.
    """
    alphabet = "".join(first) + "".join(piece for piece in base.vocabulary if len(piece) == 1 and has_hangul(piece))
    runs: Words = Counter()
    if not alphabet:
        return runs
    find = re.compile(f" ?[{re.escape(alphabet)}]+").findall
    for word, occurrences in sample.words.items():
        for run in find(word.decode()):
            runs[run.replace(" ", SPACE)] += occurrences
    return runs


def _train_sentencepiece(words: Words, *, pieces: int, max_chars: int) -> list[str]:
    """Return the first joins of a SentencePiece-BPE model of the words, at most ``pieces``, in order of learning.

    Words are Hangul with the space that the base gives them, normalised as it does. So the identity normaliser is
    used, no prefix added and no space removed, and the flags for digits, scripts and white space have nothing to
    decide. Each word stands once with its count: no line is so long that SentencePiece would pass over it.
    """
    from sentencepiece import SentencePieceTrainer
    from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]

    counted = [f"{word.replace(SPACE, ' ')}\t{occurrences}" for word, occurrences in sorted(words.items())]
    characters = len(set("".join(words)))
    if not characters:
        return []
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(counted), input_format="tsv", model_writer=model, model_type="bpe",
        vocab_size=1 + pieces + characters, hard_vocab_limit=False, character_coverage=1.0,
        max_sentencepiece_length=max_chars + 1, normalization_rule_name="identity", add_dummy_prefix=False,
        remove_extra_whitespaces=False, bos_id=-1, eos_id=-1, num_threads=1, minloglevel=2,
    )  # fmt: skip
    proto = ModelProto.FromString(model.getvalue())
    return [piece.piece for piece in proto.pieces[1:] if len(piece.piece) > 1]


def _pretokens(base: BaseTokenizer, sample: Sample) -> Words:
    return Counter({written(word): occurrences for word, occurrences in pretokens(base, sample.words).items()})


def _train_byte_level(words: Words, *, pieces: int, max_chars: int) -> list[str]:
    """Return the first joins of a byte-level BPE of the words, at most ``pieces``, in order of learning."""
    from tokenizers import Tokenizer, models, trainers

    tokenizer = Tokenizer(models.BPE())
    alphabet = sorted(BYTE_CHARACTERS.values())
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + pieces,
        initial_alphabet=alphabet,
        max_token_length=4 * max_chars + 1,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_repeated(words), trainer)
    learned = sorted(tokenizer.get_vocab(with_added_tokens=False).items(), key=lambda item: item[1])
    return [piece for piece, _ in learned[len(alphabet) :]]


def _repeated(words: Words) -> Iterator[str]:
    """Yield every word as often as it occurs: the trainer takes no counts."""
    return chain.from_iterable(repeat(word, occurrences) for word, occurrences in words.items())


def _syllable_beginnings(base: BaseTokenizer, syllables: Iterable[str]) -> list[str]:
    """Return the joins from the left that make each syllable of the base's tokens, while all are certainly Hangul."""
    cutter = cutter_of(base)
    strings: dict[bytes, None] = {}
    for syllable in syllables:
        parts = cutter.spell(syllable.encode())
        steps = [b"".join(parts[:size]) for size in range(2, len(parts) + 1)]
        if all(map(byte_piece_length, steps)):
            strings |= dict.fromkeys(steps)
    pieces = (written(string) for string in strings)
    return [piece for piece in pieces if piece not in base.vocabulary]
