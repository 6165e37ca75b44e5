"""Parallel text: two sides to a document, either first, and records with one side told apart."""

import csv
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.filters import FILTER_PRESETS, Filters
from redwhale.corpus import step
from tests.corpus.makers import korean, make_recipe, reasons, rows, run, write_jsonl
from tests.corpus.read.reading import Reading, read

PAIRS = [
    ("버스가 늦게 와서 회의에 십 분 늦었습니다.", "The bus came late, so I was ten minutes late for the meeting."),
    ("이 함수는 `None`을 돌려줄 수 있습니다.", "This function may return `None`."),
    ("고양이가 창가에서 잠을 잡니다.", "The cat is asleep by the window."),
    ("어제 산 우산을 지하철에 두고 내렸어요.", "I left the umbrella I bought yesterday on the subway."),
    ("설정을 바꾼 뒤에는 서버를 다시 시작하세요.", "Restart the server after changing the settings."),
    ("그 식당은 월요일마다 문을 닫습니다.", "That restaurant is closed on Mondays."),
    ("네, 맞아요.", "Right."),
    ("비가 그치면 산책하러 갑시다.", "Let us go for a walk when the rain stops."),
]
SIDES: dict[str, Any] = {"format": "pairs", "text": "ko", "translation": "en"}


def records() -> list[dict[str, Any]]:
    return [{"id": f"p{i}", "ko": ko, "en": en} for i, (ko, en) in enumerate(PAIRS)]


def check(reading: Reading, between: str = "\n\n") -> None:
    """Check that a reading has all pairs in order, each once, either side first."""
    for text, (ko, en) in zip(reading.texts, PAIRS, strict=True):
        assert text in (ko + between + en, en + between + ko)
    assert reading.ids == [f"p{i}" for i in range(len(PAIRS))] and reading.rows == list(range(len(PAIRS)))
    assert not reading.rejected


def write(path: Path, given: list[dict[str, Any]]) -> None:
    kind = path.suffix
    if kind == ".parquet":
        pq.write_table(pa.Table.from_pylist(given), path, row_group_size=3)
    elif kind == ".json":
        path.write_text(json.dumps({"data": given}, ensure_ascii=False))
    elif kind in (".csv", ".tsv"):
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["id", "ko", "en"], delimiter="," if kind == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(given)
    elif kind == ".xlsx":
        book = pytest.importorskip("openpyxl").Workbook()
        for row in [["id", "ko", "en"], *([record[key] for key in ("id", "ko", "en")] for record in given)]:
            book.active.append(row)
        book.save(path)
    else:
        write_jsonl(path, given)


@pytest.mark.parametrize("ending", [".jsonl", ".parquet", ".csv", ".tsv", ".xlsx"])
def test_both_sides_stand_in_one_document_whatever_the_file(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"a{ending}", records())
    reading = read(tmp_path, f"a{ending}", **SIDES)
    check(reading)
    swapped = read(tmp_path, f"a{ending}", **(SIDES | {"between": "\n***\n"}))
    check(swapped, "\n***\n")


def test_nested_json_and_archives(tmp_path: Path) -> None:
    write(tmp_path / "a.json", records())
    check(read(tmp_path, "a.json", format="pairs", text="data[*].ko", translation="data[*].en"))
    write(tmp_path / "b.jsonl", records())
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.write(tmp_path / "b.jsonl", "b.jsonl")
        archive.writestr("readme.txt", "no pairs")
    check(read(tmp_path, "b.zip", **SIDES))


def test_the_order_is_the_contents_alone_and_about_half_each(tmp_path: Path) -> None:
    given = [{"ko": korean(i), "en": f"Sentence {i} was told on the river bank."} for i in range(400)]
    write(tmp_path / "a.jsonl", given)
    write(tmp_path / "b.parquet", given[::-1])
    one, other = read(tmp_path, "a.jsonl", **SIDES), read(tmp_path, "b.parquet", **SIDES)
    assert one.texts == other.texts[::-1]
    korean_first = sum(text.startswith(record["ko"]) for text, record in zip(one.texts, given, strict=True))
    assert 160 <= korean_first <= 240


