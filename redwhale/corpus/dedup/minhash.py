"""MinHash signatures over character shingles without white space: Korean reposts differ in spacing."""

from __future__ import annotations

from functools import cache

import numpy as np
import xxhash

_BASE = np.uint64(0x9E3779B97F4A7C15)
_BLOCK = 1024
_MASK = (1 << 64) - 1


def without_space(text: str) -> str:
    """Return ``text`` without any white space."""
    return "".join(text.split())


def content_hash(stripped: str) -> tuple[int, int]:
    """Return the 128-bit xxHash of a text without white space as two 64-bit halves."""
    value = xxhash.xxh3_128_intdigest(stripped.encode())
    return value >> 64, value & _MASK


def split_hash(text: str, seed: int) -> int:
    """Return the 64-bit hash of (seed, text) that decides which documents are held out."""
    return xxhash.xxh3_64_intdigest(text.encode(), seed=seed & _MASK)


def signature(stripped: str, *, shingle_chars: int, values: int) -> np.ndarray:
    """Return the MinHash signature of a text without white space: (values,) uint32.

    Value i is the upper half of the smallest a_i * h mod 2^64 over the shingle hashes h, with a_i odd and
    fixed: multiply-shift hashing on hashes that are already mixed. A text shorter than a shingle is one.
    """
    hashes = shingle_hashes(stripped, shingle_chars)
    factors = _factors(values)[:, None]
    smallest = np.full(values, np.iinfo(np.uint64).max, dtype=np.uint64)
    for start in range(0, len(hashes), _BLOCK):
        block = factors * hashes[None, start : start + _BLOCK]
        np.minimum(smallest, block.min(axis=1), out=smallest)
    return (smallest >> np.uint64(32)).astype(np.uint32)


def shingle_hashes(stripped: str, shingle_chars: int) -> np.ndarray:
    """Return the hash of each run of ``shingle_chars`` characters: (n,) uint64."""
    codes = np.frombuffer(stripped.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    width = min(shingle_chars, len(codes))
    count = len(codes) - width + 1
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(width):
        hashes *= _BASE
        hashes += codes[offset : offset + count]
    return _mix(hashes)


def _mix(hashes: np.ndarray) -> np.ndarray:
    """Scramble 64-bit hashes in place (the finaliser of splitmix64)."""
    hashes ^= hashes >> np.uint64(30)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)
    hashes ^= hashes >> np.uint64(27)
    hashes *= np.uint64(0x94D049BB133111EB)
    hashes ^= hashes >> np.uint64(31)
    return hashes


@cache
def _factors(values: int) -> np.ndarray:
    """Return ``values`` fixed odd multipliers, the outputs of splitmix64."""
    counters = np.arange(1, values + 1, dtype=np.uint64) * _BASE
    return _mix(counters) | np.uint64(1)


def band_keys(columns: np.ndarray) -> np.ndarray:
    """Return one 64-bit key per document for the rows of one band: (n, rows) uint32 to (n,) uint64."""
    keys = np.zeros(len(columns), dtype=np.uint64)
    for row in range(columns.shape[1]):
        keys *= _BASE
        keys += columns[:, row].astype(np.uint64) + np.uint64(1)
    return _mix(keys)
