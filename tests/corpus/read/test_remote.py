"""Files reached through fsspec, and sets of the hub."""

import gzip
import io
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.hub import _columns, _load, hub_file
from redwhale.corpus.read.remote import remote_digest, remote_size
from redwhale.corpus.read.sources import SourceFile, source_files
from tests.corpus.makers import korean, make_recipe
from tests.corpus.read.reading import read
from tests.corpus.read.test_archives import make_zip

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def line(i: int) -> bytes:
    return json.dumps({"text": korean(i)}).encode() + b"\n"


@pytest.fixture
def store() -> Iterator[str]:
    """A folder of the store in memory with files of every kind."""
    root = f"memory://{uuid.uuid4().hex}"
    columns = io.BytesIO()
    pq.write_table(pa.table({"text": [korean(0)]}), columns)
    files = {
        "a.parquet": columns.getvalue(), "b/c.jsonl.gz": gzip.compress(line(1)),
        "d.zip": make_zip({"e.jsonl": line(2)}), "f.txt": korean(3).encode("cp949"),
    }  # fmt: skip
    for name, data in files.items():
        with fsspec.open(f"{root}/{name}", "wb") as file:
            file.write(data)
    yield root
    fsspec.filesystem("memory").rm(root.removeprefix("memory:/"), recursive=True)


def test_every_kind_of_file(tmp_path: Path, store: str) -> None:
    reading = read(tmp_path, f"{store}/**")
    assert reading.texts == [korean(0), korean(1), korean(2), korean(3)]
    assert reading.files == ["a.parquet", "b/c.jsonl.gz", "d.zip!e.jsonl", "f.txt"]
    assert read(tmp_path, f"{store}/b/c.jsonl.gz").files == ["c.jsonl.gz"]
    assert read(tmp_path, f"{store}/*.txt").ids == ["s-f-0"]


def test_what_is_not_there(tmp_path: Path, store: str) -> None:
    with pytest.raises(RedwhaleError, match=r"source s: no file matches .*\*\.csv") as caught:
        read(tmp_path, f"{store}/*.csv")
    assert caught.value.exit_code == 2
    with pytest.raises(RedwhaleError, match="install what fsspec needs for nothing://") as caught:
        read(tmp_path, "nothing://bucket/a.jsonl")
    assert caught.value.exit_code == 2


def test_the_digest_follows_the_content(tmp_path: Path, store: str) -> None:
    recipe = make_recipe(tmp_path, [{"name": "s", "path": f"{store}/f.txt"}])
    assert recipe.preprocess is not None
    (file,) = source_files(recipe, recipe.preprocess.sources[0], 0)
    first = remote_digest(file)
    assert first.startswith("sha256:") and not file.is_local and remote_size(file.url) == file.size > 0
    with fsspec.open(f"{store}/f.txt", "wb") as changed:
        changed.write(b"other")
    assert remote_digest(file) != first and file.size == 5


def test_a_local_file_is_as_before(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(line(1))
    recipe = make_recipe(tmp_path, [{"name": "s", "path": "a.jsonl"}])
    assert recipe.preprocess is not None
    (file,) = source_files(recipe, recipe.preprocess.sources[0], 0)
    assert file == SourceFile(tmp_path / "a.jsonl", "a.jsonl", "jsonl", "") and file.is_local


def source(path: str, **fields) -> Source:
    return Source.model_validate({"name": "s", "language": "ko", "path": path, **fields})


@pytest.mark.promise("F28")
@pytest.mark.parametrize("name", ["../x", "a/../b", "a/..", "a/b/c", "/etc", "a b", "", "a/.hidden", "owner/na..me"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(RedwhaleError, match="is no name of a hub set") as caught:
        hub_file(source(f"hub:{name}", revision=COMMIT), "recipe: here.path")
    assert caught.value.exit_code == 2


def test_a_hub_set_is_tied_to_its_commit() -> None:
    with pytest.raises(RedwhaleError, match="no `revision`"):
        hub_file(source("hub:owner/name"), "recipe: here.path")
    file = hub_file(source("hub:owner/name", revision=COMMIT, config="ko", split="test"), "")
    assert (file.name, file.format, file.is_local, file.size) == ("owner/name/ko/test", "hub", False, 0)
    assert COMMIT in remote_digest(file)
    with pytest.raises(ValueError, match="pattern"):
        source("hub:owner/name", revision="main")


@pytest.mark.promise("F32")
def test_without_a_network_the_fix_is_named(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from tests.corpus.read.reading import read\n"
        f"read(Path({str(tmp_path)!r}), 'hub:redwhale-test/absent', revision='{COMMIT}')"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=100)
    assert "RedwhaleError: preprocess.sources: source s: hub:redwhale-test/absent cannot be opened" in done.stderr
    assert "save_to_disk" in done.stderr.splitlines()[-1]


def test_rows_stream_from_a_set(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "train.jsonl").write_bytes(b"".join(line(i)[:-2] + b', "n": 1}\n' for i in range(300)))
    wanted = source("hub:owner/name", split="train")
    rows = _load(str(tmp_path), wanted, None)
    file = hub_file(source("hub:owner/name", revision=COMMIT), "")
    assert list(_columns(rows, file, wanted)) == [{"text": korean(i)} for i in range(300)]
    with pytest.raises(RedwhaleError, match=r"owner/name/train has no column 'body'.*one of: n, text"):
        list(_columns(rows, file, source("hub:owner/name", text="body")))
