"""What becomes of a document that passed the filters, and how a reject's reason and detail read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from redwhale.corpus.dedup.clusters import EXACT, INDEXED, KEPT, NEAR, URL
from redwhale.corpus.store import read_ids

TRAIN = KEPT
PERPLEXITY_LOW, PERPLEXITY_HIGH, HELD_OUT, HELD_OUT_SURPLUS, SAMPLED_OUT, REPEATED_LINES = range(8, 14)
REASONS = {
    EXACT: "exact_duplicate",
    URL: "url_duplicate",
    NEAR: "near_duplicate",
    EXACT + INDEXED: "exact_duplicate",
    URL + INDEXED: "url_duplicate",
    NEAR + INDEXED: "near_duplicate",
    PERPLEXITY_LOW: "perplexity_low",
    PERPLEXITY_HIGH: "perplexity_high",
    HELD_OUT_SURPLUS: "held_out_surplus",
    SAMPLED_OUT: "sampled_out",
    REPEATED_LINES: "repeated_lines",
}
_WORDS = {
    HELD_OUT_SURPLUS: "beyond held_out.at_most of a source that is held out as a whole",
    SAMPLED_OUT: "not chosen by the source's `sample`",
    REPEATED_LINES: "too little is left without lines that other documents have as well",
}
FATES, SURVIVORS, SCORES, CLUSTER_SIZES = "fates.u8", "survivors.u32", "perplexity.f32", "cluster-sizes.u32"
_TYPES: dict[str, type[np.generic]] = {
    FATES: np.uint8, SURVIVORS: np.uint32, SCORES: np.float32, CLUSTER_SIZES: np.uint32,
}  # fmt: skip


@dataclass(frozen=True)
class Details:
    """What the details of rejects are made of: files of ``scratch``, and facts of the source at hand.

    ``names`` and ``starts`` (number of the first document) are of all sources; ``indices`` names the indices
    compared with; ``limits`` are the lowest and highest perplexity kept, None where
    there is no bound.
    """

    scratch: Path
    names: tuple[str, ...]
    starts: tuple[int, ...]
    indices: tuple[str, ...] = ()
    limits: tuple[float | None, float | None] = (None, None)

    def column(self, name: str, first: int, count: int) -> np.ndarray:
        """Return what a file says of documents from ``first``, (count,); perplexities are nan where none were made."""
        if name == SCORES and not (self.scratch / SCORES).is_file():
            return np.full(count, np.nan, dtype=np.float32)
        return np.memmap(self.scratch / name, dtype=_TYPES[name], mode="r")[first : first + count]

    def of(self, fates: np.ndarray, first: int) -> list[str]:
        """Return the details of documents numbered from ``first``, given their fates; empty for those that stay."""
        details = [_WORDS.get(fate, "") for fate in fates.tolist()]
        copies = np.flatnonzero((fates > TRAIN) & (fates < PERPLEXITY_LOW))
        if len(copies):
            survivors = self.column(SURVIVORS, first, len(fates))[copies]
            indexed = fates[copies] > INDEXED
            ids = iter(read_ids(self.scratch, survivors[~indexed]))
            owners = np.searchsorted(self.starts, survivors, side="right") - 1
            for place, survivor, owner in zip(copies.tolist(), survivors.tolist(), owners.tolist(), strict=True):
                if fates[place] > INDEXED:
                    details[place] = f"of index {self.indices[survivor]}"
                else:
                    details[place] = f"of {self.names[owner]}/{next(ids)}"
        unlikely = np.flatnonzero((fates == PERPLEXITY_LOW) | (fates == PERPLEXITY_HIGH))
        if len(unlikely):
            scores = self.column(SCORES, first, len(fates))[unlikely]
            for place, score in zip(unlikely.tolist(), scores.tolist(), strict=True):
                low = fates[place] == PERPLEXITY_LOW
                details[place] = f"{score:.3f}, {'lowest' if low else 'highest'} {self.limits[0 if low else 1]:.3f}"
        return details


def starts_of(spans: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Return the number of the first document of each source; an empty source starts where the next one does."""
    starts: list[int] = []
    following = max((last for _, last in spans), default=0)
    for first, last in reversed(spans):
        following = first if last > first else following
        starts.insert(0, following)
    return tuple(starts)
