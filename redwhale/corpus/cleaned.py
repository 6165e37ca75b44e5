"""One part of the sources cleaned into files: what a worker of the first pass does, and what is read back of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from redwhale.core.publish import atomic_file, write_bytes
from redwhale.corpus.arrays import map_arrays, write_arrays
from redwhale.corpus.chunk import Cleaned, Treatment, clean_chunk
from redwhale.corpus.parts import Part
from redwhale.corpus.read.collect import Seen
from redwhale.corpus.tally import Tally

_IDS, _ID_ENDS, _LINES = "ids", "id_ends", ("line_hashes", "line_counts")
_KEYS, _COLUMNS = "keys.", "columns."


@dataclass(frozen=True)
class CleanShard:
    """A part to be cleaned into ``path`` with three endings: rows, numbers of each document, and what was counted.

    ``limit``: the longest record in bytes; ``records``: about so many and no more, for a trial.
    """

    part: Part
    treatment: Treatment
    path: Path
    limit: int
    records: int | None = None

    @property
    def rows(self) -> Path:
        """Return the file of its chunks, one Arrow stream behind the other."""
        return self.path.with_suffix(".chunks")

    @property
    def numbers(self) -> Path:
        """Return the file of its arrays."""
        return self.path.with_suffix(".safetensors")

    @property
    def done(self) -> Path:
        """Return the file of what was counted."""
        return self.path.with_suffix(".json")


@dataclass
class Counted:
    """What is known of a cleaned part besides its arrays.

    ``chunks``: offset and size of each in the file of rows, its rows, and those of them that stay. ``damage`` names
    files that end too early or fail their checks.
    """

    chunks: list[tuple[int, int, int, int]] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    seen: list[Seen] = field(default_factory=list)
    damage: list[tuple[str, str]] = field(default_factory=list)

    def add(self, cleaned: Cleaned, offset: int) -> None:
        """Take in one chunk, whose rows stand at ``offset``."""
        self.chunks.append((offset, len(cleaned.rows), cleaned.row_count, len(cleaned.ids)))
        self.tally.add(cleaned.tally)
        self.seen += cleaned.seen
        self.damage += cleaned.damage


_COUNTED = TypeAdapter(Counted)


@dataclass(frozen=True)
class CleanedPart:
    """A part as it is read back; arrays are views of its file."""

    shard: CleanShard
    counted: Counted

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        return map_arrays(self.shard.numbers)

    @property
    def ids(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of its documents end to end, uint8, and where each ends, (n,) int64."""
        return self._arrays[_IDS], self._arrays[_ID_ENDS]

    @property
    def keys(self) -> dict[str, np.ndarray]:
        """Return exact (n, 2), bands (n, bands), urls (n,), all uint64, and signatures (n, values) uint32."""
        return self._named(_KEYS)

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Return the columns of the store, (n, …)."""
        return self._named(_COLUMNS)

    @property
    def lines(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return what ``line_hashes`` gives, None where it was not asked for."""
        found = [self._arrays[name] for name in _LINES if name in self._arrays]
        return (found[0], found[1]) if found else None

    def _named(self, prefix: str) -> dict[str, np.ndarray]:
        return {name.removeprefix(prefix): a for name, a in self._arrays.items() if name.startswith(prefix)}


def clean_part(shard: CleanShard) -> None:
    """Clean the records of a part by its source's treatment; its files are published, the counts last."""
    counted = Counted()
    chunks: list[Cleaned] = []
    with atomic_file(shard.rows) as temporary, temporary.open("wb") as out:
        for chunk in shard.part.chunks(shard.treatment.source, limit=shard.limit):
            cleaned = clean_chunk(shard.treatment, shard.records, chunk)
            counted.add(cleaned, out.tell())
            out.write(cleaned.rows)
            chunks.append(cleaned.without_rows())
            if shard.records is not None and counted.tally.records >= shard.records:
                break
    write_arrays(shard.numbers, _arrays_of(chunks))
    write_bytes(shard.done, _COUNTED.dump_json(counted))


def read_part(shard: CleanShard) -> CleanedPart:
    """Return what a finished shard came to."""
    return CleanedPart(shard, _COUNTED.validate_json(shard.done.read_bytes()))


def _arrays_of(chunks: Sequence[Cleaned]) -> dict[str, np.ndarray]:
    """Return the arrays of all chunks joined; none where there is no chunk."""
    if not chunks:
        return {_IDS: np.empty(0, dtype=np.uint8), _ID_ENDS: np.empty(0, dtype=np.int64)}
    encoded = [identifier.encode() for chunk in chunks for identifier in chunk.ids]
    arrays: dict[str, np.ndarray] = {
        _IDS: np.frombuffer(b"".join(encoded), dtype=np.uint8),
        _ID_ENDS: np.cumsum([len(part) for part in encoded], dtype=np.int64),
    }
    for name in chunks[0].keys:
        arrays[f"{_KEYS}{name}"] = np.concatenate([chunk.keys[name] for chunk in chunks])
    for name in chunks[0].columns:
        arrays[f"{_COLUMNS}{name}"] = np.concatenate([chunk.columns[name] for chunk in chunks])
    if lines := [chunk.lines for chunk in chunks if chunk.lines is not None]:
        for place, name in enumerate(_LINES):
            arrays[name] = np.concatenate([each[place] for each in lines])
    return arrays
