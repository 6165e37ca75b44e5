"""Read a fixed share of the Korean text and count the words that merging starts from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.corpus.pii.kinds import PLACEHOLDERS
from redwhale.corpus.reader import CorpusSource, iterate_texts
from redwhale.tokenizer.base import SENTENCEPIECE, BaseTokenizer
from redwhale.tokenizer.characters import is_extra
from redwhale.tokenizer.hangul import HANGUL, SPACE, has_hangul
from redwhale.tokenizer.learn.words import CODE_POINTS, INSIDE, WANTED, WordCounter, WordCounts

SEGMENT_CHARACTERS = 16_384
"""Longer documents are sampled in parts of this length, so that no document is the whole sample."""
SEGMENTS = 64
"""Parts are also no longer than a source's share divided by this (but 64 characters)."""

# What stands for masked personal data is no language: its words must not become tokens.
_PLACEHOLDER = re.compile("|".join(map(re.escape, PLACEHOLDERS.values())))


@dataclass(frozen=True)
class Sample:
    """What was read: ``words`` are what the base merges within, ``characters`` (0x110000,) int64 all there is."""

    words: WordCounts
    characters: np.ndarray
    text_bytes: int
    sources: dict[str, int]


@dataclass(frozen=True)
class Segment:
    """A part of a document; ``begins`` tells that it is the first one."""

    source: str
    text: str
    begins: bool


def read_sample(
    sources: list[CorpusSource], base: BaseTokenizer, *, sample_bytes: int, weights: Mapping[str, float] | None = None
) -> Sample:
    """Count the words and characters of the sample; parameters as of ``sample_texts``."""
    counter = SampleCounter(base)
    taken: dict[str, int] = {}
    for segment in sample_texts(sources, sample_bytes=sample_bytes, weights=weights):
        taken[segment.source] = taken.get(segment.source, 0) + len(segment.text.encode())
        counter.add(segment.text, segment.begins)
    words, characters = counter.finish()
    return Sample(words, characters, text_bytes=sum(taken.values()), sources=taken)


class SampleCounter:
    """Counts the words and characters of parts of documents as a base takes them."""

    def __init__(self, base: BaseTokenizer) -> None:
        self._counter = WordCounter(_character_classes(base))
        self._normalise = _normaliser(base)

    def add(self, part: str, begins: bool) -> None:
        """Count a part; ``begins`` tells that it is the first of its document."""
        self._counter.add(self._normalise(_PLACEHOLDER.sub("\n", part), begins))

    def finish(self) -> tuple[WordCounts, np.ndarray]:
        """Return the words and, (0x110000,) int64, the characters of all parts."""
        return self._counter.finish(), self._counter.characters


def sample_texts(
    sources: list[CorpusSource], *, sample_bytes: int, weights: Mapping[str, float] | None = None
) -> Iterator[Segment]:
    """Yield parts of the Korean sources, ``sample_bytes`` shared over them by ``weights``, else by size.

    Every source is read from beginning to end and gives evenly spread parts; the same corpus always gives
    the same sample. No line is too long: long ones come in parts. Raises exit code 2 where no source is Korean.
    """
    for source, share in shares_of(sources, sample_bytes, weights):
        texts = (text for batch in iterate_texts(source.train_files) for text in batch)
        for text, begins in SpreadPart(share, source.text_bytes).take(texts):
            yield Segment(source.name, text, begins)


def shares_of(
    sources: Sequence[CorpusSource], sample_bytes: int, weights: Mapping[str, float] | None
) -> list[tuple[CorpusSource, int]]:
    """Return the Korean sources and the bytes to be taken of each; raises as ``sample_texts``."""
    korean = [source for source in sources if source.language == "ko" and source.text_bytes]
    if not korean:
        raise RedwhaleError(
            "the corpus has no Korean text to learn from",
            where="preprocess.sources",
            fix="give a source `language: ko`, or choose what needs none (`tokenizer.new_tokens: 0`, no `align`)",
            exit_code=USAGE,
        )
    shares = share_bytes({source.name: source.text_bytes for source in korean}, sample_bytes, weights)
    return [(source, shares[source.name]) for source in korean]


