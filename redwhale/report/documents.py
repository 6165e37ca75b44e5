"""What is read of the corpus's own files, a bounded part of each: lengths of documents, examples of rejected ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from redwhale.corpus.reader import CorpusSource
from redwhale.report.reading import evenly, excerpt

EDGES = tuple(round(10 ** (place / 5)) for place in range(36))
"""Borders of the bins of lengths in characters, five to a factor of ten."""
_FILES, _FILE_ROWS = 8, 4000
_REJECT_ROWS, _BATCH = 100_000, 1000
_EXAMPLES, _EXAMPLE_CHARACTERS = 3, 160
_REJECT_COLUMNS = ["id", "source", "file", "row", "reason", "detail", "text"]


def lengths(sources: Sequence[CorpusSource]) -> dict[str, Any]:
    """Return shares of training documents by language and length, and how many of them were read.

    Of each source the beginnings of some files are read, evenly spaced; a source weighs as many documents as it has.
    ``edges``: (bins + 1,) characters; ``shares``: language → (bins,) summing to 1.
    """
    counts: dict[str, np.ndarray] = {}
    read = 0
    for source in sources:
        found = np.zeros(len(EDGES) - 1)
        for path in evenly(source.train_files, _FILES):
            found += np.histogram(_lengths_of(path), EDGES)[0]
        if taken := int(found.sum()):
            read += taken
            weighed = counts.setdefault(source.language, np.zeros(len(EDGES) - 1))
            weighed += found * (source.documents / taken)
    filled = np.flatnonzero(sum(counts.values(), np.zeros(len(EDGES) - 1)))
    first, last = (int(filled[0]), int(filled[-1]) + 1) if len(filled) else (0, 0)
    return {
        "read": read, "documents": sum(source.documents for source in sources),
        "edges": list(EDGES[first : last + 1]),
        "shares": {language: (own / own.sum())[first:last].tolist() for language, own in counts.items()},
    }  # fmt: skip


def _lengths_of(path: Path) -> np.ndarray:
    """Return the lengths in characters of a file's first documents."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found: list[np.ndarray] = []
    with pq.ParquetFile(path) as parquet:
        for batch in parquet.iter_batches(batch_size=_BATCH, columns=["text"]):
            found.append(pc.utf8_length(batch.column(0)).to_numpy(zero_copy_only=False))
            if sum(map(len, found)) >= _FILE_ROWS:
                break
    return np.clip(np.concatenate(found or [np.zeros(0)]), 1, EDGES[-1])


def rejected_examples(files: Sequence[Path], reasons: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return a few rejected records of every reason, in the order of ``reasons``, their texts shortened."""
    found: dict[str, list[dict[str, Any]]] = {reason: [] for reason in reasons}
    left = sum(_EXAMPLES for _ in found)
    for record in _records(files):
        own = found.get(record["reason"])
        if own is None or len(own) == _EXAMPLES:
            continue
        text, detail = (excerpt(record[name] or "", characters=_EXAMPLE_CHARACTERS) for name in ("text", "detail"))
        own.append({**record, "text": text, "detail": detail})
        left -= 1
        if not left:
            break
    return {reason: own for reason, own in found.items() if own}


def _records(files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Yield rejected records, at most ``_REJECT_ROWS`` in all, shared out over the files."""
    import pyarrow.parquet as pq

    each = max(_BATCH, _REJECT_ROWS // max(len(files), 1))
    for path in evenly(files, _REJECT_ROWS // _BATCH):
        with pq.ParquetFile(path) as parquet:
            for number, batch in enumerate(parquet.iter_batches(batch_size=_BATCH, columns=_REJECT_COLUMNS), 1):
                yield from batch.to_pylist()
                if number * _BATCH >= each:
                    break
