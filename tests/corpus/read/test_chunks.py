"""What the step makes of what is read: faults, damaged files and columns, from a recipe to its manifest."""

import bz2
import gzip
import json
import unicodedata
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from redwhale.core.errors import RedwhaleError
from redwhale.corpus.reader import STATISTICS_NAME
from tests.corpus.makers import korean, make_recipe, reasons, rows, run, write_jsonl
from tests.corpus.read.reading import BAD_LINES, among_good

KEEP_ALL = {"held_out": {"fraction": 0}, "deduplicate": {"exact": False, "near": None}}
GOOD = [{"id": f"d{i}", "text": korean(i)} for i in range(40)]


def texts(recipe) -> list[str]:
    return [row["text"] for row in rows(recipe, "train")]


@pytest.mark.promise("F16", "F17")
def test_every_bad_record_has_its_reason_and_costs_no_other(tmp_path: Path) -> None:
    lines, expected = among_good(BAD_LINES, GOOD)
    write_jsonl(tmp_path / "a.jsonl", lines)
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl"}], **KEEP_ALL)
    manifest = run(recipe)
    assert reasons(recipe) == expected
    assert len(texts(recipe)) == len(expected)
    assert manifest.counts["records"] == 2 * len(expected) and manifest.counts["bad_records"] == len(expected)
    named = [f"a.jsonl:{row + 1} {reason}" for row, reason in sorted(expected.items())[:3]]
    statistics = json.loads((recipe.corpus_folder / STATISTICS_NAME).read_bytes())
    assert statistics["sources"][0]["unreadable_examples"] == named
    warning = f"s: unreadable records: {', '.join(named)} …; all are in rejects/"
    assert warning in (recipe.corpus_folder / "log.txt").read_text("utf-8")
    rejects = {row["row"]: row for row in rows(recipe, "rejects")}
    assert rejects[max(expected)]["detail"] == "byte 26 is 0xb9"
    assert rejects[1]["text"].startswith('{"id": "x"') and "character" in rejects[1]["detail"]
    assert all(row["id"] == f"s-a-{row['row']}" or row["id"] == "1" for row in rejects.values())


COMPRESSORS = [
    (".gz", gzip.compress),
    (".zst", zstandard.ZstdCompressor(write_checksum=True).compress),
    (".bz2", partial(bz2.compress, compresslevel=1)),
]


