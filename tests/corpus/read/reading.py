"""Read a source from beginning to end, as the step and its workers do, with all that passes between them pickled."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.collect import Records, Rejected
from redwhale.corpus.read.cut import cut_chunks
from redwhale.corpus.read.parse import ColumnCheck, parse_chunk
from redwhale.corpus.read.pieces import Chunk
from redwhale.corpus.read.sources import source_files
from tests.corpus.makers import make_recipe

LIMIT = 1 << 20


@dataclass
class Reading:
    """All records of a source."""

    texts: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    urls: list[str | None] = field(default_factory=list)
    licences: list[str | None] = field(default_factory=list)
    titles: list[str | None] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    decoded: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    chunks: int = 0
    input_bytes: int = 0

    @property
    def reasons(self) -> dict[int, str]:
        """Return the reason of each rejected row; all in one file."""
        return {record.row: record.reason for record in self.rejected}

    @property
    def reasons_by_file(self) -> dict[str, str]:
        """Return the reason of each file's rejected record; one in each."""
        return {record.file: record.reason for record in self.rejected}

    def take(self, chunk: Chunk, records: Records) -> None:
        """Add one chunk's records."""
        self.texts += records.texts.strings()
        self.rows += records.rows.tolist()
        for name in ("files", "ids", "urls", "licences", "titles", "rejected"):
            getattr(self, name).extend(getattr(records, name))
        self.decoded += records.decoded
        self.skipped += records.skipped
        self.chunks += 1
        self.input_bytes += chunk.input_bytes


def read(folder: Path, path: str, *, limit: int = LIMIT, **fields: Any) -> Reading:
    """Read the source ``path`` of ``folder``."""
    recipe = make_recipe(folder, [{"name": "s", "path": path, **fields}])
    assert recipe.preprocess is not None
    source: Source = recipe.preprocess.sources[0]
    check = ColumnCheck([source])
    reading = Reading()
    for chunk in cut_chunks(source, 0, source_files(recipe, source, 0), limit=limit):
        records = pickle.loads(pickle.dumps(parse_chunk(pickle.loads(pickle.dumps(chunk)), source)))
        check.see(0, records.seen)
        reading.take(chunk, records)
    check.end()
    assert len(reading.texts) == len(reading.rows) == len(reading.ids) == len(reading.files) == len(reading.urls)
    return reading


BAD_LINES: dict[str, list[str | bytes]] = {
    "bad_json": [
        '{"id": "x", "text": "끊긴',
        "{",
        "nonsense",
        "[" * 100_000,
        '{"text": "처음 것", "text": "둘째 것"}',
        '{"text": "처음 것", "text": null}',
    ],
    "not_an_object": ["[1, 2]", '"글"', "3", "null"],
    "no_text": ['{"id": 1}', '{"text": null}'],
    "text_not_a_string": ['{"text": 5}', '{"text": NaN}', '{"text": ["글"]}', '{"text": true}'],
    "empty_text": ['{"text": ""}', '{"text": " \\n\\t"}', '{"text": "\\u0000"}'],
    "invalid_utf8": [b'{"text": "\xff\xfe"}', '{"text": "안녕하세요'.encode() + b'\xb9"}'],
}


def among_good(bad: dict[str, list[str | bytes]], good: list[dict[str, str]]) -> tuple[list[Any], dict[int, str]]:
    """Return lines in which a good record stands before each bad one, and the reasons of the bad ones by row."""
    lines: list[Any] = []
    expected: dict[int, str] = {}
    for reason, samples in bad.items():
        for sample in samples:
            lines.append(good[len(lines) // 2])
            expected[len(lines)] = reason
            lines.append(sample)
    return lines, expected
