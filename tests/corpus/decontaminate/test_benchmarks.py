"""Benchmarks are read as they are published; what cannot be read is named."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter, ValidationError

import redwhale
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.decontaminate import Benchmark, Decontaminate, DecontaminateChoice
from redwhale.corpus.decontaminate.benchmarks import read_benchmark

DEMO = Path(redwhale.__file__).parent / "demo_data" / "kobest"
KOBEST = Benchmark(name="kobest", splits=("test", "dev"))


def test_kobest_gives_every_text_of_a_split() -> None:
    items = read_benchmark(KOBEST, DEMO)
    assert {item.split for item in items} == {"test"}
    assert {item.field for item in items if item.benchmark == "kobest/boolq"} == {"passage", "question"}
    assert {item.benchmark for item in items if item.passage} == {"kobest/boolq"}
    assert any("[" in item.text for item in items if item.benchmark == "kobest/wic")
    assert {item.field for item in items if item.benchmark == "kobest/sentineg"} == {"sentence", "original"}
    prompts = [item.text for item in items if item.field == "premise+alternative_1"]
    assert "아이가 우산을 집에 두고 왔다. 그래서 비를 맞으며 집으로 뛰어갔다." in prompts


def test_kobest_is_read_with_quotes_as_the_hub_reads_them_and_from_its_jsonl(tmp_path: Path) -> None:
    for task in ("COPA", "WiC", "HellaSwag", "SentiNeg"):
        (tmp_path / task).mkdir()
        (tmp_path / task / "test.tsv").write_bytes((DEMO / task / "test.tsv").read_bytes())
    (tmp_path / "BoolQ").mkdir()
    row = 'ID\tText\tQuestion\tAnswer\r\n1\t"그는 ""간다""고 했다."\t 갔나? \tTrue\r\n'
    (tmp_path / "BoolQ" / "test.tsv").write_text(row, newline="")
    texts = [item.text for item in read_benchmark(KOBEST, tmp_path) if item.benchmark == "kobest/boolq"]
    assert texts == ['그는 "간다"고 했다.', " 갔나? "]
    (tmp_path / "BoolQ" / "test.tsv").unlink()
    (tmp_path / "boolq").mkdir()
    (tmp_path / "boolq" / "test.jsonl").write_text(json.dumps({"paragraph": "글", "question": "물음?", "label": 1}))
    texts = [item.text for item in read_benchmark(KOBEST, tmp_path) if item.benchmark == "kobest/boolq"]
    assert texts == ["글", "물음?"]


def test_a_missing_task_is_named(tmp_path: Path) -> None:
    with pytest.raises(RedwhaleError, match="KoBEST lacks BoolQ") as raised:
        read_benchmark(KOBEST, tmp_path)
    assert raised.value.exit_code == 2
    with pytest.raises(RedwhaleError, match="nothing says where KoBEST lies"):
        read_benchmark(KOBEST, None)


ROWS = [
    {"question": "가장 높은 산은?", "choices": ["백두산", "한라산"], "text": "산에 관한 글"},
    {"question": "가장 긴 강은?", "choices": ["압록강"], "text": "강에 관한 글"},
]


def write(folder: Path, ending: str) -> Path:
    file = folder / f"test.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), file)
    elif ending == "json":
        file.write_text(json.dumps(ROWS, ensure_ascii=False))
    else:
        file.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n")
    return file


@pytest.mark.parametrize("ending", ["parquet", "json", "jsonl"])
def test_any_table_is_read_by_its_columns(tmp_path: Path, ending: str) -> None:
    benchmark = Benchmark(name="mountains", path="x", columns=("question", "choices"), passages=("text",))
    items = read_benchmark(benchmark, write(tmp_path, ending))
    assert [(item.row, item.field, item.text, item.passage) for item in items[:4]] == [
        (1, "question", "가장 높은 산은?", False),
        (1, "choices", "백두산", False),
        (1, "choices", "한라산", False),
        (1, "text", "산에 관한 글", True),
    ]
    assert {(item.benchmark, item.split) for item in items} == {("mountains", "test")}
    with pytest.raises(RedwhaleError, match="'answer' is missing; there are 'question', 'choices', 'text'"):
        read_benchmark(Benchmark(name="mountains", path="x", columns=("answer",)), write(tmp_path, ending))


@pytest.mark.parametrize(("ending", "separator"), [("csv", ","), ("tsv", "\t")])
def test_separated_values_and_patterns(tmp_path: Path, ending: str, separator: str) -> None:
    for split in ("b", "a"):
        (tmp_path / f"{split}.{ending}").write_text(f'\ufeffquestion{separator}n\n"{split}, 물음"{separator}1\n')
    benchmark = Benchmark(name="x", path="x", columns=("question",))
    items = read_benchmark(benchmark, tmp_path / f"*.{ending}")
    assert [(item.split, item.text) for item in items] == [("a", "a, 물음"), ("b", "b, 물음")]


def test_lines_of_a_text_file_are_items(tmp_path: Path) -> None:
    (tmp_path / "items.txt").write_text("첫째 줄\n둘째 줄\n")
    items = read_benchmark(Benchmark(name="x", path="items.txt"), tmp_path / "items.txt")
    assert [item.text for item in items] == ["첫째 줄", "둘째 줄", ""]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"q": "x"}\n{', "cannot be read"),
        ("a.jsonl", b"[1]\n", "a row is list"),
        ("a.csv", "물음\n".encode("cp949"), "not UTF-8"),
        ("a.xlsx", b"", "cannot be read from '.xlsx'"),
        ("b.jsonl", b"", "no file matches"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RedwhaleError, match=message) as raised:
        read_benchmark(Benchmark(name="x", path="x", columns=("q",)), tmp_path / name.replace("b.", "c."))
    assert raised.value.exit_code == 2


def test_a_recipe_names_benchmarks_or_says_how() -> None:
    choice = TypeAdapter(DecontaminateChoice)
    section = choice.validate_python(["kobest", {"name": "kmmlu", "path": "k/*.jsonl", "columns": ["question"]}])
    assert section.benchmarks[0] == Benchmark(name="kobest")
    assert section.benchmarks[1].columns == ("question",)
    assert (section.action, section.passages) == ("drop", "report")
    assert choice.validate_python({"benchmarks": ["kobest"], "action": "cut"}) == Decontaminate(
        benchmarks=[Benchmark(name="kobest")], action="cut"
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "benchmarks"),
        (["kmmlu"], "is not built in"),
        ([{"name": "x", "path": "a.jsonl"}], "name the text columns"),
        ([{"name": "kobest", "columns": ["a"]}], "are known"),
        ([{"name": "x", "path": "a.txt", "splits": ["dev"]}], "for kobest only"),
        ("kobest", "dictionary"),
    ],
)
def test_a_benchmark_that_cannot_be_looked_for_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(DecontaminateChoice).validate_python(value)
