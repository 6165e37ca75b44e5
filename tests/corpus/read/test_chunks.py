"""Reading: every format, every fault, no record lost unsaid."""

import bz2
import gzip
import json
import tracemalloc
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from redwhale.core.errors import RedwhaleError
from tests.corpus.makers import korean, make_recipe, reasons, rows, run, write_jsonl

KEEP_ALL = {"held_out": {"fraction": 0}, "deduplicate": {"exact": False, "near": None}}
GOOD = [{"id": f"d{i}", "text": korean(i)} for i in range(40)]


def texts(recipe) -> list[str]:
    return [row["text"] for row in rows(recipe, "train")]


def test_every_bad_record_has_its_reason_and_costs_no_other(tmp_path: Path) -> None:
    bad = {
        "bad_json": ['{"id": "x", "text": "끊긴', "{", "nonsense", "[" * 100_000],
        "not_an_object": ["[1, 2]", '"글"', "3", "null"],
        "no_text": ['{"id": 1}', '{"text": null}'],
        "text_not_a_string": ['{"text": 5}', '{"text": ["글"]}', '{"text": true}'],
        "empty_text": ['{"text": ""}', '{"text": " \\n\\t"}', '{"text": "\\u0000"}'],
        "invalid_utf8": [b'{"text": "\xff\xfe"}', '{"text": "안녕하세요 반갑습니다"}'.encode("cp949")],
    }
    lines: list = []
    expected: dict[int, str] = {}
    for reason, samples in bad.items():
        for sample in samples:
            lines.append(GOOD[len(lines) // 2])
            expected[len(lines)] = reason
            lines.append(sample)
    write_jsonl(tmp_path / "a.jsonl", lines)
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl"}], **KEEP_ALL)
    manifest = run(recipe)
    assert reasons(recipe) == expected
    assert len(texts(recipe)) == len(expected)
    assert manifest.counts["records"] == 2 * len(expected) and manifest.counts["bad_records"] == len(expected)
    rejects = {row["row"]: row for row in rows(recipe, "rejects")}
    assert "CP949" in rejects[max(expected)]["detail"] and "iconv" in rejects[max(expected)]["detail"]
    assert rejects[1]["text"].startswith('{"id": "x"') and "character" in rejects[1]["detail"]
    assert all(row["id"] == f"s-a-{row['row']}" or row["id"] == "1" for row in rejects.values())


def test_what_a_strict_parser_refuses_is_kept_where_it_can_be(tmp_path: Path) -> None:
    long = korean(1)
    lines = [
        b"\xef\xbb\xbf" + json.dumps({"text": long}).encode() + b"\r",
        '{"text": "KOREAN", "score": NaN}'.replace("KOREAN", korean(2)),
        '{"text": "처음", "text": "KOREAN"}'.replace("KOREAN", korean(3)),
        '{"text": "KOREAN\\ud800"}'.replace("KOREAN", korean(4)),
        '{"text": "KOREAN\\u0000\\u2028"}'.replace("KOREAN", korean(5)),
        '{"text": "KOREAN\x00\x01"}'.replace("KOREAN", korean(6)),
        '{"text": "\\ud83d\\ude00 KOREAN"}'.replace("KOREAN", korean(7)),
        "",
        "   ",
        json.dumps({"text": korean(8), "id": 17}),
    ]
    write_jsonl(tmp_path / "a.jsonl", lines)
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl"}], **KEEP_ALL)
    assert run(recipe).counts["records"] == 8
    assert texts(recipe) == [
        long, korean(2), korean(3), korean(4) + "\ufffd", korean(5), korean(6), "😀 " + korean(7), korean(8)
    ]  # fmt: skip
    assert rows(recipe, "train")[-1]["id"] == "17" and rows(recipe, "train")[-1]["row"] == 9
    assert rows(recipe, "train")[0]["id"] == "s-a-0"


COMPRESSORS = [
    (".gz", gzip.compress),
    (".zst", zstandard.ZstdCompressor(write_checksum=True).compress),
    (".bz2", partial(bz2.compress, compresslevel=1)),
]


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


def test_a_huge_line_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    line = b'{"text": "' + b"a" * 60_000_000 + b'"}'
    content = json.dumps(GOOD[0]).encode() + b"\n" + line + b"\n" + json.dumps(GOOD[1]).encode()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(content, compresslevel=1))
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl.gz"}], max_record_bytes="1MiB", **KEEP_ALL)
    tracemalloc.start()
    run(recipe)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert texts(recipe) == [korean(0), korean(1)]
    assert reasons(recipe) == {1: "too_large"}
    assert rows(recipe, "rejects")[0]["detail"] == f"{len(line)} bytes, most {2**20}"
    assert len(rows(recipe, "rejects")[0]["text"]) == 2000
    assert peak < 20_000_000


def test_txt_units(tmp_path: Path) -> None:
    one, two, three = korean(1), korean(2), korean(3)
    (tmp_path / "a.txt").write_bytes(f"\ufeff{one}\r\n{two}\r\n\r\n\r\n{three}".encode())
    found = {}
    for unit in ("line", "paragraph", "file"):
        recipe = make_recipe(tmp_path, [{"name": unit, "path": "a.txt", "documents": unit}], **KEEP_ALL)
        run(recipe, fresh=True)
        found[unit] = texts(recipe)
    assert found["line"] == [one, two, three]
    assert found["paragraph"] == [f"{one}\n{two}", three]
    assert found["file"] == [f"{one}\n{two}\n\n\n{three}"]
    assert rows(recipe, "train")[0]["id"] == "file-a-0"


def test_txt_faults_cost_one_document(tmp_path: Path) -> None:
    one, two = korean(1).encode(), korean(2).encode()
    (tmp_path / "a.txt").write_bytes(one + b"\n\n" + b"\xff\n\n" + b"x" * 3000 + b"\nend\n\n" + two + b"\n")
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "a.txt"}], max_record_bytes=2000, **KEEP_ALL)
    run(recipe)
    assert texts(recipe) == [korean(1), korean(2)]
    assert reasons(recipe) == {1: "invalid_utf8", 2: "too_large"}