def share_bytes(sizes: Mapping[str, int], wanted: int, weights: Mapping[str, float] | None) -> dict[str, int]:
    """Share ``wanted`` bytes over sources by weight (by size where there are none), no source beyond its size.

    What a small source cannot give is shared over the others. Raises exit code 2 for weights of other sources.
    """
    weighing = {name: float(size) for name, size in sizes.items()} if weights is None else dict(weights)
    if unknown := sorted(weighing.keys() - sizes.keys()):
        raise RedwhaleError(
            f"{', '.join(unknown)} is no Korean source of the corpus ({', '.join(sizes)})",
            where="tokenizer.source_weights",
            fix="name the sources as `preprocess.sources` does",
            exit_code=USAGE,
        )
    shares = dict.fromkeys(sizes, 0)
    left = min(wanted, sum(sizes[name] for name, weight in weighing.items() if weight > 0))
    open_ones = [name for name, weight in weighing.items() if weight > 0]
    while open_ones and left:
        total = sum(weighing[name] for name in open_ones)
        filled = [name for name in open_ones if sizes[name] <= left * weighing[name] / total]
        if not filled:
            return shares | {name: int(left * weighing[name] / total) for name in open_ones}
        for name in filled:
            shares[name] = sizes[name]
            left -= sizes[name]
        open_ones = [name for name in open_ones if name not in filled]
    return shares


class SpreadPart:
    """Takes ``share`` of ``total`` bytes out of a stream of texts, evenly spread over it.

    ``seen_bytes`` and ``taken_bytes`` are those so far. Parts have at most ``characters``.
    """

    def __init__(self, share: int, total: int, *, seen_bytes: int = 0, taken_bytes: int = 0) -> None:
        self._share, self._total = share, total
        self.characters = min(max(share // SEGMENTS, 64), SEGMENT_CHARACTERS)
        self.seen_bytes, self.taken_bytes = seen_bytes, taken_bytes

    def take(self, texts: Iterable[str]) -> Iterator[tuple[str, bool]]:
        """Yield parts of texts, and whether the part begins a document."""
        for text in texts:
            for start, segment in segments(text, self.characters):
                if wanted := self.wanted(len(segment.encode())):
                    segment = segment.encode()[:wanted].decode(errors="ignore")
                    if segment:
                        yield segment, start == 0

    def wanted(self, size: int) -> int:
        """Count a part of ``size`` bytes as seen; return how many bytes of it are to be taken, and count these."""
        self.seen_bytes += size
        # Bresenham's rule: take where the part taken stays closest to the part wanted.
        if (2 * self.taken_bytes + size) * self._total > 2 * self._share * self.seen_bytes:
            return 0
        taken = min(size, self._share - self.taken_bytes)
        self.taken_bytes += taken
        return taken


def segments(text: str, characters: int) -> Iterator[tuple[int, str]]:
    """Yield parts of a text of at most so many characters, each with its place, cut before spaces where there are."""
    start = 0
    while start < len(text):
        end = start + characters
        if end < len(text):
            end = max(text.rfind(" ", start + 1, end), text.rfind("\n", start + 1, end))
            end = end if end > start else start + characters
        yield start, text[start:end]
        start = end


def is_mixed(base: BaseTokenizer) -> bool:
    """Tell whether the base has pieces of Hangul with other characters, so that words must be whole eojeols."""
    return any(has_hangul(piece) and not re.fullmatch(f"{SPACE}?[{HANGUL}]+", piece) for piece in base.vocabulary)


def _character_classes(base: BaseTokenizer) -> np.ndarray:
    """Return what each character is to the words of a base: (0x110000,) uint8.

    SentencePiece: words are Hangul runs with the space before them, only there can new pieces form; eojeols
    where the base is mixed. Byte-level: eojeols, still to be cut by the base's pre-tokenizer.
    """
    classes = np.zeros(CODE_POINTS, dtype=np.uint8)
    hangul = [code for code in range(0x1100, 0xD7A4) if has_hangul(chr(code))]
    if base.family != SENTENCEPIECE or is_mixed(base):
        classes[:] = INSIDE
        classes[[code for code in range(0x3001) if chr(code).isspace()]] = 0
        classes[ord(SPACE)] = 0 if base.family == SENTENCEPIECE else INSIDE
    if base.family != SENTENCEPIECE:
        classes[[code for code in range(0x80, 0x30000) if is_extra(chr(code))]] |= WANTED
    classes[hangul] = INSIDE | WANTED
    return classes


def _normaliser(base: BaseTokenizer) -> Callable[[str, bool], str]:
    """Return a function from a segment, and whether it begins a document, to what the base merges, spaces as spaces."""
    normalizer = base.tokenizer().normalizer
    if base.family != SENTENCEPIECE:
        return lambda text, begins: text if normalizer is None else str(normalizer.normalize_str(text))
    prefix = " " if normalizer is not None and normalizer.normalize_str("a").startswith(SPACE) else ""
    if base.proto is not None and not base.proto.normalizer_spec.precompiled_charsmap:
        return lambda text, begins: prefix * begins + text

    def normalise(text: str, begins: bool) -> str:
        text = text if normalizer is None else normalizer.normalize_str(text).replace(SPACE, " ")
        return text if begins else text.removeprefix(prefix)

    return normalise