def test_a_record_with_one_side_is_unpaired_and_others_keep_their_reasons(tmp_path: Path) -> None:
    lines: list[Any] = [
        {"ko": PAIRS[0][0], "en": PAIRS[0][1]}, {"ko": PAIRS[1][0]}, {"en": PAIRS[1][1]}, {"ko": "  ", "en": "Yes."},
        {"ko": "예.", "en": None}, {"ko": "예.", "en": 5}, {"id": "x"}, "{", "[1]", {"ko": "", "en": ""},
    ]  # fmt: skip
    write_jsonl(tmp_path / "a.jsonl", lines)
    reading = read(tmp_path, "a.jsonl", **SIDES)
    assert reading.rows == [0]
    assert reading.reasons == dict.fromkeys(range(1, 6), "unpaired") | {
        6: "no_text", 7: "bad_json", 8: "not_an_object", 9: "empty_text"
    }  # fmt: skip
    details = {record.row: record.detail for record in reading.rejected}
    assert details[1] == "en: no_text, no key 'en'" and details[2] == "ko: no_text, no key 'ko'"
    assert details[3] == "ko: empty_text, 2 characters of white space"
    assert details[5] == "en: text_not_a_string, a JSON number"


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".xlsx"])
def test_empty_cells_of_tables_are_unpaired(tmp_path: Path, ending: str) -> None:
    given = records()
    given[2]["en"], given[5]["ko"] = "", ""
    write(tmp_path / f"a{ending}", given)
    reading = read(tmp_path, f"a{ending}", **SIDES)
    assert reading.reasons == {2: "unpaired", 5: "unpaired"} and len(reading.texts) == 6
    assert {record.id for record in reading.rejected} == {"p2", "p5"}
    assert all(record.excerpt and record.size for record in reading.rejected)


def test_a_cell_that_cannot_be_read_keeps_its_reason(tmp_path: Path) -> None:
    broken = pa.array([b"one", b"\xff\xfe"]).cast(pa.binary()).view(pa.string())
    pq.write_table(pa.table({"ko": ["하나", "둘"], "en": broken}), tmp_path / "a.parquet")
    assert read(tmp_path, "a.parquet", **SIDES).reasons == {1: "invalid_utf8"}
    write_jsonl(tmp_path / "b.jsonl", [{"ko": "가" * 40, "en": "a"}, {"ko": "가", "en": "a"}])
    assert read(tmp_path, "b.jsonl", limit=60, **SIDES).reasons == {0: "too_large"}


@pytest.mark.parametrize("ending", [".jsonl", ".parquet", ".csv", ".xlsx"])
def test_a_misspelt_column_is_named_with_its_key(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"a{ending}", records())
    with pytest.raises(RedwhaleError, match=r"has no column 'eng'; set `translation:` to one of: en, id, ko") as caught:
        read(tmp_path, f"a{ending}", **(SIDES | {"translation": "eng"}))
    assert caught.value.exit_code == 2
    with pytest.raises(RedwhaleError, match=r"has no column 'kor'; set `text:` to one of: en, id, ko"):
        read(tmp_path, f"a{ending}", **(SIDES | {"text": "kor"}))


def test_files_without_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("글\n")
    with pytest.raises(
        RedwhaleError, match=r"the format of a\.txt is not known.* \.jsonl \.ndjson \.parquet"
    ) as caught:
        read(tmp_path, "a.txt", **SIDES)
    assert caught.value.exit_code == 2 and ".txt" not in str(caught.value).split("endings known")[1]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"format": "pairs"}, "`format: pairs` and `translation`, .* go together"),
        ({"translation": "en"}, "`format: pairs` and `translation`, .* go together"),
        ({"format": "pairs", "text": "en", "translation": "en"}, "`text` and `translation` are both 'en'"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, fields: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl", **fields}])


def test_ordinary_pairs_pass_the_step_and_unpaired_ones_are_counted(tmp_path: Path) -> None:
    technical = {
        "id": "t", "ko": "`parse`는 JSON decoder error position 정보를 반환",  # half English already
        "en": "`parse` returns information about the JSON decoder error position",
    }  # fmt: skip
    write_jsonl(tmp_path / "a.jsonl", [*records(), technical, {"id": "half", "ko": "혼자 남은 문장입니다."}])
    source = {"name": "s", "path": "a.jsonl", **SIDES}
    recipe = make_recipe(tmp_path, [source], gates={"bad_records": {"above": 0.05, "do": "warn"}})
    assert recipe.preprocess is not None
    assert recipe.preprocess.sources[0].filters == Filters(preset="pairs")
    assert recipe.preprocess.sources[0].perplexity == "off"
    manifest = run(recipe)
    assert reasons(recipe) == {9: "unpaired"}
    assert {row["id"] for row in rows(recipe, "train") + rows(recipe, "held_out")} == {
        *(f"p{i}" for i in range(8)),
        "t",
    }
    assert [gate.value for gate in manifest.gates if gate.name == "bad_records"] == [0.1]
    strict = make_recipe(tmp_path, [source | {"filters": "redwhale-web"}], gates={"bad_records": {"do": "warn"}})
    run(strict, fresh=True)
    assert reasons(strict) == {6: "min_chars", 8: "min_hangul", 9: "unpaired"}
    assert FILTER_PRESETS["pairs"]["min_hangul"] < Filters().min_hangul


def test_other_corpora_stay_what_they_were(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", records())
    plain = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl", "text": "ko"}])
    assert not {"translation", "between"} & step.plan(plain).fields["sources"][0].keys()
    pairs = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl", **SIDES}])
    assert step.plan(pairs).fields["sources"][0]["between"] == "\n\n"
