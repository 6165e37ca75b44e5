"""Excel workbooks: every sheet, bad ones refused, bombs seen before they expand."""

import zipfile
from datetime import date
from pathlib import Path

import pytest

from redwhale.core.errors import RedwhaleError
from tests.corpus.makers import korean
from tests.corpus.read.reading import read

openpyxl = pytest.importorskip("openpyxl")


def make_book(path: Path, sheets: dict[str, list[list]]) -> None:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)


def test_every_sheet_and_its_header(tmp_path: Path) -> None:
    sheets = {
        "하나": [
            ["id", " text ", "date"],
            [1, korean(1), date(2020, 1, 2)],
            [],
            ["나", "줄\n바꿈", None],
            [3, None],
            [4, 5],
        ],
        "둘": [["text", "url"], [korean(2), "https://a.kr"]],
        "그림": [["말", "수"], ["표지", 1]],
        "빈": [],
    }
    make_book(tmp_path / "a.xlsx", sheets)
    reading = read(tmp_path, "a.xlsx", licence="CC0")
    assert reading.texts == [korean(1), "줄\n바꿈", korean(2)]
    assert reading.files == ["a.xlsx!하나", "a.xlsx!하나", "a.xlsx!둘"] and reading.rows == [0, 1, 0]
    assert reading.ids == ["1", "나", "s-a!둘-0"] and reading.urls[2] == "https://a.kr"
    assert reading.reasons == {2: "no_text", 3: "text_not_a_string"} and reading.licences == ["CC0"] * 3


def test_no_sheet_with_the_column(tmp_path: Path) -> None:
    make_book(tmp_path / "a.xlsx", {"하나": [["제목", "본문"], ["x", "y"]]})
    with pytest.raises(RedwhaleError, match=r"a\.xlsx!하나 has no column 'text'.*one of: 본문, 제목"):
        read(tmp_path, "a.xlsx")
    assert read(tmp_path, "a.xlsx", text="본문").texts == ["y"]


@pytest.mark.promise("F15")
def test_damaged_workbooks(tmp_path: Path) -> None:
    make_book(tmp_path / "a.xlsx", {"하나": [["text"], [korean(1)]]})
    whole = (tmp_path / "a.xlsx").read_bytes()
    (tmp_path / "b.xlsx").write_bytes(whole[:-30])
    (tmp_path / "c.xlsx").write_bytes(b"")
    (tmp_path / "d.xlsx").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))  # the older format, or one with a password
    with zipfile.ZipFile(tmp_path / "e.xlsx", "w") as archive:
        archive.writestr("hello.txt", "no workbook")
    reading = read(tmp_path, "*.xlsx")
    assert reading.texts == [korean(1)]
    assert [record.reason for record in reading.rejected] == ["damaged_file"] * 4


def repacked(source: Path, target: Path, part: str, old: bytes, new: bytes) -> None:
    """Copy a workbook with ``old`` in one of its parts replaced."""
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w") as after:
        for info in before.infolist():
            content = before.read(info)
            assert info.filename != part or old in content
            after.writestr(info.filename, content.replace(old, new) if info.filename == part else content)


@pytest.mark.promise("F15")
def test_parts_that_are_not_what_their_names_say_are_damage(tmp_path: Path) -> None:
    make_book(tmp_path / "a.xlsx", {"하나": [["text"], [korean(1)]]})
    sheet = "xl/worksheets/sheet1.xml"
    repacked(tmp_path / "a.xlsx", tmp_path / "b.xlsx", sheet, b"<selection ", b"<selection spref='1' ")
    repacked(tmp_path / "a.xlsx", tmp_path / "c.xlsx", sheet, b"</row>", b"</row><")
    repacked(tmp_path / "a.xlsx", tmp_path / "d.xlsx", "xl/workbook.xml", b"<sheets>", b"<sheets x='1'>")
    reading = read(tmp_path, "*.xlsx")
    assert reading.texts[0] == korean(1) and set(reading.texts) == {korean(1)}
    assert {record.reason for record in reading.rejected} == {"damaged_file"}
    assert len(reading.texts) + len(reading.rejected) == 4


def test_an_empty_row_before_the_columns_and_a_number_of_many_digits(tmp_path: Path) -> None:
    make_book(tmp_path / "a.xlsx", {"하나": [[], ["id", "text"], [1, korean(1)]]})
    digits = b"<v>" + b"9" * 30 + b"</v>"
    repacked(tmp_path / "a.xlsx", tmp_path / "b.xlsx", "xl/worksheets/sheet1.xml", b"<v>1</v>", digits)
    reading = read(tmp_path, "*.xlsx")
    assert reading.texts == [korean(1)] * 2 and not reading.rejected
    assert reading.ids == ["1", "s-b!하나-0"]


@pytest.mark.promise("F20")
def test_a_bomb_is_seen_before_it_expands(tmp_path: Path) -> None:
    make_book(tmp_path / "a.xlsx", {"하나": [["text"], [korean(1)]]})
    for name, part in (("b", "xl/sharedStrings.xml"), ("c", "xl/worksheets/sheet1.xml")):
        with zipfile.ZipFile(tmp_path / "a.xlsx") as old, zipfile.ZipFile(tmp_path / f"{name}.xlsx", "w", 8) as new:
            for info in old.infolist():
                if info.filename != part:
                    new.writestr(info.filename, old.read(info))
            new.writestr(part, b" " * 20_000_000)
    reading = read(tmp_path, "*.xlsx")
    assert reading.texts == [korean(1)]
    assert [(record.reason, record.detail.split()[0]) for record in reading.rejected] == [
        ("zip_bomb", "xl/sharedStrings.xml"), ("zip_bomb", "xl/worksheets/sheet1.xml")
    ]  # fmt: skip


def test_shared_strings_as_excel_writes_them(tmp_path: Path) -> None:
    base = "http://schemas.openxmlformats.org"
    main, office = f"{base}/spreadsheetml/2006/main", f"{base}/officeDocument/2006/relationships"
    package, kind = f"{base}/package/2006", "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        f'<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}.sharedStrings+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}">'
        '<sheets><sheet name="글" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><dimension ref="A1"/><sheetData>'
        '<row r="1"><c r="A1" t="s"><v>0</v></c></row><row r="2"><c r="A2" t="s"><v>1</v></c></row>'
        "</sheetData></worksheet>",
        "xl/sharedStrings.xml": f'<sst xmlns="{main}"><si><t>text</t></si>'
        "<si><r><t>두 </t></r><r><t>부분</t></r></si></sst>",
    }
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert read(tmp_path, "a.xlsx").texts == ["두 부분"]


def test_many_rows_in_chunks(tmp_path: Path) -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("글")
    sheet.append(["text"])
    for i in range(3_000):
        sheet.append([korean(i) * 20])
    book.save(tmp_path / "a.xlsx")
    reading = read(tmp_path, "a.xlsx")
    assert reading.texts == [korean(i) * 20 for i in range(3_000)] and reading.chunks > 1
