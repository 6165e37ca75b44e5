"""Real files, read as the standard library reads them."""

import gzip
import json
import os
from pathlib import Path

import pytest

from tests.corpus.read.reading import read

DATA = Path(os.environ.get("REDWHALE_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "ko").is_dir(), reason=f"no real data in {DATA} (REDWHALE_TEST_DATA)"),
]


@pytest.mark.parametrize("name", ["webnews", "wiki", "law", "cppdocs", "reviews"])
def test_every_text_comes_through_unchanged(tmp_path: Path, name: str) -> None:
    path = DATA / "ko" / f"{name}.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        expected = [json.loads(line) for line in file]
    reading = read(tmp_path, str(path), limit=64 << 20)
    assert not reading.rejected and not reading.decoded
    assert reading.texts == [row["text"] for row in expected]
    assert reading.ids == [row["id"] for row in expected]


@pytest.mark.parametrize("name", ["webnews", "wiki", "law", "cppdocs", "reviews"])
def test_the_same_text_in_cp949(tmp_path: Path, name: str) -> None:
    with gzip.open(DATA / "ko" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        lines = [line.encode("cp949", "ignore") for line in file]
    texts = [json.loads(line.decode("cp949"))["text"] for line in lines]
    (tmp_path / "a.jsonl").write_bytes(b"".join(lines))
    reading = read(tmp_path, "a.jsonl", limit=64 << 20)
    assert not reading.rejected and reading.texts == texts
    assert reading.decoded["decoded_cp949"] == sum(not line.isascii() for line in lines)


@pytest.mark.parametrize(
    "column", ["BoolQ/Text", "COPA/sentence", "HellaSwag/context", "SentiNeg/Text", "WiC/SENTENCE1"]
)
def test_the_tables_of_kobest(tmp_path: Path, column: str) -> None:
    task, text = column.split("/")
    for path in sorted((DATA / "kobest" / task).glob("*.tsv")):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        names = lines[0].split("\t")
        name = next(name for name in names if name.lower() == text.lower())
        reading = read(tmp_path, str(path), text=name)
        assert len(reading.texts) == len(lines) - 1 and not reading.rejected, reading.rejected[:3]