@pytest.mark.promise("F15")
@pytest.mark.parametrize(("ending", "compress"), COMPRESSORS)
class TestCompressed:
    body = "\n".join(json.dumps({"text": korean(i)}, ensure_ascii=False) for i in range(8_000)).encode()

    def reads(self, folder: Path, name: str, content: bytes, **options):
        (folder / name).write_bytes(content)
        recipe = make_recipe(folder, [{"name": "s", "path": name}], **KEEP_ALL, **options)
        return recipe, run(recipe)

    def test_whole_and_concatenated(self, tmp_path: Path, ending: str, compress) -> None:
        half = self.body.index(b"\n", len(self.body) // 2) + 1
        _, manifest = self.reads(tmp_path, "a.jsonl" + ending, compress(self.body[:half]) + compress(self.body[half:]))
        assert manifest.counts["train_documents"] == 8_000 and not manifest.counts["rejected"]

    def test_cut_in_half(self, tmp_path: Path, ending: str, compress) -> None:
        packed = compress(self.body)
        recipe, manifest = self.reads(tmp_path, "a.jsonl" + ending, packed[: len(packed) // 2])
        kept = texts(recipe)
        assert 2_000 < len(kept) < 6_000 and kept == [korean(i) for i in range(len(kept))]
        assert manifest.counts["rejected"] == {"truncated_file": 1}
        assert manifest.counts["records"] == len(kept) + 1
        breached = {gate.name for gate in manifest.gates if gate.breached}
        assert breached == {"damaged_files"} and manifest.stopped_by_gate

    def test_a_flipped_byte_costs_only_what_comes_after(
        self, tmp_path: Path, ending: str, compress, capsys: pytest.CaptureFixture[str]
    ) -> None:
        packed = bytearray(compress(self.body))
        place = 2 * len(packed) // 3
        packed[place : place + 64] = bytes(64)
        recipe, manifest = self.reads(tmp_path, "a.jsonl" + ending, bytes(packed))
        kept, block = texts(recipe), 900_000 if ending == ".bz2" else 140_000
        intact = sum(text == korean(i) for i, text in enumerate(kept))
        before = 2 * len(self.body) // 3
        assert intact > 8_000 * (before - block) / len(self.body)
        assert manifest.counts["damaged_files"] == 1 and manifest.stopped_by_gate
        assert f"warning: s: a.jsonl{ending} is damaged (" in capsys.readouterr().err

    def test_a_wrong_check_value_is_a_fault_of_the_file(self, tmp_path: Path, ending: str, compress) -> None:
        packed = bytearray(compress(self.body[:50_000]))
        packed[-6 if ending == ".gz" else -2] ^= 0xFF
        _, manifest = self.reads(tmp_path, "a.jsonl" + ending, bytes(packed))
        lost = 20_000 if ending == ".bz2" else 200
        assert manifest.counts["rejected"] == {"truncated_file": 1}
        assert manifest.counts["bytes_in"] > 0.8 * (50_000 - lost)

    def test_empty_file_and_empty_content(self, tmp_path: Path, ending: str, compress) -> None:
        (tmp_path / ("b.jsonl" + ending)).write_bytes(compress(b""))
        write_jsonl(tmp_path / "c.jsonl", GOOD)
        (tmp_path / ("a.jsonl" + ending)).write_bytes(b"")
        recipe = make_recipe(tmp_path, [{"name": "s", "path": "*.jsonl*"}], **KEEP_ALL)
        manifest = run(recipe)
        assert manifest.counts["train_documents"] == len(GOOD)
        assert [(r["file"], r["reason"]) for r in rows(recipe, "rejects")] == [("a.jsonl" + ending, "truncated_file")]


def test_saved_datasets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    saved = datasets.Dataset.from_dict({"text": [korean(i) for i in range(700)], "id": [f"n{i}" for i in range(700)]})
    saved.save_to_disk(str(tmp_path / "set"), num_shards=2)
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "set"}], **KEEP_ALL)
    run(recipe)
    assert texts(recipe) == [korean(i) for i in range(700)]
    assert [row["id"] for row in rows(recipe, "train")][:2] == ["n0", "n1"]
    assert {row["file"] for row in rows(recipe, "train")} == {
        "data-00000-of-00002.arrow", "data-00001-of-00002.arrow"
    }  # fmt: skip
    datasets.DatasetDict({"train": saved, "test": saved}).save_to_disk(str(tmp_path / "splits"))
    with pytest.raises(RedwhaleError, match=r"several splits \(train, test\).*splits/train"):
        run(make_recipe(tmp_path, [{"name": "s", "path": "splits"}]))


@pytest.mark.slow
@pytest.mark.promise("F16")
def test_one_byte_among_20_000_lines_costs_one_document(tmp_path: Path) -> None:
    lines = [json.dumps({"text": korean(i)}, ensure_ascii=False).encode() for i in range(20_000)]
    lines[4_999] = lines[4_999].replace("날".encode(), "날".encode() + b"\xff")
    write_jsonl(tmp_path / "a.jsonl", lines)
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl"}], **KEEP_ALL)
    manifest = run(recipe)
    assert manifest.counts["train_documents"] == 19_999 and manifest.counts["rejected"] == {"invalid_utf8": 1}
    assert [(row["row"], row["detail"]) for row in rows(recipe, "rejects")] == [(4_999, "byte 25 is 0xff")]
    assert "a.jsonl:5000 invalid_utf8" in (recipe.corpus_folder / "log.txt").read_text("utf-8")
    assert not manifest.stopped_by_gate  # 0.005 % is no reason to stop


