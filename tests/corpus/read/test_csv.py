"""CSV and TSV: quoting, line ends inside fields, and broken rows that cost only themselves."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.core.errors import RedwhaleError
from redwhale.corpus.read.csv_rows import _bounds, _rows, fields_of
from tests.corpus.makers import korean
from tests.corpus.read.reading import read


def test_quotes_line_ends_and_marks(tmp_path: Path) -> None:
    content = '\ufeff"id",text,url\r\n1,"쉼표, ""따옴표""\r\n그리고 줄바꿈",u1\r\n'
    content += '2,따옴표 없이 5" 화면,\r\n\r\n3,"",\r\n4,"끝",u4'
    (tmp_path / "a.csv").write_text(content, encoding="utf-8", newline="")
    reading = read(tmp_path, "a.csv")
    assert reading.texts == ['쉼표, "따옴표"\r\n그리고 줄바꿈', '따옴표 없이 5" 화면', "끝"]
    assert reading.ids == ["1", "2", "4"] and reading.urls == ["u1", None, "u4"] and reading.rows == [0, 1, 4]
    assert reading.reasons == {3: "empty_text"}


def test_a_broken_row_costs_only_itself(tmp_path: Path) -> None:
    rows = [f'{i},"{korean(i)}"' for i in range(100)]
    rows[10] = '10,"닫히지 않은 따옴표'
    rows[20] = "20,필드,너무,많음"
    rows[30] = "하나"
    rows[40] = '40,"닫힌" 뒤의 글'
    rows[99] = '99,"끝까지 닫히지 않음'
    (tmp_path / "a.csv").write_text("id,text\n" + "\n".join(rows) + "\n", encoding="utf-8")
    reading = read(tmp_path, "a.csv")
    assert reading.reasons == dict.fromkeys([10, 20, 30, 40, 99], "bad_csv")
    assert reading.texts == [korean(i) for i in range(100) if i not in reading.reasons]


@pytest.mark.promise("F16")
def test_an_invalid_byte_costs_one_row(tmp_path: Path) -> None:
    rows = [f"{i},{korean(i)}".encode() for i in range(30)]
    rows[7] = b"7,\xff\xfe"
    (tmp_path / "a.csv").write_bytes(b"id,text\n" + b"\n".join(rows))
    reading = read(tmp_path, "a.csv")
    assert reading.reasons == {7: "invalid_utf8"} and len(reading.texts) == 29


def test_tsv_with_and_without_quoting(tmp_path: Path) -> None:
    content = 'id\tdocument\n1\t"인용" 이라고 말했다\n2\t"여러 줄의\n글"\n3\t보통 글\n4\t"그냥 따옴표로 시작\n5\t끝\n'
    (tmp_path / "a.tsv").write_text(content, encoding="utf-8")
    reading = read(tmp_path, "a.tsv", text="document")
    assert reading.texts == ['"인용" 이라고 말했다', "여러 줄의\n글", "보통 글", '"그냥 따옴표로 시작', "끝"]


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("번호,내용\n1,글\n", encoding="utf-8")
    with pytest.raises(RedwhaleError, match=r"no column 'text'.*one of: 내용, 번호") as caught:
        read(tmp_path, "a.csv")
    assert caught.value.exit_code == 2


@pytest.mark.promise("F20")
def test_rows_that_are_too_long(tmp_path: Path) -> None:
    long = "가" * 2_000_000
    content = f'text\n{korean(1)}\n"{long}"\n{korean(2)}\n{long}\n{korean(3)}\n"열린 채로\n' + f"{korean(4)}\n" * 3
    (tmp_path / "a.csv").write_text(content, encoding="utf-8")
    reading = read(tmp_path, "a.csv", limit=1 << 20)
    assert reading.texts == [korean(1), korean(2), korean(3)] + [korean(4)] * 3
    assert reading.reasons == {1: "too_large", 3: "too_large", 5: "bad_csv"}


def test_empty_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    (tmp_path / "b.csv").write_bytes(b"text\n")
    assert not read(tmp_path, "*.csv").texts


FIELDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=8) | st.sampled_from(
    ['"', ',"', "\n"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(FIELDS, min_size=2, max_size=2), max_size=12), st.integers(1, 17), st.sampled_from(",\t"))
def test_what_a_writer_writes_is_read_whatever_the_blocks(rows: list[list[str]], block: int, delimiter: str) -> None:
    sink = io.StringIO()
    csv.writer(sink, delimiter=delimiter, lineterminator="\n").writerows(rows)
    data = sink.getvalue().encode()
    blocks = iter([data[place : place + block] for place in range(0, len(data), block)])
    found = [
        fields_of(part[start:end].decode(), delimiter)
        for part, bounds, _ in _rows(blocks, ord(delimiter), 1 << 20)
        for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    ]
    assert found == rows


@settings(max_examples=300, deadline=None)
@given(st.text('a",\n', max_size=60))
def test_every_byte_is_in_a_row(text: str) -> None:
    bounds = _bounds(text.encode(), ord(","), is_last=True)
    assert bounds[0] == 0 and bounds[-1] == len(text) and (bounds[1:] > bounds[:-1]).all()
