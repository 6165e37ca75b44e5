"""CP949 and UTF-16 are decoded, and UTF-8 with a bad byte stays UTF-8."""

import gzip
import json
from pathlib import Path

import pytest

from redwhale.corpus.read.encodings import is_cp949
from tests.corpus.makers import korean, write_jsonl
from tests.corpus.read.reading import read

ROWS = [{"text": f"{korean(i)} 똠방각하 뷁 (제{i}호) 漢字 ①"} for i in range(50)]


def as_jsonl(encoding: str) -> bytes:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode(encoding)


@pytest.mark.promise("F18")
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize(("encoding", "counted"), [("cp949", "decoded_cp949"), ("utf-16", "decoded_utf16")])
def test_a_file_is_decoded(tmp_path: Path, encoding: str, counted: str, compress) -> None:
    name = "a.jsonl" + (".gz" if compress is gzip.compress else "")
    (tmp_path / name).write_bytes(compress(as_jsonl(encoding)))
    reading = read(tmp_path, name)
    assert reading.texts == [row["text"] for row in ROWS]
    assert reading.decoded == {counted: 50} and not reading.rejected


@pytest.mark.promise("F18")
@pytest.mark.parametrize("encoding", ["cp949", "utf-16", "utf-16-be"])
def test_txt_and_csv_are_decoded(tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    texts = [row["text"] for row in ROWS]
    (tmp_path / "a.txt").write_bytes((mark + "\n\n".join(texts)).encode(encoding))
    (tmp_path / "b.csv").write_bytes((mark + "번호,글\n" + "\n".join(f'1,"{text}"' for text in texts)).encode(encoding))
    assert read(tmp_path, "a.txt").texts == texts
    assert read(tmp_path, "b.csv", text="글").texts == texts


@pytest.mark.promise("F16")
def test_one_bad_byte_costs_one_record_of_a_utf8_file(tmp_path: Path) -> None:
    lines = as_jsonl("utf-8").split(b"\n")
    lines[20] = lines[20].replace("날".encode(), "날".encode()[:-1])
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    reading = read(tmp_path, "a.jsonl")
    assert reading.reasons == {20: "invalid_utf8"} and len(reading.texts) == 49 and not reading.decoded


@pytest.mark.promise("F18")
def test_cp949_records_among_utf8_ones(tmp_path: Path) -> None:
    lines = [json.dumps(row, ensure_ascii=False) for row in ROWS]
    write_jsonl(tmp_path / "a.jsonl", [line.encode("cp949") if i % 10 == 5 else line for i, line in enumerate(lines)])
    reading = read(tmp_path, "a.jsonl")
    assert reading.texts == [row["text"] for row in ROWS] and reading.decoded == {"decoded_cp949": 5}


def test_utf8_records_in_a_cp949_file(tmp_path: Path) -> None:
    lines = [json.dumps(row, ensure_ascii=False) for row in ROWS]
    emoji = '{"text": "웃는 얼굴 😀 입니다"}'
    write_jsonl(tmp_path / "a.jsonl", [line.encode("cp949") for line in lines] + [emoji.encode()])
    reading = read(tmp_path, "a.jsonl")
    assert reading.texts[:-1] == [row["text"] for row in ROWS] and len(reading.texts) + len(reading.rejected) == 51


@pytest.mark.promise("F18")
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("안녕하세요 반갑습니다".encode("cp949"), True),
        ("값".encode("cp949"), False),  # one syllable proves nothing
        ("안녕하세요".encode(), False),
        ("안녕하세요".encode() + b"\xb9", False),
        (b"\xff\xfe", False),
        ("日本語の文章です".encode("shift-jis"), False),
        ("中文文章在这里写了很多".encode("gbk"), False),
        ("Ünïcödé çà et là, déjà vu".encode("latin-1"), False),
    ],
)
def test_what_is_cp949(data: bytes, expected: bool) -> None:
    assert is_cp949(data) is expected
