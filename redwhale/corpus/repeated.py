"""Take out, while writing, the lines that are repeated: headers and footers of a source, and lines seen before."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from redwhale.core.recipe.deduplicate import LineDuplicates
from redwhale.corpus.clean.edges import remove_edge_lines
from redwhale.corpus.dedup.lines import remove_lines, repeated_units
from redwhale.corpus.fates import HELD_OUT, REPEATED_LINES, TRAIN
from redwhale.corpus.texts import Texts


@dataclass(frozen=True)
class Repeated:
    """What is repeated in one source.

    ``edges_file``: hashes of its headers and footers, uint64, rising; ``lines``: what units across the corpus are,
    None where they stay, their files in ``scratch``; a document left with fewer than ``min_chars`` goes.
    """

    scratch: Path
    edges_file: Path
    lines: LineDuplicates | None
    min_chars: int

    @cached_property
    def edges(self) -> np.ndarray:
        """Return the hashes of headers and footers, (h,) uint64."""
        return np.fromfile(self.edges_file, np.uint64)

    def removed_from(
        self, batch: pa.RecordBatch, places: np.ndarray, first: int, *, fates: np.ndarray, removed: np.ndarray
    ) -> pa.RecordBatch:
        """Return rows without repeated lines in the documents at ``places``, which are numbered from ``first``.

        Writes the bytes taken to ``removed`` (rows,), and to ``fates`` which documents are left with too little.
        """
        if not len(self.edges) and self.lines is None:
            return batch
        rows = batch.column("text").take(pa.array(places))
        before = Texts.of_bytes(rows.cast(pa.binary()).to_pylist())
        texts = before
        if self.lines is not None:
            texts = remove_lines(texts, repeated_units(self.scratch, first, len(places)), self.lines)
        if len(self.edges):
            texts = remove_edge_lines(texts, self.edges)
        taken = before.sizes - texts.sizes
        stays = (fates[places] == TRAIN) | (fates[places] == HELD_OUT)
        changed = np.flatnonzero((taken > 0) & stays)
        if not len(changed):
            return batch
        column = batch.column("text").to_pylist()
        for index in changed.tolist():
            text = texts.string(index)
            if len(text) < self.min_chars:
                fates[places[index]] = REPEATED_LINES
                continue
            column[places[index]] = text
            removed[places[index]] = taken[index]
        return batch.set_column(batch.schema.get_field_index("text"), "text", pa.array(column, pa.string()))
