"""What the first pass leaves for the second: cleaned chunks per source on disk, hashes and signatures of documents."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from redwhale.core.publish import TEMPORARY_PREFIX, make_folder
from redwhale.corpus.chunk import SCRATCH_SCHEMA, Cleaned, Tally

_SIGNATURES = "signatures.u32"


class Scratch:
    """Scratch files inside the artifact folder, gone at the end; their name makes them a leftover to clean.

    In memory stay 28 bytes a document; texts and signatures are on disk. Chunks come in canonical order.
    """

    def __init__(self, folder: Path, sources: Sequence[str], *, signature_values: int) -> None:
        self.folder = folder / f"{TEMPORARY_PREFIX}scratch"
        shutil.rmtree(self.folder, ignore_errors=True)
        make_folder(self.folder)
        self.values = signature_values
        self.tallies = [Tally() for _ in sources]
        self.kept = [0 for _ in sources]
        self._names = list(sources)
        self._exact: list[np.ndarray] = []
        self._split: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []
        self._stack = ExitStack()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        self._writers = [
            self._stack.enter_context(pa.ipc.new_stream(str(self._path(index)), SCRATCH_SCHEMA, options=options))
            for index in range(len(sources))
        ]
        self._signature_file = self._stack.enter_context((self.folder / _SIGNATURES).open("wb"))

    def __enter__(self) -> Scratch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, index: int) -> Path:
        return self.folder / f"{self._names[index]}.arrow"

    def add(self, cleaned: Cleaned) -> None:
        """Append one chunk."""
        source = cleaned.chunk.source
        self._writers[source].write_batch(cleaned.batch)
        self._signature_file.write(cleaned.signatures.tobytes())
        self._exact.append(cleaned.exact)
        self._split.append(cleaned.split)
        self._lengths.append(cleaned.lengths)
        self.tallies[source].add(cleaned.tally)
        self.kept[source] += len(cleaned.split)

    def finish(self) -> None:
        """Close the files; then the arrays and batches can be read."""
        self._stack.close()

    @property
    def exact(self) -> np.ndarray:
        """Return the content hashes of all documents: (n, 2) uint64."""
        return np.concatenate([np.empty((0, 2), np.uint64), *self._exact])

    @property
    def split(self) -> np.ndarray:
        """Return the hashes that decide the split: (n,) uint64."""
        return np.concatenate([np.empty(0, np.uint64), *self._split])

    @property
    def lengths(self) -> np.ndarray:
        """Return the lengths in characters: (n,) uint32."""
        return np.concatenate([np.empty(0, np.uint32), *self._lengths])

    @property
    def signatures(self) -> np.ndarray:
        """Return the signatures as a view of the file: (n, values) uint32."""
        count = sum(self.kept)
        if not count or not self.values:
            return np.empty((count, self.values), np.uint32)
        return np.memmap(self.folder / _SIGNATURES, dtype=np.uint32, mode="r", shape=(count, self.values))

    def batches(self, index: int, columns: Sequence[str] = tuple(SCRATCH_SCHEMA.names)) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a source in order."""
        with pa.OSFile(str(self._path(index))) as file, pa.ipc.open_stream(file) as stream:
            for batch in stream:
                yield batch.select(list(columns))
