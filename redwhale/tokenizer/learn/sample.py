"""Read a fixed share of the Korean text and count the words that merging starts from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.corpus.pii.kinds import PLACEHOLDERS
from redwhale.corpus.reader import CorpusSource, iterate_texts
from redwhale.tokenizer.base import SENTENCEPIECE, BaseTokenizer
from redwhale.tokenizer.hangul import HANGUL, SPACE, has_hangul

SEGMENT_CHARACTERS = 16_384
"""Longer documents are sampled in parts of this length, so that no document is the whole sample."""
SEGMENTS = 64
"""Parts are also no longer than a source's share divided by this (but 64 characters)."""
WORD_CHARACTERS = 128
"""Longer runs without white space are counted in parts of this length."""

# What stands for masked personal data is no language: its words must not become tokens.
_PLACEHOLDER = re.compile("|".join(map(re.escape, PLACEHOLDERS.values())))


@dataclass(frozen=True)
class Sample:
    """Words with their counts: ``words`` are what the base merges within, ``text_bytes`` what was read."""

    words: Counter[str]
    text_bytes: int
    sources: dict[str, int]


def read_sample(sources: list[CorpusSource], base: BaseTokenizer, *, sample_bytes: int) -> Sample:
    """Count the words of the Korean sources, ``sample_bytes`` shared over them by size.

    Every source is read from beginning to end and gives evenly spread parts; the same corpus always gives
    the same sample. Raises exit code 2 where no source is Korean.
    """
    korean = [source for source in sources if source.language == "ko"]
    total = sum(source.text_bytes for source in korean)
    if not total:
        raise RedwhaleError(
            "the corpus has no Korean text to learn from",
            where="preprocess.sources",
            fix="give a source `language: ko`, or set `tokenizer.new_tokens: 0`",
            exit_code=USAGE,
        )
    counter = _word_counter(base)
    words: Counter[str] = Counter()
    taken = {}
    for source in korean:
        share = min(sample_bytes * source.text_bytes // total, source.text_bytes)
        texts = (text for batch in iterate_texts(source.train_files) for text in batch)
        part = _SpreadPart(share, source.text_bytes)
        for text, begins in part.take(texts):
            counter(_PLACEHOLDER.sub("\n", text), begins, words)
        taken[source.name] = part.taken_bytes
    return Sample(words, text_bytes=sum(taken.values()), sources=taken)


class _SpreadPart:
    """Takes ``share`` of ``total`` bytes out of a stream of texts, evenly spread over it."""

    def __init__(self, share: int, total: int) -> None:
        self._share, self._total = share, total
        self._characters = min(max(share // SEGMENTS, 64), SEGMENT_CHARACTERS)
        self.seen_bytes = self.taken_bytes = 0

    def take(self, texts: Iterable[str]) -> Iterator[tuple[str, bool]]:
        """Yield parts of texts, and whether the part begins a document."""
        for text in texts:
            for start, segment in _segments(text, self._characters):
                size = len(segment.encode())
                self.seen_bytes += size
                # Bresenham's rule: take where the part taken stays closest to the part wanted.
                if (2 * self.taken_bytes + size) * self._total > 2 * self._share * self.seen_bytes:
                    continue
                left = self._share - self.taken_bytes
                if size > left:
                    segment = segment.encode()[:left].decode(errors="ignore")
                    size = len(segment.encode())
                if segment:
                    self.taken_bytes += size
                    yield segment, start == 0


def _segments(text: str, characters: int) -> Iterator[tuple[int, str]]:
    start = 0
    while start < len(text):
        end = start + characters
        if end < len(text):
            end = max(text.rfind(" ", start + 1, end), text.rfind("\n", start + 1, end))
            end = end if end > start else start + characters
        yield start, text[start:end]
        start = end


def _word_counter(base: BaseTokenizer) -> Callable[[str, bool, Counter[str]], None]:
    """Return a function that adds the words of a text to a counter, as the base's own pipeline cuts them."""
    if base.family == SENTENCEPIECE:
        return _sentencepiece_words(base)
    return _byte_level_words(base)


def _sentencepiece_words(base: BaseTokenizer) -> Callable[[str, bool, Counter[str]], None]:
    """Words are Hangul runs with the space before them: only there can new pieces form.

    Where the base itself has pieces of Hangul with other characters, words are whole eojeols.
    """
    mixed = any(has_hangul(piece) and not re.fullmatch(f"{SPACE}?[{HANGUL}]+", piece) for piece in base.vocabulary)
    inside = f"[^{SPACE}\\s]" if mixed else f"[{HANGUL}]"
    find = re.compile(f"{SPACE}?{inside}{{1,{WORD_CHARACTERS}}}").findall
    normalizer = base.tokenizer().normalizer
    prefix = SPACE if normalizer is not None and normalizer.normalize_str("a").startswith(SPACE) else ""
    identity = base.proto is not None and not base.proto.normalizer_spec.precompiled_charsmap

    def count(text: str, begins: bool, words: Counter[str]) -> None:
        if not identity and normalizer is not None:
            text = normalizer.normalize_str(text)
            text = text if begins else text.removeprefix(prefix)
        else:
            text = prefix * begins + text
        words.update(find(text.replace(" ", SPACE)))

    return count


def _byte_level_words(base: BaseTokenizer) -> Callable[[str, bool, Counter[str]], None]:
    """Words are eojeols with the space before them, still to be cut by the base's pre-tokenizer."""
    find = re.compile(f" ?\\S{{1,{WORD_CHARACTERS}}}").findall
    normalizer = base.tokenizer().normalizer

    def count(text: str, begins: bool, words: Counter[str]) -> None:
        words.update(find(normalizer.normalize_str(text) if normalizer is not None else text))

    return count
