"""Memory at true size: no record, whatever its length, takes a process over 300 MB."""

import bz2
import gzip
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.corpus.read.test_wikis import HEADER

pytestmark = pytest.mark.slow

GIGABYTE = 1 << 30
MOST_BYTES = 300 << 20
BLOCK = b"a" * (1 << 20)
PROGRAM = """
import sys
from pathlib import Path
from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.cut import cut_chunks
from redwhale.corpus.read.parse import parse_chunk
from redwhale.corpus.read.sources import source_files
from tests.corpus.makers import make_recipe
recipe = make_recipe(Path(sys.argv[1]), [{"name": "s", "path": sys.argv[2], "format": sys.argv[3]}])
source = recipe.preprocess.sources[0]
def peak_kib():  # of this program alone: getrusage also counts the process that it was forked from
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])
before = peak_kib()
reasons, texts = [], 0
for chunk in cut_chunks(source, 0, source_files(recipe, source, 0), limit=16 << 20):
    records = parse_chunk(chunk, source)
    reasons += [record.reason for record in records.rejected]
    texts += len(records.texts)
print(before, peak_kib(), texts, ",".join(reasons))
"""


def huge(begin: bytes, end: bytes, size: int = GIGABYTE) -> Iterator[bytes]:
    yield begin
    for _ in range(size // len(BLOCK)):
        yield BLOCK
    yield end


def write_gz(path: Path, parts: Iterator[bytes]) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for part in parts:
            file.write(part)


def write_bz2(path: Path, parts: Iterator[bytes]) -> None:
    with bz2.open(path, "wb", compresslevel=9) as file:
        for part in parts:
            file.write(part)


def write_zip(path: Path, parts: Iterator[bytes], name: str = "a.jsonl") -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w", force_zip64=True) as file:
        for part in parts:
            file.write(part)


def write_json_zip(path: Path, parts: Iterator[bytes]) -> None:
    write_zip(path, parts, "a.json")


def write_plain(path: Path, parts: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(parts)


LINE = (b'{"text": "', b'"}\n{"text": "after"}\n')
PAGE = (HEADER.encode() + b"<page><title>a</title><ns>0</ns><revision><text>", b"</text></revision></page></mediawiki>")
CASES: dict[str, tuple[str, str, Callable, tuple[bytes, bytes], int, int]] = {
    "a line of 1 GB": ("a.jsonl", "auto", write_plain, LINE, GIGABYTE, 1),
    "a gzip bomb": ("a.jsonl.gz", "auto", write_gz, LINE, GIGABYTE, 1),
    "a zip bomb": ("a.zip", "auto", write_zip, LINE, GIGABYTE, 1),
    "a text of one paragraph": ("a.txt.gz", "auto", write_gz, (b"", b"\n\nafter"), GIGABYTE, 1),
    "a row of CSV": ("a.csv.gz", "auto", write_gz, (b'text\n"', b'"\nafter\n'), GIGABYTE, 1),
    "a record inside JSON": (
        "a.json.gz",
        "namuwiki",
        write_gz,
        (b'[{"text": "', b'"}, {"text": "after"}]'),
        GIGABYTE,
        1,
    ),
    "a JSON file of AI Hub": ("a.zip", "aihub", write_json_zip, (b'{"data": [{"text": "', b'"}]}'), GIGABYTE, 0),
    "a page of a dump": ("a.xml.bz2", "kowiki", write_bz2, PAGE, GIGABYTE // 4, 0),
    "the longest line that is read": ("a.jsonl", "auto", write_plain, LINE, 15 << 20, 2),
}


@pytest.mark.promise("F20")
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("case", CASES)
def test_peak_memory(tmp_path: Path, case: str) -> None:
    name, format, write, (begin, end), size, texts = CASES[case]
    write(tmp_path / name, huge(begin, end, size))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), name, format], capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    before, peak, found, *reasons = done.stdout.split()
    print(json.dumps({"case": case, "before_MB": int(before) >> 10, "peak_MB": int(peak) >> 10, "reasons": reasons}))
    assert int(found) == texts
    assert int(peak) * 1024 < MOST_BYTES, f"{int(peak) >> 10} MB, {int(before) >> 10} MB of it before reading"
