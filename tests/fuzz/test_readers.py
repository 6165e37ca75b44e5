"""Fuzzing of the readers of every format: damaged files give texts and counted rejects, never another error."""

import bz2
import gzip
import io
import json
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import strategies as st

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.corpus.read.collect import BAD_REASONS, NO_MAIN_TEXT
from tests.corpus.makers import korean
from tests.corpus.read.reading import Reading, read
from tests.corpus.read.test_archives import cp949_zip, jsonl, make_tar, make_zip
from tests.corpus.read.test_corpora import SHAPES
from tests.corpus.read.test_html import page as html_page
from tests.corpus.read.test_wikis import ARTICLE, NAMU, dump, page
from tests.fuzz.campaign import CHANGES, Bounds, Case, changed, fuzz

LIMIT = 1 << 16
BLANK = b" \t\r\n\x0b\x0c\0\xef\xbb\xbf"
ROWS = [{"id": i, "text": korean(i), "url": f"https://a.kr/{i}"} for i in range(6)]
WRITTEN = {
    "id": "W",
    "document": [{"id": "W.1", "metadata": {"title": "책"}, "paragraph": [{"form": korean(i)} for i in range(3)]}],
}
PAGES = [{"namespace": "0", "title": "서울", "text": NAMU}, {"namespace": 0, "title": "둘", "text": korean(2)}]


def as_table(delimiter: str) -> bytes:
    lines = [["id", "text"], *([str(i), f'"{korean(i)}{delimiter} ""따옴표""\n둘째 줄"'] for i in range(5))]
    return "\r\n".join(delimiter.join(line) for line in lines).encode()


def parquet(**options: object) -> bytes:
    sink = io.BytesIO()
    table = pa.table({"id": [row["id"] for row in ROWS], "text": [row["text"] for row in ROWS]})
    pq.write_table(table, sink, row_group_size=3, **options)
    return sink.getvalue()


def workbook() -> dict[str, bytes]:
    """Return the parts of a workbook."""
    book, sink = openpyxl.Workbook(), io.BytesIO()
    for row in (["id", "text"], [1, korean(1)], [2, None], [3, 4.5]):
        book.active.append(row)
    book.save(sink)
    with zipfile.ZipFile(sink) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


BOOK = workbook()
NESTED = {"data": [{"text": korean(0), "parts": [{"form": korean(1)}]}, {"text": None}, {"text": korean(2)}]}


@dataclass(frozen=True)
class Kind:
    """A format: the endings that files of it have, what a good one holds, and the keys of its source."""

    ending: str
    good: list[bytes]
    keys: dict[str, str] = field(default_factory=dict)


def dumped(value: object) -> list[bytes]:
    return [json.dumps(value, ensure_ascii=False, indent=indent).encode() for indent in (None, 1)]


KINDS = [
    Kind(".jsonl", [jsonl(0, 1, 2), jsonl(3, 4).decode().encode("cp949"), jsonl(5, 6).decode().encode("utf-16")]),
    Kind(".jsonl", [b'{"a": {"b": [{"c": "\xea\xb0\x80"}]}}\n' * 3], {"text": "a.b[*].c", "id": "a.d"}),
    *(Kind(".txt", ["\n\n".join(map(korean, range(4))).encode(), korean(1).encode("cp949"), korean(2).encode("utf-16")],
           {"documents": unit}) for unit in ("paragraph", "line", "file")),
    Kind(".csv", [as_table(","), as_table(",").decode().encode("cp949")]),
    Kind(".tsv", [as_table("\t")]),
    Kind(".json", dumped(NESTED), {"text": "data[*].text"}),
    Kind(".json", dumped([NESTED, NESTED]), {"text": "[*].data[*].parts[*].form"}),
    Kind(".json", [made for shape, _ in SHAPES.values() for made in dumped(shape)], {"format": "aihub"}),
    Kind(".json", dumped(WRITTEN), {"format": "nikl"}),
    Kind(".xml", [dump(page("서울", ARTICLE), page("토론:서울", "글", namespace=1), page("둘", korean(1)))],
         {"format": "kowiki"}),
    Kind(".json", dumped(PAGES), {"format": "namuwiki"}),
    Kind(".html", [html_page(), html_page("euc-kr")]),
    Kind(".parquet", [parquet(), parquet(compression="none", use_dictionary=False), parquet(compression="zstd")]),
]  # fmt: skip
COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor(write_checksum=True).compress, ".bz2": bz2.compress,
}  # fmt: skip
ARCHIVED: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    ".zip": make_zip, ".ZIP": cp949_zip, ".tar": make_tar, ".tar.gz": lambda members: make_tar(members, "w:gz"),
    ".tgz": lambda members: make_tar(members, "w:gz", encoding="cp949"),
    ".tar.bz2": lambda members: make_tar(members, "w:bz2"),
    ".tar.zst": lambda members: zstandard.compress(make_tar(members)),
}  # fmt: skip


