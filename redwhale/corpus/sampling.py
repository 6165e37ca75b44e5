"""Choose documents at random by hashes of their text: the choice never depends on their order or number of workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from redwhale.core.recipe.sampling import Sample, Strata

Blocks = Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]
"""Gives keys (n,) uint64 and weights (n,) of one block of documents after the other, each time it is called."""

BLOCK_DOCUMENTS = 1 << 18
_DIGIT = 16
_SALT = np.uint64(0x5851F42D4C957F2D)


def sample_mask(
    hashes: np.ndarray,
    sizes: np.ndarray,
    sample: Sample,
    *,
    scores: np.ndarray | None = None,
    eligible: np.ndarray | None = None,
) -> np.ndarray:
    """Return which documents of a source stay: (n,) bool.

    ``hashes``: (n,) uint64 of the texts; ``sizes``: (n,) bytes; ``scores``: (n,) float32, needed for strata, NaN where
    there is none; ``eligible``: (n,) bool, the only documents that count. All may be memory maps.

    Each document draws a number below 1 from its hash and divides it by its share. Those below 1 stay, the lowest
    first, as long as they fit both caps (sequential Poisson sampling, Ohlsson 1998). So a cap takes from all strata in
    proportion, is never exceeded, and raising a cap or `fraction` only adds documents. Equal texts go together.
    """
    shares = np.full(1, sample.fraction)
    edges = None
    if sample.strata is not None:
        if scores is None:
            raise ValueError("strata need scores")
        edges = _edges(scores, eligible, len(sample.strata.shares))
        shares = sample.fraction * _shares(sample.strata)

    def draws() -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, len(hashes), BLOCK_DOCUMENTS):
            part = slice(start, start + BLOCK_DOCUMENTS)
            own = shares if scores is None or edges is None else shares[_strata(scores[part], edges)]
            yield part, _draws(hashes[part], own, None if eligible is None else eligible[part])

    def blocks(weights: np.ndarray | None) -> Blocks:
        def block() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for part, draw in draws():
                inside = draw < 1
                sized = np.ones(len(draw)) if weights is None else weights[part]
                yield draw[inside].view(np.uint64), sized[inside]

        return block

    # Floats from 0 on are ordered as their bits are.
    bound = int(np.float64(1).view(np.uint64))
    for limit, weights in ((sample.at_most.documents, None), (sample.at_most.bytes, sizes)):
        if limit is not None:
            bound = min(bound, first_excess(blocks(weights), limit))
    keep = np.zeros(len(hashes), dtype=bool)
    for part, draw in draws():
        keep[part] = draw.view(np.uint64) < np.uint64(bound)
    return keep


def first_excess(blocks: Blocks, limit: int) -> int:
    """Return the lowest key at which the summed weights up to it exceed ``limit``; 2^64 - 1 where they do not.

    Selection by 16-bit digits: four passes, and 1 MiB of memory whatever the number of keys. Sums are exact below 2^53.
    """
    prefix, room = 0, limit
    for shift in range(64 - _DIGIT, -1, -_DIGIT):
        sums = np.zeros(1 << _DIGIT)
        for keys, weights in blocks():
            if shift + _DIGIT < 64:
                inside = keys >> np.uint64(shift + _DIGIT) == np.uint64(prefix)
                keys, weights = keys[inside], weights[inside]
            digits = (keys >> np.uint64(shift)) & np.uint64((1 << _DIGIT) - 1)
            sums += np.bincount(digits.astype(np.intp), weights, minlength=1 << _DIGIT)
        total = np.cumsum(sums)
        digit = int(np.searchsorted(total, room, side="right"))
        if digit == 1 << _DIGIT:
            return (1 << 64) - 1
        room -= int(total[digit - 1]) if digit else 0
        prefix = prefix << _DIGIT | digit
    return prefix


def _draws(hashes: np.ndarray, shares: np.ndarray, eligible: np.ndarray | None) -> np.ndarray:
    """Return uniform numbers over shares, (n,) or (1,): (n,) float64, infinite for what cannot stay.

    Hashes are mixed once more (splitmix64), since their lowest ones were held out.
    """
    mixed = hashes ^ _SALT
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    uniform = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    possible = shares > 0 if eligible is None else (shares > 0) & eligible
    return np.divide(uniform, shares, out=np.full(len(uniform), np.inf), where=possible)


def _shares(strata: Strata) -> np.ndarray:
    """Return the share of each stratum and, last, of documents without a score: the mean."""
    return np.array([*strata.shares, np.mean(strata.shares)])


def _edges(scores: np.ndarray, eligible: np.ndarray | None, count: int) -> np.ndarray:
    """Return the lowest score of each stratum but the first: (count - 1,) float32."""
    known = np.array(scores if eligible is None else scores[eligible], dtype=np.float32)
    count_known = len(known) - int(np.count_nonzero(np.isnan(known)))
    if not count_known:
        return np.full(count - 1, np.inf, dtype=np.float32)
    ranks = np.arange(1, count) * count_known // count
    known.partition(ranks)  # NaN goes last
    return known[ranks]


def _strata(scores: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the stratum of each document: equal scores share one, NaN comes after the last."""
    found = np.searchsorted(edges, scores, side="right")
    return np.where(np.isnan(scores), len(edges) + 1, found)
