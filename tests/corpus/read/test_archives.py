"""Files inside archives: names in CP949 or UTF-8, one level of nesting, and nothing unsafe."""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.corpus.read.archives import is_wanted
from tests.corpus.makers import korean
from tests.corpus.read.reading import read


def jsonl(*numbers: int) -> bytes:
    return "\n".join(json.dumps({"text": korean(i)}, ensure_ascii=False) for i in numbers).encode()


def make_zip(members: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return sink.getvalue()


def cp949_zip(members: dict[str, bytes]) -> bytes:
    """Write a zip as Windows does in Korea: names in CP949, no flag."""

    class Info(zipfile.ZipInfo):
        def _encodeFilenameFlags(self) -> tuple[bytes, int]:
            return self.filename.encode("cp949"), 0

    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(Info(name), data)
    return sink.getvalue()


def make_tar(members: dict[str, bytes | tarfile.TarInfo], mode: str = "w", encoding: str = "utf-8") -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode=mode, format=tarfile.GNU_FORMAT, encoding=encoding) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            if isinstance(data, tarfile.TarInfo):
                archive.addfile(data)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return sink.getvalue()


MEMBERS = {
    "말뭉치/가.jsonl": jsonl(0, 1),
    "말뭉치/나.jsonl.gz": gzip.compress(jsonl(2)),
    "readme.md": b"no text",
    "__MACOSX/._가.jsonl": b"\x00\x01",
    "말뭉치/다.txt": korean(3).encode("cp949"),
    "말뭉치/라.csv": f"text\n{korean(4)}\n".encode(),
}


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.zip", lambda: make_zip(MEMBERS)),
        ("a.zip", lambda: cp949_zip(MEMBERS)),
        ("a.tar", lambda: make_tar(MEMBERS)),
        ("a.tar", lambda: make_tar(MEMBERS, encoding="cp949")),
        ("a.tar.gz", lambda: make_tar(MEMBERS, "w:gz")),
        ("a.tgz", lambda: make_tar(MEMBERS, "w:gz", encoding="cp949")),
        ("a.tar.bz2", lambda: make_tar(MEMBERS, "w:bz2")),
    ],
)
def test_members_of_every_kind(tmp_path: Path, name: str, pack) -> None:
    (tmp_path / name).write_bytes(pack())
    reading = read(tmp_path, name)
    assert reading.texts == [korean(i) for i in range(5)] and not reading.rejected
    assert reading.files == [
        f"{name}!말뭉치/가.jsonl", f"{name}!말뭉치/가.jsonl", f"{name}!말뭉치/나.jsonl.gz",
        f"{name}!말뭉치/다.txt", f"{name}!말뭉치/라.csv",
    ]  # fmt: skip
    assert reading.rows == [0, 1, 0, 0, 0] and len(set(reading.ids)) == 5
    assert reading.decoded == {"decoded_cp949": 1}
    assert reading.input_bytes == (tmp_path / name).stat().st_size