@st.composite
def files(draw: st.DrawFn) -> Case:
    """Draw a file of some format, its content changed, its wrapping changed, or both."""
    if draw(st.integers(0, 9)) == 0:
        part = draw(st.sampled_from(sorted(BOOK)))
        parts = BOOK | {part: changed(BOOK[part], draw(CHANGES))}
        return Case("a.xlsx", changed(make_zip(parts), draw(st.one_of(st.just([]), CHANGES))))
    kind = draw(st.sampled_from(KINDS))
    content = changed(draw(st.sampled_from(kind.good)), draw(CHANGES))
    name = f"a{kind.ending}"
    wrapping = draw(st.integers(0, 3))
    if wrapping in (1, 3) and kind.ending != ".parquet":
        ending = draw(st.sampled_from(sorted(COMPRESSED)))
        name, content = name + ending, changed(COMPRESSED[ending](content), draw(CHANGES))
    if wrapping in (2, 3):
        ending = draw(st.sampled_from(sorted(ARCHIVED)))
        members = {f"말뭉치/{name}": content, "readme.md": b"x", "나.txt": korean(9).encode()}
        name, content = f"b{ending}", changed(ARCHIVED[ending](members), draw(CHANGES))
    return Case(name, content, kind.keys)


def accounted_for(reading: Reading, case: Case) -> None:
    """Check that each record is a text, a reject with its reason, or skipped by its kind."""
    places = Counter(zip(reading.files, reading.rows, strict=True))
    places.update((record.file, record.row) for record in reading.rejected)
    assert reading.input_bytes >= len(case.data) or not places
    assert not [place for place, times in places.items() if times > 1], "a record counted twice"
    assert all(record.reason in {*BAD_REASONS, NO_MAIN_TEXT} for record in reading.rejected)
    assert all(len(record.excerpt) <= 8192 and record.detail for record in reading.rejected)
    assert all(text.strip("\0 \t\r\n") for text in reading.texts)
    assert all(file.startswith(case.name) for file, _ in places)
    assert sum(map(len, reading.texts)) <= 8 * LIMIT + 4 * len(case.data)
    is_utf16 = case.data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if case.name == "a.jsonl" and not is_utf16:
        lines = [line for line in case.data.split(b"\n") if line.strip(BLANK)]
        assert sum(places.values()) == len(lines)
    if case.name == "a.txt" and not is_utf16:
        assert places or not case.data.strip(BLANK)


@pytest.mark.fuzz
@pytest.mark.slow
@pytest.mark.promise("Z1")
def test_every_record_of_a_damaged_file_is_accounted_for(tmp_path: Path) -> None:
    for kind in KINDS:  # compiles and imports
        (tmp_path / f"a{kind.ending}").write_bytes(kind.good[0])
        assert read(tmp_path, f"a{kind.ending}", limit=LIMIT, **kind.keys).texts

    def check(case: Case) -> None:
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        (tmp_path / case.name).write_bytes(case.data)
        with Bounds(seconds=2, megabytes=192):
            try:
                reading = read(tmp_path, case.name, limit=LIMIT, **case.keys)
            except RedwhaleError as error:
                assert error.exit_code == USAGE and error.fix and case.name in str(error)
                return
            finally:
                assert [path.name for path in tmp_path.rglob("*")] == [case.name], "a reader writes nothing"
        accounted_for(reading, case)

    fuzz("readers", files(), check)
