"""What a body of text comes to under several tokenizers, and the figures made of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from redwhale.tokenizer.measure.encoder import Encoder
from redwhale.tokenizer.measure.morphemes import Boundaries, compare_boundaries
from redwhale.tokenizer.measure.passages import PassageSample

RENYI_ALPHA = 2.5
"""The order at which the efficiency goes best with translation quality (Zouhar et al. 2023)."""
RARE = 10
"""A piece used less often than this is rare."""
# Encodings take some 100 times the memory of their text.
_BATCH_CHARACTERS = 1 << 17
_LONGEST_CHARACTERS = 1 << 18


class Tally:
    """Sizes of a body of text, and for each of the encoders how often each id occurs (``uses``: (ids,) int64),
    the CPU seconds that encoding took, and the boundaries on a sample of ``sample_bytes``."""

    def __init__(self, encoders: Sequence[Encoder]) -> None:
        self.documents = self.bytes = self.characters = self.eojeols = self.sample_bytes = 0
        self.encoders = encoders
        self.uses = [np.zeros(len(encoder.parts), dtype=np.int64) for encoder in encoders]
        self.cpu_seconds = [0.0] * len(encoders)
        self.boundaries = [Boundaries() for _ in encoders]

    def count(self, texts: Sequence[str]) -> None:
        """Count texts and their tokens."""
        self.bytes += sum(len(text.encode()) for text in texts)
        self.characters += sum(map(len, texts))
        self.eojeols += sum(len(text.split()) for text in texts)
        for number, encoder in enumerate(self.encoders):
            started = time.process_time()
            ids = encoder.encode(texts)
            self.cpu_seconds[number] += time.process_time() - started
            self.uses[number] += np.bincount(ids, minlength=len(encoder.parts))

    def add(self, other: Tally) -> None:
        """Add another body of text, measured with the same encoders."""
        for name in ("documents", "bytes", "characters", "eojeols", "sample_bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for number in range(len(self.encoders)):
            self.uses[number] += other.uses[number]
            self.cpu_seconds[number] += other.cpu_seconds[number]
            self.boundaries[number].add(other.boundaries[number])

    def size(self) -> dict[str, int]:
        """Return the sizes of the text, and of the sample on which morphemes were compared."""
        return {
            "documents": self.documents, "characters": self.characters, "bytes": self.bytes, "eojeols": self.eojeols,
            "morpheme_sample_bytes": self.sample_bytes,
            "morpheme_boundaries": self.boundaries[0].morphemes if self.boundaries else 0,
        }  # fmt: skip

    def tokens(self, number: int) -> int:
        """Return the tokens of one encoder."""
        return int(self.uses[number].sum())

    def figures(self, number: int) -> dict[str, Any]:
        """Return the figures of one encoder, ratios to 1e-4; None where nothing can be divided."""
        encoder, uses, tokens = self.encoders[number], self.uses[number], self.tokens(number)
        unknown = int(uses[encoder.unknown]) if encoder.unknown is not None else 0
        boundaries = self.boundaries[number]
        return {
            "tokens": tokens,
            "tokens_per_character": _ratio(tokens, self.characters),
            "tokens_per_eojeol": _ratio(tokens, self.eojeols),
            "bytes_per_token": _ratio(self.bytes, tokens),
            "byte_token_share": _ratio(int(uses[encoder.parts].sum()), tokens),
            "unknown_token_share": _ratio(unknown, tokens),
            "renyi_efficiency": _rounded(renyi_efficiency(uses, len(encoder.vocabulary))),
            "morpheme_boundaries_kept": _rounded(boundaries.kept),
            "morpheme_boundary_precision": _rounded(boundaries.precision),
        }


def measure(encoders: Sequence[Encoder], texts: Iterable[str], *, sample_bytes: int) -> Tally:
    """Measure encoders on texts, which are read once; morphemes on a sample of at most ``sample_bytes``."""
    tally, sample = Tally(encoders), PassageSample(sample_bytes)
    for batch in _batches(_counted(texts, tally, sample)):
        tally.count(batch)
    passages = sample.passages()
    tally.sample_bytes = sum(len(passage.encode()) for passage in passages)
    if passages:
        tally.boundaries = compare_boundaries(encoders, passages)
    return tally


def renyi_efficiency(uses: np.ndarray, vocabulary: int) -> float | None:
    """Return the Rényi entropy of the tokens' distribution over its maximum, log of the ``vocabulary``.

    Zouhar et al. 2023, section 4: H_α(p) / log V with H_α(p) = log(Σ p^α) / (1 - α) and α = 2.5. V is the size of
    the tokenizer's whole vocabulary, used or not. ``uses``: (ids,) counts. None without tokens or vocabulary.
    """
    total = int(uses.sum())
    if not total or vocabulary < 2:
        return None
    shares = uses[uses > 0] / total
    entropy = np.log((shares**RENYI_ALPHA).sum()) / (1 - RENYI_ALPHA)
    return float(entropy / np.log(vocabulary)) + 0.0


def use_of(identifiers: Sequence[int], uses: np.ndarray) -> dict[str, int]:
    """Return how many of these ids the text never uses, and how many fewer than 10 times (never included)."""
    found = uses[list(identifiers)]
    return {
        "pieces": len(found),
        "never_used": int((found == 0).sum()),
        "used_fewer_than_10_times": int((found < RARE).sum()),
    }


def _counted(texts: Iterable[str], tally: Tally, sample: PassageSample) -> Iterator[str]:
    for text in texts:
        tally.documents += 1
        sample.see(text)
        yield text


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Gather texts; one of more than 262,144 characters is cut, at white space where it can be."""
    batch: list[str] = []
    size = 0
    for text in texts:
        for part in _cut(text):
            batch.append(part)
            size += len(part)
            if size >= _BATCH_CHARACTERS:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _cut(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > _LONGEST_CHARACTERS:
        stop = max(text.rfind(space, start, start + _LONGEST_CHARACTERS) for space in " \n")
        stop = stop if stop > start else start + _LONGEST_CHARACTERS
        yield text[start:stop]
        start = stop
    yield text[start:]


def _ratio(above: int, below: int) -> float | None:
    return round(above / below, 4) if below else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