@pytest.mark.promise("F17")
@pytest.mark.parametrize(
    "nested", [b"[" * 10_000_000, b'{"text":' * 1_250_000, b'{"text": ' + b"[" * 5_000_000 + b"]" * 5_000_000]
)
def test_a_record_nested_ten_megabytes_deep_goes_alone(tmp_path: Path, nested: bytes) -> None:
    write_jsonl(tmp_path / "a.jsonl", [GOOD[0], nested, GOOD[1]])
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl"}], **KEEP_ALL)
    run(recipe)
    assert texts(recipe) == [korean(0), korean(1)] and reasons(recipe) == {1: "bad_json"}
    (record,) = rows(recipe, "rejects")
    assert record["detail"] == "nested too deeply" and len(record["text"]) <= 8192


@pytest.mark.promise("F18")
def test_signs_of_every_kind_have_a_defined_result(tmp_path: Path) -> None:
    """From the file to the corpus: what stands for a sign becomes that sign, what stands for nothing goes."""
    plain = [korean(i) for i in range(6)]
    lines = [
        b"\xef\xbb\xbf" + json.dumps({"text": plain[0] + "\r\n끝."}).encode() + b"\r",
        json.dumps({"text": plain[1] + "\u2028둘째 줄."}, ensure_ascii=False).encode(),
        json.dumps({"text": plain[2] + "\0"}).encode(),
        json.dumps({"text": plain[3] + " \ud800"}).encode(),
        json.dumps({"text": unicodedata.normalize("NFD", plain[4])}, ensure_ascii=False).encode(),
        json.dumps({"text": plain[5]}, ensure_ascii=False).encode("cp949"),
    ]
    write_jsonl(tmp_path / "a.jsonl", lines)
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl", "filters": "off"}], **KEEP_ALL)
    manifest = run(recipe)
    assert texts(recipe) == [
        plain[0] + "\n끝.", plain[1] + "\n둘째 줄.", plain[2], plain[3] + " \ufffd", plain[4], plain[5]
    ]  # fmt: skip
    assert not manifest.counts["rejected"] and manifest.metrics["sources"]["s"]["decoded"] == {"decoded_cp949": 1}


@pytest.mark.promise("F19")
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_wrong_column_names_those_that_are_there(tmp_path: Path, kind: str) -> None:
    if kind == "jsonl":
        write_jsonl(tmp_path / "a.jsonl", [{"body": korean(i), "title": "제목"} for i in range(3)])
    else:
        pq.write_table(pa.table({"body": [korean(0)], "title": ["제목"]}), tmp_path / "a.parquet")
    with pytest.raises(RedwhaleError, match=r"source s: a\.\w+ has no column 'text'.*one of: body, title") as caught:
        run(make_recipe(tmp_path, [{"name": "s", "path": f"a.{kind}"}]))
    assert caught.value.exit_code == 2


@pytest.mark.promise("F19")
def test_a_column_that_is_no_text_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(RedwhaleError, match="holds int64, not text"):
        run(make_recipe(tmp_path, [{"name": "s", "path": "a.parquet"}]))


@pytest.mark.promise("F22")
def test_documents_of_extreme_shape_are_judged_and_cost_no_other(tmp_path: Path) -> None:
    shapes = ["가 " * 300_000, "가\n" * 200_000, "가😀" + "😀" * 50_000, " " * 100_000, "ㅋ" * 400_000, "가" * 900_000]
    write_jsonl(tmp_path / "a.jsonl", [*({"text": text} for text in shapes), *GOOD])
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl"}], **KEEP_ALL)
    run(recipe)
    found = reasons(recipe)
    assert found[3] == "empty_text" and set(found) <= set(range(6)) and {0, 1, 2} <= set(found)
    assert {row["row"] for row in rows(recipe, "train")} == set(range(6 + len(GOOD))) - set(found)
