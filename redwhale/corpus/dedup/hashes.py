"""Hashes of whole texts: by content without white space, and for the held-out split."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import xxhash

from redwhale.corpus.dedup.white_space import squeeze
from redwhale.corpus.texts import Texts

_MASK = (1 << 64) - 1


def without_space(texts: Texts) -> Texts:
    """Return the texts without any white space."""
    data = np.empty(len(texts.data), dtype=np.uint8)
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    squeeze(texts.data, texts.offsets, data, offsets)
    return Texts(data[: offsets[-1]], offsets)


def content_hashes(texts: Texts) -> np.ndarray:
    """Return the 128-bit xxHash of each text without white space: (n, 2) uint64, upper half first."""
    values = [xxhash.xxh3_128_digest(view) for view in _views(without_space(texts))]
    halves = np.frombuffer(b"".join(values), dtype=">u8")
    return halves.astype(np.uint64).reshape(-1, 2)


def split_hashes(texts: Texts, seed: int) -> np.ndarray:
    """Return the 64-bit xxHash of (seed, text) that decides which texts are held out: (n,) uint64."""
    values = [xxhash.xxh3_64_intdigest(view, seed=seed & _MASK) for view in _views(texts)]
    return np.array(values, dtype=np.uint64)


def _views(texts: Texts) -> Iterator[memoryview]:
    view, bounds = texts.data.data, texts.offsets.tolist()
    return (view[start:end] for start, end in pairwise(bounds))
