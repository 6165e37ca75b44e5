"""Raw bytes cut between records, in chunks that workers parse: every record comes out once, whatever its neighbours."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redwhale.core.errors import RedwhaleError
from redwhale.corpus.read.pieces import CHUNK_BYTES, Content
from redwhale.corpus.read.sources import SourceFile
from redwhale.corpus.read.streams import Fault
from tests.corpus.makers import korean, write_jsonl
from tests.corpus.read.reading import BAD_LINES, LIMIT, among_good, read

FILE = SourceFile(Path("a.jsonl"), "a.jsonl", "jsonl", "")
GOOD = [{"id": f"d{i}", "text": korean(i)} for i in range(40)]


@pytest.mark.promise("F17")
def test_every_bad_line_has_its_reason_and_costs_no_other(tmp_path: Path) -> None:
    lines, expected = among_good({**BAD_LINES, "too_large": [json.dumps({"text": "가" * LIMIT})]}, GOOD)
    write_jsonl(tmp_path / "a.jsonl", lines)
    reading = read(tmp_path, "a.jsonl")
    assert reading.reasons == expected
    assert reading.texts == [row["text"] for row in GOOD[: len(expected)]]
    assert reading.rows == [row - 1 for row in expected]
    assert reading.rejected[0].excerpt.decode().startswith('{"id": "x"') and "character" in reading.rejected[0].detail
    assert all(record.id in (f"s-a-{record.row}", "1") for record in reading.rejected)


@pytest.mark.promise("F18")
def test_what_a_strict_parser_refuses_is_kept_where_it_can_be(tmp_path: Path) -> None:
    lines = [
        b"\xef\xbb\xbf" + json.dumps({"text": korean(1)}).encode() + b"\r",
        '{"text": "KOREAN", "score": NaN}'.replace("KOREAN", korean(2)),
        '{"text": "KOREAN", "meta": {"text": "처음", "text": "둘째"}}'.replace("KOREAN", korean(3)),
        '{"text": "KOREAN\\ud800"}'.replace("KOREAN", korean(4)),
        '{"text": "KOREAN\\u0000\\u2028"}'.replace("KOREAN", korean(5)),
        '{"text": "KOREAN\x00\x01"}'.replace("KOREAN", korean(6)),
        "",
        "   ",
        json.dumps({"text": " " + korean(8), "id": 17, "url": "https://a.kr/1"}),
        json.dumps({"text": "<s> </s> <|endoftext|> ▁"}),
    ]
    write_jsonl(tmp_path / "a.jsonl", lines)
    reading = read(tmp_path, "a.jsonl", licence="CC0")
    assert reading.texts == [
        korean(1), korean(2), korean(3), korean(4) + "\ufffd", korean(5) + "\x00\u2028", korean(6) + "\x00\x01",
        " " + korean(8), "<s> </s> <|endoftext|> ▁",
    ]  # fmt: skip
    assert reading.rows == [0, 1, 2, 3, 4, 5, 8, 9]
    assert reading.ids[0] == "s-a-0" and reading.ids[6] == "17"
    assert reading.urls[6] == "https://a.kr/1" and reading.urls[0] is None
    assert reading.licences == ["CC0"] * 8


def test_columns_of_origin_by_name_and_by_path(tmp_path: Path) -> None:
    row = {"body": korean(1), "meta": {"key": "k1", "link": "https://a.kr"}, "rights": "CC-BY"}
    write_jsonl(tmp_path / "a.jsonl", [row, {"body": korean(2)}])
    fields = {"text": "body", "id": "meta.key", "url": "meta.link", "licence_column": "rights", "licence": "else"}
    reading = read(tmp_path, "a.jsonl", **fields)
    assert reading.ids == ["k1", "s-a-1"] and reading.urls == ["https://a.kr", None]
    assert reading.licences == ["CC-BY", "else"]


def test_large_files_are_cut_into_chunks_and_nothing_is_lost(tmp_path: Path) -> None:
    rows = [{"id": i, "text": korean(i) * (1 + i % 50)} for i in range(3_000)]
    write_jsonl(tmp_path / "a.jsonl", rows)
    with gzip.open(tmp_path / "b.jsonl.gz", "wb", compresslevel=1) as file:
        file.write((tmp_path / "a.jsonl").read_bytes())
    reading = read(tmp_path, "*.jsonl*")
    assert reading.texts == [row["text"] for row in rows] * 2
    assert reading.rows == [*range(3_000), *range(3_000)]
    size = (tmp_path / "a.jsonl").stat().st_size
    assert 2 * size // CHUNK_BYTES - 1 <= reading.chunks <= 2 * size // CHUNK_BYTES + 2
    assert reading.input_bytes == size + (tmp_path / "b.jsonl.gz").stat().st_size


def test_many_small_files_share_a_chunk(tmp_path: Path) -> None:
    for i in range(200):
        (tmp_path / f"{i:03}.txt").write_text(korean(i), encoding="utf-8")
    reading = read(tmp_path, "*.txt", documents="file")
    assert reading.chunks == 1 and reading.texts == [korean(i) for i in range(200)]
    assert reading.files[7] == "007.txt" and reading.ids[7] == "s-007-0" and set(reading.rows) == {0}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=30),
    st.lists(st.integers(1, 60), min_size=1, max_size=20),
    st.booleans(),
)
def test_lines_are_the_same_wherever_blocks_end(lines: list[bytes], sizes: list[int], ends: bool) -> None:
    data = b"\n".join(lines) + (b"\n" if ends and lines else b"")
    blocks, place = [], 0
    while place < len(data):
        blocks.append(data[place : place + sizes[len(blocks) % len(sizes)]])
        place += len(blocks[-1])
    limit = 25
    found: dict[int, bytes | Fault] = {}
    for piece in Content(FILE, "jsonl", iter(blocks)).lines(limit=limit):
        count = 0
        for row, raw in piece.records():
            found[row] = raw.tobytes()
            count += 1
        if piece.fault:
            found[piece.first_row + count] = piece.fault
    expected = data.split(b"\n")
    expected = expected[:-1] if expected[-1] == b"" else expected
    assert sorted(found) == list(range(len(expected)))
    for row, line in enumerate(expected):
        if isinstance(found[row], Fault):
            assert len(line) > limit and found[row].size == len(line)
        else:
            assert found[row] == line


@pytest.mark.promise("F20")
def test_a_huge_line_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    line = b'{"text": "' + b"a" * 60_000_000 + b'"}'
    content = json.dumps(GOOD[0]).encode() + b"\n" + line + b"\n" + json.dumps(GOOD[1]).encode()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(content, compresslevel=1))
    tracemalloc.start()
    reading = read(tmp_path, "a.jsonl.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reading.texts == [korean(0), korean(1)] and reading.rows == [0, 2]
    (fault,) = reading.rejected
    assert (fault.row, fault.reason, fault.size) == (1, "too_large", len(line))
    assert fault.detail == f"{len(line)} bytes, most {LIMIT}" and len(fault.excerpt) == 8192
    assert peak < 25_000_000


@pytest.mark.promise("F15")
@pytest.mark.parametrize("ending", ["jsonl", "txt"])
def test_a_cut_file_keeps_what_stands_before_the_cut(tmp_path: Path, ending: str) -> None:
    good = [json.dumps({"text": korean(i)}) if ending == "jsonl" else korean(i) for i in range(20_000)]
    packed = gzip.compress("\n\n".join(good).encode())
    (tmp_path / f"a.{ending}.gz").write_bytes(packed[: len(packed) // 2])
    write_jsonl(tmp_path / "b.jsonl", [{"text": "다른 파일"}])
    reading = read(tmp_path, "*")
    assert reading.texts[-1] == "다른 파일" and reading.texts[:-1] == [korean(i) for i in range(len(reading.texts) - 1)]
    assert 5_000 < len(reading.texts) < 15_000
    assert [record.reason for record in reading.rejected] == ["truncated_file"]


@pytest.mark.promise("F18")
def test_txt_units(tmp_path: Path) -> None:
    one, two, three = korean(1), korean(2), korean(3)
    (tmp_path / "a.txt").write_bytes(f"\ufeff\r\n{one}\r\n{two}\r\n \t\r\n\r\n{three}\n\n".encode())
    units = {unit: read(tmp_path, "a.txt", documents=unit) for unit in ("line", "paragraph", "file")}
    assert units["line"].texts == [one, two, three]
    assert units["paragraph"].texts == [f"{one}\r\n{two}", three] and units["paragraph"].rows == [0, 1]
    assert len(units["file"].texts) == 1


@pytest.mark.promise("F16")
def test_txt_faults_cost_one_document(tmp_path: Path) -> None:
    one, two = korean(1).encode(), korean(2).encode()
    (tmp_path / "a.txt").write_bytes(one + b"\n\n" + b"\xff\n\n" + b"x" * 3000 + b"\nend\n\n" + two + b"\n")
    reading = read(tmp_path, "a.txt", limit=2000)
    assert reading.texts == [korean(1), korean(2)]
    assert reading.reasons == {1: "invalid_utf8", 2: "too_large"} and reading.rows == [0, 3]


@pytest.mark.promise("F20")
def test_a_huge_paragraph_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    content = korean(1).encode() + b"\n\n" + b"a" * 30_000_000 + b"\n" + b"b" * 30_000_000 + b"\n \n" + b"end"
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(content, compresslevel=1))
    tracemalloc.start()
    reading = read(tmp_path, "a.txt.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reading.texts == [korean(1), "end"] and reading.rows == [0, 2]
    assert [(fault.reason, fault.size) for fault in reading.rejected] == [("too_large", 60_000_001)]
    assert peak < 30_000_000


@pytest.mark.promise("F19")
@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary", "string_view"])
@pytest.mark.parametrize("rows_of_a_group", [2, 1000])
def test_parquet_types(tmp_path: Path, kind: str, rows_of_a_group: int) -> None:
    types = {"string": pa.string(), "large_string": pa.large_string(), "string_view": pa.string_view()}
    values = [korean(0), None, korean(1), "", "x" * 5000]
    plain = pa.array(values, pa.string())
    column = plain.dictionary_encode() if kind == "dictionary" else plain.cast(types[kind])
    table = pa.table({"other": pa.array([1] * 5), "body": column, "id": pa.array([5, 6, 7, 8, 9]), "url": ["u"] * 5})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=rows_of_a_group)
    reading = read(tmp_path, "a.parquet", text="body", limit=4000)
    assert reading.texts == [korean(0), korean(1)] and reading.ids == ["5", "7"] and reading.rows == [0, 2]
    assert reading.urls == ["u", "u"]
    assert reading.reasons == {1: "no_text", 3: "empty_text", 4: "too_large"}


@pytest.mark.promise("F16", "F19")
def test_parquet_with_one_invalid_string_and_a_damaged_file(tmp_path: Path) -> None:
    raw = pa.array([korean(0).encode(), b"\xff\xff", korean(1).encode()], pa.binary())
    column = pa.StringArray.from_buffers(3, raw.buffers()[1], raw.buffers()[2])
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
    (tmp_path / "c.parquet").write_bytes(b"")
    reading = read(tmp_path, "*.parquet")
    assert reading.texts == [korean(0), korean(1)]
    assert [record.reason for record in reading.rejected] == ["invalid_utf8", "damaged_file", "damaged_file"]
    assert str(tmp_path) not in reading.rejected[1].detail


def test_saved_datasets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    saved = datasets.Dataset.from_dict({"text": [korean(i) for i in range(700)], "id": [f"n{i}" for i in range(700)]})
    saved.save_to_disk(str(tmp_path / "set"), num_shards=2)
    reading = read(tmp_path, "set")
    assert reading.texts == [korean(i) for i in range(700)] and reading.ids[:2] == ["n0", "n1"]
    assert set(reading.files) == {"data-00000-of-00002.arrow", "data-00001-of-00002.arrow"}
    assert reading.rows[350] == 0


@pytest.mark.promise("F19")
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_wrong_column_names_those_that_are_there(tmp_path: Path, kind: str) -> None:
    if kind == "jsonl":
        write_jsonl(tmp_path / "a.jsonl", [{"body": korean(i), "title": "제목"} for i in range(3)])
    else:
        pq.write_table(pa.table({"body": [korean(0)], "title": ["제목"]}), tmp_path / "a.parquet")
    with pytest.raises(RedwhaleError, match=r"source s: a\.\w+ has no column 'text'.*one of: body, title") as caught:
        read(tmp_path, f"a.{kind}")
    assert caught.value.exit_code == 2


def test_one_good_object_is_enough(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"body": "x"}] * 3 + [{"text": korean(1)}])
    assert read(tmp_path, "a.jsonl").reasons == {0: "no_text", 1: "no_text", 2: "no_text"}