def test_only_members_that_match(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(
        make_zip({"a/b/c.json": b'{"text": "x"}', "c.json": b'{"text": "y"}', "d.txt": b"z"})
    )
    assert read(tmp_path, "a.zip", members="**/*.json").texts == ["x", "y"]
    assert read(tmp_path, "a.zip", members="*.json").texts == ["y"]
    assert is_wanted("가/나.json", "가/*.json") and not is_wanted("가/나/다.json", "가/*.json")
    with pytest.raises(RedwhaleError, match="holds no file to read") as caught:
        read(tmp_path, "a.zip", members="*.xlsx")
    assert caught.value.exit_code == 2


@pytest.mark.promise("F28")
def test_unsafe_members_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("../out.txt", "/abs.txt", "a/../../b.txt", "C:\\x.txt", "..\\y.txt", "good.txt"):
            archive.writestr(name, korean(1))
        archive.writestr(link, "/etc/passwd")
    before = sorted(tmp_path.rglob("*"))
    reading = read(tmp_path, "a.zip")
    assert reading.texts == [korean(1)] and reading.files == ["a.zip!good.txt"]
    assert [record.reason for record in reading.rejected] == ["unsafe_member"] * 6
    assert sorted(tmp_path.rglob("*")) == before and not (tmp_path.parent / "out.txt").exists()


def test_members_without_a_name_are_told_of(tmp_path: Path) -> None:
    data = make_zip({"?1.txt": b"a", "?2.txt": b"b", "good.txt": korean(1).encode()})
    (tmp_path / "a.zip").write_bytes(data.replace(b"?", b"\0"))
    reading = read(tmp_path, "a.zip")
    assert reading.texts == [korean(1)]
    assert [(reject.reason, reject.detail) for reject in reading.rejected] == [("unsafe_member", "it has no name")] * 2
    assert [reject.file for reject in reading.rejected] == ["a.zip!(at byte 0)", "a.zip!(at byte 39)"]


@pytest.mark.promise("F28")
def test_unsafe_members_of_tars(tmp_path: Path) -> None:
    members: dict = {"../out.txt": b"x", "/abs.txt": b"x", "good.txt": korean(1).encode()}
    for name, kind in (("s", tarfile.SYMTYPE), ("h", tarfile.LNKTYPE), ("d", tarfile.CHRTYPE), ("f", tarfile.FIFOTYPE)):
        info = tarfile.TarInfo(f"{name}.txt")
        info.type, info.linkname = kind, "/etc/passwd"
        members[name] = info
    for name, mode in (("a.tar", "w"), ("a.tar.gz", "w:gz")):
        (tmp_path / name).write_bytes(make_tar(members, mode))
        reading = read(tmp_path, name)
        assert reading.texts == [korean(1)]
        assert sorted(record.reason for record in reading.rejected) == ["unsafe_member"] * 6


@pytest.mark.promise("F15")
def test_encrypted_and_damaged_members(tmp_path: Path) -> None:
    packed = bytearray(make_zip({"a.txt": korean(0).encode() * 50, "b.txt": korean(1).encode(), "c.txt": b"z" * 500}))
    start = packed.index(b"a.txt") + 20
    packed[start : start + 8] = bytes(8)
    for place in (packed.index(b"b.txt") - 24, packed.rindex(b"b.txt") - 38):
        packed[place] |= 1
    (tmp_path / "a.zip").write_bytes(packed)
    reading = read(tmp_path, "a.zip", documents="file")
    assert reading.reasons_by_file == {"a.zip!a.txt": "truncated_file", "a.zip!b.txt": "encrypted"}
    assert reading.texts == ["z" * 500]
    (tmp_path / "b.zip").write_bytes(bytes(packed[:-30]))
    (tmp_path / "c.tar.gz").write_bytes(make_tar(MEMBERS, "w:gz")[:-200])
    assert read(tmp_path, "b.zip").rejected[0].reason == "damaged_file"
    assert read(tmp_path, "c.tar.gz").rejected[-1].reason in ("damaged_file", "truncated_file")


@pytest.mark.promise("F15")
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_around_a_compressed_member_is_counted(tmp_path: Path, method: int) -> None:
    """What the zip itself finds wrong, its check value above all, shows while the member is decompressed."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        archive.writestr("a.jsonl.gz", gzip.compress(jsonl(0, 1)))
        archive.writestr("b.jsonl", jsonl(2))
    packed = bytearray(sink.getvalue())
    packed[60] ^= 1
    (tmp_path / "a.zip").write_bytes(packed)
    reading = read(tmp_path, "a.zip")
    assert reading.reasons_by_file == {"a.zip!a.jsonl.gz": "truncated_file"} and reading.texts[-1] == korean(2)


@pytest.mark.promise("F15")
def test_a_zip_of_a_later_version_is_counted(tmp_path: Path) -> None:
    packed = bytearray(make_zip({"a.txt": b"x"}))
    packed[packed.index(b"PK\x01\x02") + 6] = 176
    (tmp_path / "a.zip").write_bytes(packed)
    (record,) = read(tmp_path, "a.zip").rejected
    assert record.reason == "damaged_file" and "zip file version 17.6" in record.detail


def test_one_level_of_archives_inside(tmp_path: Path) -> None:
    innermost = make_zip({"x.txt": b"too deep"})
    inner_zip = cp949_zip({"라벨/가.jsonl": jsonl(0), "c.zip": innermost})
    inner_tar = make_tar({"나.jsonl": jsonl(1)}, "w:gz")
    members = {"b.zip": inner_zip, "d.tar.gz": inner_tar, "다.jsonl": jsonl(2)}
    for name, packed in (("a.zip", make_zip(members)), ("a.tar.gz", make_tar(members, "w:gz"))):
        (tmp_path / name).write_bytes(packed)
        reading = read(tmp_path, name)
        assert reading.texts == [korean(0), korean(1), korean(2)]
        assert reading.files[:2] == [f"{name}!b.zip!라벨/가.jsonl", f"{name}!d.tar.gz!나.jsonl"]
        assert reading.reasons_by_file == {f"{name}!b.zip!c.zip": "unsupported_member"}


def test_columns_and_workbooks_inside(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": [korean(0)], "id": ["p"]}), sink)
    book, book_bytes = openpyxl.Workbook(), io.BytesIO()
    book.active.append(["text"])
    book.active.append([korean(1)])
    book.save(book_bytes)
    (tmp_path / "a.zip").write_bytes(make_zip({"a.parquet": sink.getvalue(), "b.xlsx": book_bytes.getvalue()}))
    reading = read(tmp_path, "a.zip")
    assert reading.texts == [korean(0), korean(1)] and reading.ids[0] == "p"
    assert reading.files == ["a.zip!a.parquet", "a.zip!b.xlsx!Sheet"]


def test_a_table_without_the_column_is_told_of_unless_it_is_alone(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(make_zip({"a.csv": b"x\n1\n", "b.txt": korean(1).encode()}))
    reading = read(tmp_path, "a.zip")
    assert reading.texts == [korean(1)] and reading.reasons_by_file == {"a.zip!a.csv": "no_text"}
    (tmp_path / "b.zip").write_bytes(make_zip({"a.csv": b"x\n1\n"}))
    with pytest.raises(RedwhaleError, match="no column 'text'"):
        read(tmp_path, "b.zip")


@pytest.mark.promise("F20")
def test_a_bomb_streams(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(make_zip({"a.jsonl": b'{"text": "' + b"a" * 50_000_000, "b.txt": b"ok"}))
    reading = read(tmp_path, "a.zip")
    assert reading.texts == ["ok"] and reading.rejected[0].reason == "too_large" and reading.rejected[0].size > 5e7


def test_a_member_that_is_longer_by_its_word_than_its_archive_is_told_of(tmp_path: Path) -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("가.jsonl", jsonl(0))
    data = bytearray(sink.getvalue())
    directory = data.rindex(b"PK\x01\x02")
    for size in (slice(directory + 20, directory + 24), slice(directory + 24, directory + 28)):
        data[size] = (int.from_bytes(data[size], "little") + 1000).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(data)
    reading = read(tmp_path, "a.zip")
    assert not reading.texts
    assert [(reject.reason, reject.detail) for reject in reading.rejected] == [
        ("truncated_file", "the archive ends before the member does")
    ]