@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary", "string_view"])
def test_parquet_types(tmp_path: Path, kind: str) -> None:
    types = {"string": pa.string(), "large_string": pa.large_string(), "string_view": pa.string_view(),
             "dictionary": pa.dictionary(pa.int32(), pa.string())}  # fmt: skip
    values = [korean(0), None, korean(1), "", "x" * 5000]
    column = (
        pa.array(values, pa.string()).cast(types[kind])
        if kind != "dictionary"
        else pa.array(values, pa.string()).dictionary_encode()
    )
    table = pa.table({"body": column, "id": pa.array([5, 6, 7, 8, 9])})
    pq.write_table(table, tmp_path / "a.parquet")
    recipe = make_recipe(
        tmp_path, [{"name": "s", "path": "a.parquet", "text": "body"}], max_record_bytes=4000, **KEEP_ALL
    )
    run(recipe)
    assert [(r["id"], r["text"], r["row"]) for r in rows(recipe, "train")] == [
        ("5", korean(0), 0), ("7", korean(1), 2)
    ]  # fmt: skip
    assert reasons(recipe) == {1: "no_text", 3: "empty_text", 4: "too_large"}


def test_parquet_with_one_invalid_string_and_a_damaged_file(tmp_path: Path) -> None:
    raw = pa.array([korean(0).encode(), b"\xff\xff", korean(1).encode()], pa.binary())
    column = pa.StringArray.from_buffers(3, raw.buffers()[1], raw.buffers()[2])
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[:-20])
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "*.parquet"}], **KEEP_ALL)
    manifest = run(recipe)
    assert texts(recipe) == [korean(0), korean(1)]
    assert manifest.counts["rejected"] == {"damaged_file": 1, "invalid_utf8": 1}
    assert str(tmp_path) not in rows(recipe, "rejects")[-1]["detail"]


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


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_wrong_column_names_those_that_are_there(tmp_path: Path, kind: str) -> None:
    if kind == "jsonl":
        write_jsonl(tmp_path / "a.jsonl", [{"body": korean(i), "title": "제목"} for i in range(3)])
    else:
        pq.write_table(pa.table({"body": [korean(0)], "title": ["제목"]}), tmp_path / "a.parquet")
    with pytest.raises(RedwhaleError, match=r"source s: a\.\w+ has no column 'text'.*one of: body, title") as caught:
        run(make_recipe(tmp_path, [{"name": "s", "path": f"a.{kind}"}]))
    assert caught.value.exit_code == 2


def test_a_column_that_is_no_text_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(RedwhaleError, match="holds int64, not text"):
        run(make_recipe(tmp_path, [{"name": "s", "path": "a.parquet"}]))


def test_documents_of_extreme_shape(tmp_path: Path) -> None:
    shapes = ["가 " * 300_000, "가\n" * 200_000, "가😀" + "😀" * 50_000, " " * 100_000, "ㅋ" * 400_000, "가" * 900_000]
    write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in shapes])
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl"}], **KEEP_ALL)
    run(recipe)
    assert reasons(recipe) == {
        0: "max_repeated_ngrams", 1: "max_duplicate_lines", 2: "min_letters", 3: "empty_text"
    }  # fmt: skip
    assert [len(text) for text in texts(recipe)] == [400_000, 900_000]
