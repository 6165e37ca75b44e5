"""Write rows as parquet shards whose bytes depend on nothing but the rows."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from redwhale.core.publish import atomic_file

DOCUMENT_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("source", pa.string()),
        ("language", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
    ]
)
REJECT_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("text", pa.string()),
    ]
)
_GROUP_ROWS = 1000
_GROUP_BYTES = 8 << 20


class ShardWriter:
    """Parquet shards ``<name>-00000.parquet`` of at most ``shard_bytes`` of text each (a longer text has its own).

    Row groups end after 1,000 rows or 8 MiB of text; every shard is published atomically. No rows, no file.
    """

    def __init__(self, folder: Path, name: str, schema: pa.Schema, *, shard_bytes: int) -> None:
        self.paths: list[Path] = []
        self.documents, self.characters, self.text_bytes = 0, 0, 0
        self._folder, self._name, self._schema, self._limit = folder, name, schema, shard_bytes
        self._stack = ExitStack()
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[dict[str, object]] = []
        self._group_bytes, self._shard_bytes = 0, 0

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._end_shard()
        else:
            self._stack.__exit__(kind, error, trace)

    def add(self, row: dict[str, object]) -> None:
        """Append one row; its keys are the schema's names."""
        text = str(row["text"])
        size = len(text.encode())
        if self._shard_bytes and self._shard_bytes + size > self._limit:
            self._end_shard()
        self._rows.append(row)
        self.documents += 1
        self.characters += len(text)
        self.text_bytes += size
        self._shard_bytes += size
        self._group_bytes += size
        if len(self._rows) >= _GROUP_ROWS or self._group_bytes >= _GROUP_BYTES:
            self._end_group()

    def _end_group(self) -> None:
        if not self._rows:
            return
        if self._writer is None:
            path = self._folder / f"{self._name}-{len(self.paths):05d}.parquet"
            temporary = self._stack.enter_context(atomic_file(path))
            self._writer = self._stack.enter_context(pq.ParquetWriter(temporary, self._schema, compression="zstd"))
            self.paths.append(path)
        columns = [pa.array([row[field.name] for row in self._rows], field.type) for field in self._schema]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
        self._rows, self._group_bytes = [], 0

    def _end_shard(self) -> None:
        self._end_group()
        self._stack.close()
        self._writer, self._shard_bytes = None, 0
