"""What reading a chunk comes to: its texts with their origin, and the reason of every record that gave none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.pieces import Piece
from redwhale.corpus.read.streams import Fault
from redwhale.corpus.texts import Texts

UNPAIRED = "unpaired"
"""Reason of a record of parallel text that has one side alone."""
BAD_REASONS = (
    "bad_json", "not_an_object", "no_text", "text_not_a_string", "empty_text", "invalid_utf8", "too_large",
    "bad_csv", "bad_xml", "encrypted", "unsafe_member", "unsupported_member", "truncated_file", "damaged_file",
    "zip_bomb", UNPAIRED,
)  # fmt: skip
"""Reasons of records that could not be read: what the gate on bad records counts."""
NO_MAIN_TEXT = "no_main_text"
"""A good HTML page that holds no article: rejected, but no bad record."""
SKIPPED_REASONS = ("redirect", "other_namespace")
"""Pages of a wiki that are none of its articles: counted, not kept."""

Origin = tuple[Any, Any, Any]
"""Id, address and licence of a record as they were found, None where there is none."""
NO_ORIGIN: Origin = (None, None, None)


@dataclass(frozen=True)
class Rejected:
    """A record that gave no text: where it stands, why, and how it begins (at most 8 KiB)."""

    file: str
    row: int
    id: str
    reason: str
    detail: str
    excerpt: bytes
    size: int


@dataclass(frozen=True)
class Seen:
    """Of one file: how many objects had the text column, and the columns of one that had not."""

    file: str
    objects: int
    other_columns: tuple[str, ...]


@dataclass(frozen=True)
class Records:
    """The records of a chunk, in the order of reading.

    ``texts``: n texts as read; their sizes are the bytes that came in. ``rows``: (n,) int64, from 0 in each file.
    ``files``, ``ids``, ``urls``, ``licences``, ``titles``: one for each text. ``decoded`` counts texts that were not
    in UTF-8 (``decoded_cp949``, ``decoded_utf16``), ``skipped`` records left out by their kind: both are no rejects.
    """

    texts: Texts
    rows: np.ndarray
    files: list[str]
    ids: list[str]
    urls: list[str | None]
    licences: list[str | None]
    titles: list[str | None]
    rejected: list[Rejected]
    decoded: Counter[str]
    skipped: Counter[str]
    seen: list[Seen]


@dataclass
class Collector:
    """Gathers the records of one chunk, piece by piece."""

    source: Source
    texts: list[bytes] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    urls: list[str | None] = field(default_factory=list)
    licences: list[str | None] = field(default_factory=list)
    titles: list[str | None] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    decoded: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    seen: list[Seen] = field(default_factory=list)
    _file: str = ""
    _stem: str = ""
    _encoding: str = "utf-8"
    _added: list[tuple[Any, ...]] = field(default_factory=list)
    _objects: int = 0
    _other_columns: tuple[str, ...] = ()

    def begin(self, piece: Piece) -> None:
        """Take the following records as those of ``piece``."""
        self._file, self._encoding = piece.name, piece.encoding
        self._stem = f"{self.source.name}-{piece.file.stem}" + (f"!{piece.member}" if piece.member else "")
        self._objects, self._other_columns, self._added = 0, (), []

    def end(self, piece: Piece) -> None:
        """Take what came in place of the record after the last."""
        if self._added:
            rows, texts, ids, urls, licences, titles = zip(*self._added, strict=True)
            self.rows += rows
            self.texts += texts
            self.files += [self._file] * len(rows)
            self.ids += [self._id(id, row) for id, row in zip(ids, rows, strict=True)]
            self.urls += [_word(url) for url in urls]
            self.licences += [_word(licence) or self.source.licence for licence in licences]
            self.titles += [_word(title) for title in titles]
            if self._encoding.startswith("utf-16"):
                self.decoded["decoded_utf16"] += len(rows)
        self.seen.append(Seen(piece.file.name, self._objects, self._other_columns))
        if piece.fault:
            records = len(piece.bounds) - 1 if piece.bounds is not None else piece.data.count(b"\n")
            self.reject(piece.first_row + max(records, 0), piece.fault)

    def add(self, row: int, text: bytes, origin: Origin = NO_ORIGIN, title: Any = None) -> None:
        """Take one text in UTF-8, its (id, address, licence), and its title; what is no word is as if not there."""
        self._added.append((row, text, *origin, title))

    def reject(self, row: int, fault: Fault, *, raw: bytes | memoryview = b"", id: Any = None) -> None:
        """Take one record that gave no text."""
        excerpt = fault.excerpt or bytes(raw[:8192])
        self.rejected.append(
            Rejected(self._file, row, self._id(id, row), fault.reason, fault.detail, excerpt, fault.size or len(raw))
        )

    def object_seen(self, *, columns: tuple[str, ...] | None = None) -> None:
        """Count an object that has the text column, or note the ``columns`` of one that has not."""
        if columns is None:
            self._objects += 1
        else:
            self._other_columns = self._other_columns or columns

    @property
    def added(self) -> dict[int, list[Any]]:
        """Return the text, id, address, licence and title of each row taken from this piece."""
        return {row: taken for row, *taken in self._added}

    def take_seen(self, sides: Sequence[Collector]) -> None:
        """Count the piece's objects as those that all ``sides`` found their column in."""
        self._objects += min(side._objects for side in sides)
        self._other_columns = next((side._other_columns for side in sides if not side._objects), ())

    def records(self) -> Records:
        """Return what was gathered."""
        return Records(
            Texts.of_bytes(self.texts), np.array(self.rows, dtype=np.int64), self.files, self.ids, self.urls,
            self.licences, self.titles, self.rejected, self.decoded, self.skipped, self.seen,
        )  # fmt: skip

    def _id(self, value: Any, row: int) -> str:
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            return str(value).encode("utf-8", "replace").decode()
        return f"{self._stem}-{row}"


def _word(value: Any) -> str | None:
    if isinstance(value, str) and value:
        return value.encode("utf-8", "replace").decode()
    return None
