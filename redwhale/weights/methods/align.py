"""The ways in which the base spells each new token where it occurs in the corpus, with their frequency."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redwhale.corpus.reader import read_sources
from redwhale.tokenizer.base import SENTENCEPIECE, tokenizer_of
from redwhale.tokenizer.learn.sample import sample_texts
from redwhale.weights.methods.mixtures import Mixture, mixture_of, uniform

_WORD = re.compile(r" ?\S{1,128}")
Tokens = list[tuple[int, int, int]]
Cut = Callable[[str], Tokens]
"""Cut a word into (id, first byte, byte after) by a tokenizer."""


@dataclass(frozen=True)
class Alignment:
    """``segmentations[i]`` counts the base ids that spelt new token i where it occurred."""

    segmentations: list[Counter[tuple[int, ...]]]
    sample_bytes: int
    crossed: int
    """Occurrences whose ends the base does not cut at; they count nowhere."""

    def mixtures(self, decomposition: Sequence[Sequence[int]]) -> list[Mixture]:
        """Return the mean over each token's occurrences of the mean of its pieces; verbatim pieces where none."""
        found = zip(self.segmentations, decomposition, strict=True)
        return [_frequency_mean(seen) if seen else uniform(pieces) for seen, pieces in found]

    def counts(self, decomposition: Sequence[Sequence[int]]) -> dict[str, int]:
        """Return what was seen, for the manifest."""
        found = list(zip(self.segmentations, decomposition, strict=True))
        return {
            "sample_bytes": self.sample_bytes,
            "tokens_seen": sum(bool(seen) for seen, _ in found),
            "tokens_spelt_otherwise": sum(any(spelt != tuple(pieces) for spelt in seen) for seen, pieces in found),
            "occurrences": sum(seen.total() for seen, _ in found),
            "crossed": self.crossed,
        }


def _frequency_mean(seen: Counter[tuple[int, ...]]) -> Mixture:
    total = seen.total()
    return mixture_of(
        (identifier, count / total / len(spelt)) for spelt, count in sorted(seen.items()) for identifier in spelt
    )


def align(
    words: Counter[str], base: Cut, extended: Cut, *, first_new: int, new_tokens: int, base_ids: int
) -> tuple[list[Counter[tuple[int, ...]]], int]:
    """Count for every new token the runs of base ids between its two ends; return also the crossed occurrences.

    Base ids from ``base_ids`` on have no row and count as crossed.
    """
    segmentations: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(new_tokens)]
    crossed = 0
    for word, count in words.items():
        new = [token for token in extended(word) if first_new <= token[0] < first_new + new_tokens]
        if not new:
            continue
        old = base(word)
        begins = {begin: place for place, (_, begin, _) in enumerate(old)}
        ends = {end: place + 1 for place, (_, _, end) in enumerate(old)}
        for identifier, begin, end in new:
            spelt = (
                tuple(token[0] for token in old[begins[begin] : ends[end]]) if begin in begins and end in ends else ()
            )
            if spelt and max(spelt) < base_ids:
                segmentations[identifier - first_new][spelt] += count
            else:
                crossed += count
    return segmentations, crossed


def cutter(document: dict[str, Any], family: str) -> Cut:
    """Return a function that cuts one word, with the space before it, as the tokenizer does within a text."""
    tokenizer = tokenizer_of(document, merges_only=True)
    model = tokenizer.model
    if family == SENTENCEPIECE:
        return lambda word: [(token.id, *token.offsets) for token in model.tokenize(word.replace(" ", "▁"))]

    def cut(word: str) -> Tokens:
        tokens: Tokens = []
        start = 0
        for pretoken, _ in tokenizer.pre_tokenizer.pre_tokenize_str(word):
            tokens += [(token.id, start + token.offsets[0], start + token.offsets[1])
                       for token in model.tokenize(pretoken)]  # fmt: skip
            start += len(pretoken.encode())
        return tokens

    return cut


def count_words(corpus: Path, *, sample_bytes: int) -> tuple[Counter[str], int]:
    """Count the words of a sample of the Korean training text, each with the space before it; return the bytes too.

    The sample is shared and spread as the tokenizer's. Raises exit code 2 where no source is Korean.
    """
    words: Counter[str] = Counter()
    taken_bytes = 0
    for segment in sample_texts(read_sources(corpus), sample_bytes=sample_bytes):
        words.update(_WORD.findall(" " * segment.begins + segment.text))
        taken_bytes += len(segment.text.encode())
    return words, taken_bytes
