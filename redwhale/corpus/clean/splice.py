"""Exchange spans of a buffer of texts for other bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from redwhale.corpus.texts import Texts


def splice(texts: Texts, spans: Sequence[tuple[int, int]], replacements: Sequence[bytes]) -> Texts:
    """Return texts with each span of ``data``, given by start and end, replaced.

    Spans are in order, apart from each other, and each within one text.
    """
    if not spans:
        return texts
    raw = texts.data.tobytes()
    parts, kept = [], 0
    for (start, stop), replacement in zip(spans, replacements, strict=True):
        parts += [raw[kept:start], replacement]
        kept = stop
    parts.append(raw[kept:])
    starts = np.array([start for start, _ in spans], dtype=np.int64)
    stops = np.array([stop for _, stop in spans], dtype=np.int64)
    growth = np.fromiter(map(len, replacements), dtype=np.int64, count=len(spans)) - (stops - starts)
    grown = np.zeros(len(texts) + 1, dtype=np.int64)
    np.add.at(grown, np.searchsorted(texts.offsets, starts, side="right"), growth)
    return Texts(np.frombuffer(b"".join(parts), dtype=np.uint8), texts.offsets + np.cumsum(grown))


def sealed(data: np.ndarray, offsets: np.ndarray) -> Texts:
    """Return texts over arrays that are written to no more: kernels are compiled once, for such arrays."""
    data.flags.writeable = False
    return Texts(data, offsets)
