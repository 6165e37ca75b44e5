"""Parts: whatever the files, all parts together read every record once, in the order of the whole."""

import bz2
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from redwhale.core.recipe.sources import Source
from redwhale.corpus import parts
from redwhale.corpus.parts import Part, cut_parts
from redwhale.corpus.read import pieces
from redwhale.corpus.read.parse import parse_chunk
from redwhale.corpus.read.sources import SourceFile, source_files
from tests.corpus.makers import korean, make_recipe

LIMIT = 1 << 16
TEXTS = [korean(i) for i in range(2_000)]
LINES = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in TEXTS).encode()


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(8):
            archive.writestr(f"{number}.jsonl", b"\n".join(LINES.splitlines()[number::8]))


def write_tar(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for number in range(8):
            data = b"\n".join(LINES.splitlines()[number::8])
            info = tarfile.TarInfo(f"{number}.jsonl")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def write_parquet(path: Path) -> None:
    pq.write_table(pa.table({"text": TEXTS}), path, row_group_size=100)


WRITERS: dict[str, Callable[[Path], object]] = {
    "a.jsonl": lambda path: path.write_bytes(LINES),
    "a.jsonl.gz": lambda path: path.write_bytes(gzip.compress(LINES)),
    "a.jsonl.bz2": lambda path: path.write_bytes(bz2.compress(LINES, 1)),
    "a.jsonl.zst": lambda path: path.write_bytes(zstandard.ZstdCompressor().compress(LINES)),
    "a.txt": lambda path: path.write_text("\n\n".join(TEXTS), encoding="utf-8"),
    "a.csv": lambda path: path.write_text("text\n" + "\n".join(TEXTS), encoding="utf-8"),
    "a.json": lambda path: path.write_bytes(b"[" + b",".join(LINES.splitlines()) + b"]"),
    "a.zip": write_zip,
    "a.tar.gz": write_tar,
    "a.parquet": write_parquet,
}


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files of some 100 KB have many chunks."""
    for module in ("pieces", "cut", "csv_rows"):
        name = f"redwhale.corpus.read.{module}.CHUNK_BYTES"
        monkeypatch.setattr(name, 4_000, raising=False)
    monkeypatch.setattr("redwhale.corpus.read.streams._BLOCK_BYTES", 1_000)
    monkeypatch.setattr("redwhale.corpus.read.streams._PIECE_BYTES", {".gz": 500, ".zst": 500, ".bz2": 500})
    assert pieces.CHUNK_BYTES == 4_000


def find(folder: Path, path: str) -> tuple[Source, list[SourceFile]]:
    recipe = make_recipe(folder, [{"name": "s", "path": path}])
    source = recipe.preprocess.sources[0]
    return source, source_files(recipe, source, 0)


def read(part: Part, source: Source) -> list[tuple[str, int, str]]:
    found = []
    for chunk in part.chunks(source, limit=LIMIT):
        records = parse_chunk(chunk, source)
        assert not records.rejected
        found += zip(records.files, records.rows.tolist(), records.texts.strings(), strict=True)
    return found


@pytest.mark.parametrize("name", WRITERS)
def test_stretches_of_a_file_are_the_file(tmp_path: Path, small_chunks: None, name: str) -> None:
    WRITERS[name](tmp_path / name)
    source, files = find(tmp_path, name)
    (whole,) = cut_parts([files])
    cut = cut_parts([files], part_bytes=4_000)
    assert whole.stretches == 1 and len(cut) > 3 and {part.files for part in cut} == {tuple(files)}
    expected = read(whole, source)
    shares = [read(part, source) for part in cut]
    assert [record for share in shares for record in share] == expected and len(expected) == len(TEXTS)
    assert sum(map(bool, shares)) > 1
    for stride in (2, -1):  # as by two processes, and by none of them in order
        assert [read(part, source) for part in cut[::stride]] == shares[::stride]


def test_a_file_is_read_once_by_one_process(
    tmp_path: Path, small_chunks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRITERS["a.jsonl.gz"](tmp_path / "a.jsonl.gz")
    source, files = find(tmp_path, "a.jsonl.gz")
    opened: list[str] = []
    monkeypatch.setattr(SourceFile, "open", lambda file: opened.append(file.name) or file.path.open("rb"))
    for part in cut_parts([files], part_bytes=4_000):
        assert sum(1 for _ in part.chunks(source, limit=LIMIT)) or part.stretch
    assert opened == ["a.jsonl.gz"]


def test_a_reader_that_failed_is_not_gone_on_with(
    tmp_path: Path, small_chunks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRITERS["a.jsonl"](tmp_path / "a.jsonl")
    source, files = find(tmp_path, "a.jsonl")
    first, second, *_ = cut_parts([files], part_bytes=4_000)
    expected = read(second, source)
    monkeypatch.setattr(SourceFile, "open", lambda file: (_ for _ in ()).throw(OSError("gone")))
    with pytest.raises(OSError, match="gone"):
        read(first, source)
    monkeypatch.undo()
    for module in ("pieces", "cut", "csv_rows"):
        monkeypatch.setattr(f"redwhale.corpus.read.{module}.CHUNK_BYTES", 4_000)
    monkeypatch.setattr("redwhale.corpus.read.streams._BLOCK_BYTES", 1_000)
    assert read(second, source) == expected


def test_stretches_are_cut_where_chunks_are(tmp_path: Path, small_chunks: None) -> None:
    """So that a large file has the chunks, and its shards the row groups, that it has as a whole."""
    WRITERS["a.jsonl.gz"](tmp_path / "a.jsonl.gz")
    source, files = find(tmp_path, "a.jsonl.gz")
    sizes = []
    for part_bytes in (4_000, 1 << 30):
        chunks = [
            chunk for part in cut_parts([files], part_bytes=part_bytes) for chunk in part.chunks(source, limit=LIMIT)
        ]
        sizes.append([len(chunk.pieces[0].data) for chunk in chunks])
    assert sizes[0] == sizes[1] and len(sizes[0]) > 20


def test_small_files_share_a_part_and_large_ones_have_several(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in range(7):
        (tmp_path / "data" / f"{number}.jsonl").write_bytes(b"x" * 300)
    (tmp_path / "data" / "5.jsonl").write_bytes(b"x" * 5_000)
    (tmp_path / "data" / "6.jsonl.gz").write_bytes(b"x" * 900)
    _, files = find(tmp_path, "data/*")
    cut = cut_parts([files, files[:1]], part_bytes=1_000)
    named = [(part.source, [file.name for file in part.files], part.stretch, part.stretches) for part in cut]
    assert named == [
        (0, ["0.jsonl", "1.jsonl", "2.jsonl"], 0, 1),
        (0, ["3.jsonl", "4.jsonl"], 0, 1),
        *((0, ["5.jsonl"], stretch, 5) for stretch in range(5)),
        (0, ["6.jsonl"], 0, 1),
        *((0, ["6.jsonl.gz"], stretch, 3) for stretch in range(3)),
        (1, ["0.jsonl"], 0, 1),
    ]
    assert sum(part.weight for part in cut) == pytest.approx(sum(file.size for file in [*files, files[0]]), abs=5)


def test_a_huge_corpus_has_no_more_parts_than_a_folder_bears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_MOST_PARTS", 10)
    (tmp_path / "data").mkdir()
    for number in range(100):
        (tmp_path / "data" / f"{number:03d}.jsonl").write_bytes(b"x" * 100)
    _, files = find(tmp_path, "data/*")
    assert [len(part.files) for part in cut_parts([files], part_bytes=1)] == [10] * 10
