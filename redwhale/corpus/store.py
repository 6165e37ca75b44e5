"""What the first pass leaves for the later ones, on disk: cleaned chunks, and numbers of each document that stays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from redwhale.core.publish import make_folder
from redwhale.corpus.texts import Texts

# One row a record, in the order of reading; ``reason`` is null where it stays. ``bytes_in`` is what was read of
# it; ``markup``, ``normalized``, ``lines``, ``masked`` and ``cut`` are the bytes that steps took (below 0: added).
CHUNK_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("url", pa.string()),
        ("licence", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("bytes_in", pa.int64()),
        ("markup", pa.int32()),
        ("normalized", pa.int32()),
        ("lines", pa.int32()),
        ("masked", pa.int32()),
        ("cut", pa.int32()),
    ]
)
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True)
class StoredChunk:
    """Where a cleaned chunk lies, its number of rows, and the numbers [first, first + documents) of those that stay."""

    path: Path
    offset: int
    size: int
    rows: int
    first: int
    documents: int

    def read(self, columns: Sequence[str] = tuple(CHUNK_SCHEMA.names)) -> pa.RecordBatch:
        """Return its rows."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        fields = [CHUNK_SCHEMA.get_field_index(name) for name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=fields)
        with pa.ipc.open_stream(data, options=options) as stream:
            return stream.read_next_batch().select(list(columns))

    def texts(self, chosen: np.ndarray) -> Texts:
        """Return the texts of those documents that ``chosen``, (documents,) bool, names."""
        batch = self.read(("text", "reason"))
        stays = np.flatnonzero(batch.column(1).is_null().to_numpy(zero_copy_only=False))
        texts = batch.column(0).take(pa.array(stays[chosen]))
        return Texts.of_bytes(texts.cast(pa.binary()).to_pylist())


def serialized(batch: pa.RecordBatch) -> bytes:
    """Return a chunk's rows as an Arrow stream of one batch."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, CHUNK_SCHEMA, options=_OPTIONS) as writer:
        writer.write_batch(batch)
    result: bytes = sink.getvalue().to_pybytes()
    return result


class Store:
    """Where the chunks of all parts lie, and numbers of each document in files of the scratch folder.

    Parts come in canonical order. Documents that stay are numbered from 0 across all sources; ``column`` gives
    back what was added about each of them, as a view of a file: nothing per document is held in memory.
    """

    def __init__(self, folder: Path, sources: int) -> None:
        self.folder = folder
        make_folder(self.folder)
        self.chunks: list[list[StoredChunk]] = [[] for _ in range(sources)]
        self.documents = 0
        self._stack = ExitStack()
        self._files: dict[str, BinaryIO] = {}
        self._shapes: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}
        self._id_bytes = 0

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _open(self, name: str) -> BinaryIO:
        return self._stack.enter_context((self.folder / name).open("wb"))

    def add(
        self, source: int, rows: Path, chunks: Iterable[tuple[int, int, int, int]], *,
        ids: tuple[np.ndarray, np.ndarray], columns: Mapping[str, np.ndarray],
    ) -> None:  # fmt: skip
        """Append a part: ``rows`` holds its ``chunks``, each by offset, size, rows and those of them that stay.

        ``ids``: end to end, uint8, and where each ends, (n,) int64; ``columns``: (n, …).
        """
        for offset, size, row_count, documents in chunks:
            self.chunks[source].append(StoredChunk(rows, offset, size, row_count, self.documents, documents))
            self.documents += documents
        words, ends = ids
        self._append("ids", words)
        self._append("id_ends", ends.astype(np.uint64) + np.uint64(self._id_bytes))
        self._id_bytes += len(words)
        for name, values in columns.items():
            self._append(name, values)

    def _append(self, name: str, values: np.ndarray) -> None:
        shape = (values.dtype, values.shape[1:])
        if name not in self._files:
            self._files[name] = self._open(name)
            self._shapes[name] = shape
        assert self._shapes[name] == shape, f"column {name}: {shape} after {self._shapes[name]}"
        self._files[name].write(np.ascontiguousarray(values).tobytes())

    def flush(self) -> None:
        """Bring what was added so far to the files, so that it can be read."""
        for file in self._files.values():
            file.flush()

    def path(self, name: str) -> Path:
        """Return the file of a column."""
        return self.folder / name

    def column(self, name: str) -> np.ndarray:
        """Return a column of all documents as a read-only view of its file."""
        dtype, shape = self._shapes[name]
        if not self.path(name).stat().st_size:
            return np.empty((0, *shape), dtype)
        flat = np.memmap(self.path(name), dtype=dtype, mode="r")
        return flat.reshape(-1, *shape)

    def documents_of(self, source: int) -> int:
        """Return how many documents of a source stay."""
        return sum(chunk.documents for chunk in self.chunks[source])

    def span(self, source: int) -> tuple[int, int]:
        """Return the numbers [first, last) of a source's documents."""
        chunks = self.chunks[source]
        return (chunks[0].first, chunks[-1].first + chunks[-1].documents) if chunks else (0, 0)

    def texts(self, numbers: np.ndarray) -> Iterator[tuple[int, bytes]]:
        """Yield (number, text) of documents by ascending number, reading each chunk at most once."""
        start = 0
        for chunk in (chunk for chunks in self.chunks for chunk in chunks):
            stop = start + int(np.searchsorted(numbers[start:], chunk.first + chunk.documents))
            if stop > start:
                batch = chunk.read(("text", "reason"))
                stays = np.flatnonzero(batch.column(1).is_null().to_numpy(zero_copy_only=False))
                texts = batch.column(0).cast(pa.binary())
                for number in numbers[start:stop].tolist():
                    yield number, texts[int(stays[number - chunk.first])].as_py()
            start = stop


def read_ids(folder: Path, numbers: np.ndarray) -> list[str]:
    """Return the ids of documents, given the folder of a flushed store."""
    if not len(numbers):
        return []
    ends = np.memmap(folder / "id_ends", dtype=np.uint64, mode="r")
    with (folder / "ids").open("rb") as file:
        spans = [(int(ends[number - 1]) if number else 0, int(ends[number])) for number in numbers.tolist()]
        return [_read_id(file, start, end) for start, end in spans]


def _read_id(file: BinaryIO, start: int, end: int) -> str:
    file.seek(start)
    return file.read(end - start).decode()
