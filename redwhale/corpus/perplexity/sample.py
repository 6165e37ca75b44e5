"""Choose the text that a model is trained on: a bounded share of each source, whatever the order of reading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import xxhash

from redwhale.corpus.texts import Texts

PART_BYTES = 16_384
"""Longer documents are sampled in parts of about this length, so that no document is the whole sample."""
_SLACK = 1.25


@dataclass(frozen=True)
class Part:
    """A part of a document: where it starts in it, and a hash that decides whether it is chosen."""

    key: int
    document: int
    start: int
    data: bytes


def text_hash(text: bytes) -> int:
    """Return the 64-bit hash of a document's text."""
    return xxhash.xxh3_64_intdigest(text)


def folds_of(texts: Texts, folds: int) -> np.ndarray:
    """Return the fold of each text, which nothing but its bytes decides: (n,) uint8."""
    if folds == 1:
        return np.zeros(len(texts), dtype=np.uint8)
    return np.array([text_hash(texts.bytes_of(i)) % folds for i in range(len(texts))], dtype=np.uint8)


def source_quotas(sizes: Mapping[str, int], sample_bytes: int) -> dict[str, int]:
    """Share out a sample over sources of these sizes in bytes: alike, but to none more than it has."""
    quotas: dict[str, int] = {}
    left = sample_bytes
    for place, (name, size) in enumerate(sorted(sizes.items(), key=lambda item: (item[1], item[0]))):
        quotas[name] = min(size, left // (len(sizes) - place))
        left -= quotas[name]
    return quotas


def choose_parts(texts: Iterable[tuple[str, Texts]], quotas: Mapping[str, int]) -> dict[str, list[Part]]:
    """Choose parts of the documents of each source, at most its quota in bytes; ``texts`` are (source, texts).

    The parts with the lowest hashes are taken, so neither chunks nor their order matter, and every place of a
    source has the same chance. In memory stay the parts alone.
    """
    chosen = {name: _Lowest(quota) for name, quota in quotas.items()}
    for name, chunk in texts:
        for index in range(len(chunk)):
            chosen[name].add(chunk.bytes_of(index))
    return {name: lowest.finish() for name, lowest in chosen.items()}


class _Lowest:
    """The parts with the lowest hashes that together have at most ``quota`` bytes."""

    def __init__(self, quota: int) -> None:
        self._quota, self._limit, self._size = quota, 1 << 64, 0
        self._parts: list[Part] = []

    def add(self, text: bytes) -> None:
        document = text_hash(text)
        for start, data in cut_parts(text):
            key = xxhash.xxh3_64_intdigest(data, seed=start + 1)
            if key < self._limit:
                self._parts.append(Part(key, document, start, data))
                self._size += len(data)
        if self._size > _SLACK * self._quota:
            self._drop()

    def _drop(self) -> None:
        self._parts.sort(key=lambda part: (part.key, part.document))
        ends = np.cumsum([len(part.data) for part in self._parts])
        kept = int(np.searchsorted(ends, self._quota, side="right"))
        if kept < len(self._parts):
            self._limit = self._parts[kept].key
            del self._parts[kept:]
        self._size = int(ends[kept - 1]) if kept else 0

    def finish(self) -> list[Part]:
        self._drop()
        return self._parts


def cut_parts(text: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (start, part) of a text, cut behind line ends or spaces where parts have any."""
    start = 0
    while len(text) - start > PART_BYTES:
        end = start + PART_BYTES
        low = start + PART_BYTES // 2
        cut = text.rfind(b"\n", low, end)
        if cut < 0:
            cut = text.rfind(b" ", low, end)
        if cut < 0:
            cut = end - 1
            while text[cut + 1] & 0xC0 == 0x80:
                cut -= 1
        yield start, text[start : cut + 1]
        start = cut + 1
    yield start, text[start:]
