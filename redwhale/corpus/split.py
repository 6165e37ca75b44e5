"""Choose the held-out documents of a source by a hash of their text."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from redwhale.core.recipe.sources import HeldOut
from redwhale.corpus.sampling import BLOCK_DOCUMENTS, first_excess

MIN_DOCUMENTS = 20


def held_out_mask(hashes: np.ndarray, held_out: HeldOut) -> np.ndarray:
    """Return which documents are held out: (n,) bool from (n,) uint64 hashes of their texts.

    A document is held out where its hash lies in the lowest ``fraction`` of the range, so adding documents
    moves no other one across, and equal texts always go together. At most ``at_most`` documents, those
    with the lowest hashes; at least one where the source has 20 documents or more and a fraction above 0.
    It is chosen before a source's `sample`, whose caps therefore never move a held-out text into training.
    """
    count = len(hashes)
    if not count or not held_out.fraction or not held_out.at_most:
        return np.zeros(count, dtype=bool)
    limit = np.uint64(min(int(held_out.fraction * 2.0**64), 2**64 - 1))

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, count, BLOCK_DOCUMENTS):
            low = hashes[start : start + BLOCK_DOCUMENTS]
            low = low[low <= limit]
            yield low, np.ones(len(low))

    chosen = hashes <= limit
    if np.count_nonzero(chosen) > held_out.at_most:
        chosen &= hashes < np.uint64(first_excess(blocks, held_out.at_most))
    if not chosen.any() and count >= MIN_DOCUMENTS:
        chosen = hashes == hashes.min()
    return np.asarray(chosen)
