"""MinHash signatures and band keys. Shingles leave white space out: Korean reposts differ in spacing."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit

from redwhale.core.recipe.deduplicate import NearDuplicates
from redwhale.corpus.dedup.white_space import space_width
from redwhale.corpus.texts import Texts

_BASE = np.uint64(0x9E3779B97F4A7C15)
_BLOCK = 512  # shingles whose hashes stay in the first-level cache while all functions go over them


def signatures(texts: Texts, near: NearDuplicates) -> np.ndarray:
    """Return the MinHash signature of each text: (n, bands * rows) uint32.

    Value i is the smallest a_i * h + b_i mod 2^32 over the mixed 32-bit shingle hashes h, with a_i odd, all
    fixed: two texts agree in a value with their Jaccard similarity as probability. A text shorter than a
    shingle is one.
    """
    values = near.bands * near.rows
    out = np.empty((len(texts), values), dtype=np.uint32)
    longest = int(texts.sizes.max(initial=0))
    units = np.empty(longest + 1, dtype=np.uint64)
    factors, summands = _functions(values)
    eojeols = near.shingles == "eojeols"
    _sign(texts.data, texts.offsets, units, eojeols, near.size, factors, summands, out)
    return out


def band_keys(values: np.ndarray, near: NearDuplicates) -> np.ndarray:
    """Return a 64-bit key of each band of signatures: (n, bands) uint64 from (n, bands * rows) uint32."""
    out = np.empty((len(values), near.bands), dtype=np.uint64)
    _band_keys(values, out)
    return out


def shingle_sets(texts: Texts, near: NearDuplicates) -> list[np.ndarray]:
    """Return the different shingle hashes of each text, ascending: arrays of uint32."""
    units = np.empty(int(texts.sizes.max(initial=0)) + 1, dtype=np.uint64)
    hashes = np.empty(len(units), dtype=np.uint32)
    sets = []
    for start, end in zip(texts.offsets[:-1].tolist(), texts.offsets[1:].tolist(), strict=True):
        count = _shingles(texts.data, start, end, units, near.shingles == "eojeols", near.size, hashes)
        ordered = np.sort(hashes[:count])
        different = np.ones(count, dtype=bool)
        np.not_equal(ordered[1:], ordered[:-1], out=different[1:])
        sets.append(ordered[different])
    return sets


@cache
def _functions(values: int) -> tuple[np.ndarray, np.ndarray]:
    """Return fixed odd factors and summands, (values,) uint32 each, the outputs of splitmix64."""
    counters = np.arange(1, values + 1, dtype=np.uint64) * _BASE
    mixed = np.array([_mix(counter) for counter in counters], dtype=np.uint64)
    return (mixed >> np.uint64(32)).astype(np.uint32) | np.uint32(1), mixed.astype(np.uint32)


@njit(cache=True, nogil=True)
def _mix(value: np.uint64) -> np.uint64:
    """Scramble a 64-bit hash (the finaliser of splitmix64)."""
    value ^= value >> np.uint64(30)
    value *= np.uint64(0xBF58476D1CE4E5B9)
    value ^= value >> np.uint64(27)
    value *= np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(cache=True, nogil=True)
def _units(data: np.ndarray, start: int, end: int, units: np.ndarray, eojeols: bool) -> int:
    """Write one number per character that is not white space, or per eojeol; return how many."""
    count, at, inside = 0, start, False
    while at < end:
        width = space_width(data, at)
        if width:
            at += width
            inside = False
            continue
        byte = np.uint64(data[at])
        at += 1
        if eojeols:
            if not inside:
                units[count] = 0
                count += 1
            units[count - 1] = (units[count - 1] ^ (byte + np.uint64(1))) * np.uint64(0x100000001B3)  # FNV-1a
            inside = True
        elif byte & np.uint64(0xC0) != np.uint64(0x80):
            units[count] = byte
            count += 1
        else:
            units[count - 1] = (units[count - 1] << np.uint64(8)) | byte
    return count


@njit(cache=True, nogil=True)
def _roll(units: np.ndarray, first: int, size: int, out: np.ndarray) -> None:
    """Write the hashes of the shingles that begin at ``first`` and after, as many as ``out`` takes."""
    base = np.uint64(0x9E3779B97F4A7C15)
    power, rolled = np.uint64(1), np.uint64(0)
    for place in range(size):
        power *= base
        rolled = rolled * base + units[first + place]
    out[0] = np.uint32(_mix(rolled) >> np.uint64(32))
    for index in range(1, len(out)):
        place = first + index
        rolled = rolled * base + units[place + size - 1] - units[place - 1] * power
        out[index] = np.uint32(_mix(rolled) >> np.uint64(32))


@njit(cache=True, nogil=True)
def _shingles(
    data: np.ndarray, start: int, end: int, units: np.ndarray, eojeols: bool, size: int, out: np.ndarray
) -> int:
    """Write the hashes of all shingles of one text in order; return how many."""
    found = _units(data, start, end, units, eojeols)
    width = min(size, found)
    count = found - width + 1
    _roll(units, 0, width, out[:count])
    return count


@njit(cache=True, nogil=True)
def _sign(
    data: np.ndarray,
    offsets: np.ndarray,
    units: np.ndarray,
    eojeols: bool,
    size: int,
    factors: np.ndarray,
    summands: np.ndarray,
    out: np.ndarray,
) -> None:
    hashes = np.empty(_BLOCK, dtype=np.uint32)
    for text in range(len(offsets) - 1):
        found = _units(data, offsets[text], offsets[text + 1], units, eojeols)
        width = min(size, found)
        count = found - width + 1
        out[text] = np.uint32(0xFFFFFFFF)
        for first in range(0, count, _BLOCK):
            block = hashes[: min(_BLOCK, count - first)]
            _roll(units, first, width, block)
            _lower(block, factors, summands, out[text])


@njit(cache=True, nogil=True)
def _lower(hashes: np.ndarray, factors: np.ndarray, summands: np.ndarray, smallest: np.ndarray) -> None:
    """Lower each value of a signature to the least its function has on ``hashes``; the inner loop is SIMD."""
    for value in range(len(smallest)):
        factor, summand, least = factors[value], summands[value], smallest[value]
        for index in range(len(hashes)):
            least = min(least, np.uint32(factor * hashes[index] + summand))
        smallest[value] = least


@njit(cache=True, nogil=True)
def _band_keys(values: np.ndarray, out: np.ndarray) -> None:
    base = np.uint64(0x9E3779B97F4A7C15)
    rows = values.shape[1] // out.shape[1]
    for text in range(out.shape[0]):
        for band in range(out.shape[1]):
            key = np.uint64(0)
            for row in range(band * rows, (band + 1) * rows):
                key = key * base + np.uint64(values[text, row]) + np.uint64(1)
            out[text, band] = _mix(key)
