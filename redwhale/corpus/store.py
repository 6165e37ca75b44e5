"""What the first pass leaves for the later ones, on disk: cleaned chunks, and numbers of each document that stays."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from redwhale.core.publish import TEMPORARY_PREFIX, make_folder
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
    """Scratch files inside the artifact's folder, gone at the end; their name makes them a leftover to clean.

    Chunks come in canonical order. Documents that stay are numbered from 0 across all sources; ``column`` gives
    back what was added about each of them, as a view of a file: nothing per document is held in memory.
    """

    def __init__(self, folder: Path, sources: Sequence[str]) -> None:
        self.folder = folder / f"{TEMPORARY_PREFIX}scratch"
        shutil.rmtree(self.folder, ignore_errors=True)
        make_folder(self.folder)
        self.chunks: list[list[StoredChunk]] = [[] for _ in sources]
        self.documents = 0
        self._stack = ExitStack()
        self._chunk_files = [self._open(f"{name}.chunks") for name in sources]
        self._files: dict[str, BinaryIO] = {}
        self._shapes: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}
        self._id_bytes = 0

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _open(self, name: str) -> BinaryIO:
        return self._stack.enter_context((self.folder / name).open("wb"))

    def add(
        self, source: int, rows: bytes, *, row_count: int, ids: Sequence[str], columns: Mapping[str, np.ndarray]
    ) -> None:
        """Append one chunk: its rows as ``serialized`` gives them; ids and columns, (n, …), of those that stay."""
        file = self._chunk_files[source]
        path = Path(file.name)
        self.chunks[source].append(StoredChunk(path, file.tell(), len(rows), row_count, self.documents, len(ids)))
        file.write(rows)
        encoded = [identifier.encode() for identifier in ids]
        ends = self._id_bytes + np.cumsum([len(part) for part in encoded], dtype=np.uint64)
        self._id_bytes += sum(map(len, encoded))
        self._append("ids", np.frombuffer(b"".join(encoded), dtype=np.uint8))
        self._append("id_ends", ends.astype(np.uint64))
        for name, values in columns.items():
            self._append(name, values)
        self.documents += len(ids)

    def _append(self, name: str, values: np.ndarray) -> None:
        shape = (values.dtype, values.shape[1:])
        if name not in self._files:
            self._files[name] = self._open(name)
            self._shapes[name] = shape
        assert self._shapes[name] == shape, f"column {name}: {shape} after {self._shapes[name]}"
        self._files[name].write(np.ascontiguousarray(values).tobytes())

    def flush(self) -> None:
        """Bring what was added so far to the files, so that it can be read."""
        for file in [*self._chunk_files, *self._files.values()]:
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
