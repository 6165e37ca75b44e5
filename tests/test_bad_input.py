"""Bad input through the command line: one line with what, where and fix, the right exit code, nothing half-made."""

import gzip
import json
import shutil
from pathlib import Path

import pytest

from tests.workspace import make_workspace, redwhale


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose corpus is done."""
    folder = make_workspace(tmp_path_factory.mktemp("prepared"))
    assert redwhale("preprocess", cwd=folder).returncode == 0
    return folder


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared, tmp_path / "w", symlinks=True)
    return tmp_path / "w"


def refused(workspace: Path, *arguments: str, code: int = 2) -> str:
    done = redwhale(*arguments, cwd=workspace)
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
    return lines[0]


def unfinished(workspace: Path, name: str) -> bool:
    folder = workspace / "run" / name
    return not (folder / "manifest.json").exists()


def test_missing_source_file(workspace: Path) -> None:
    (workspace / "ko.jsonl").unlink()
    message = refused(workspace, "preprocess", "--set", "workdir=new")
    assert "ko.jsonl" in message and "stories" in message
    assert not (workspace / "new" / "corpus" / "manifest.json").exists()


def test_wrong_column(workspace: Path) -> None:
    message = refused(workspace, "preprocess", "--set", "workdir=new", "--set", "preprocess.sources.0.text=body")
    assert "body" in message and "text" in message


def test_broken_gz_keeps_what_stands_before_the_cut_and_exits_3(workspace: Path) -> None:
    whole = gzip.compress((workspace / "ko.jsonl").read_bytes())
    (workspace / "ko.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    done = redwhale(
        "preprocess", "--set", "workdir=new", "--set", "preprocess.sources.0.path=ko.jsonl.gz", "--json", cwd=workspace
    )
    assert done.returncode == 3, done.stderr
    counts = json.loads(done.stdout)["counts"]
    assert counts["damaged_files"] == 1 and counts["train_documents"] > 0


def test_bad_lines_cost_only_themselves(workspace: Path) -> None:
    good = (workspace / "ko.jsonl").read_bytes().splitlines()
    bad = [b'{"id": "x", "text": "\xff\xfe"}', b"[1, 2]", b'{"text": "cut off', b'{"text": 5}', b'{"other": "y"}']
    (workspace / "ko.jsonl").write_bytes(b"\n".join(good[:50] + bad + good[50:]))
    done = redwhale(
        "preprocess", "--set", "workdir=new", "--set", "preprocess.gates.bad_records.do=warn", "--json", cwd=workspace
    )
    assert done.returncode == 0, done.stderr
    rejected = json.loads(done.stdout)["metrics"]["sources"]["stories"]["rejected"]
    before = json.loads((workspace / "run" / "corpus" / "manifest.json").read_text())["metrics"]["sources"]["stories"]
    for reason in ("invalid_utf8", "not_an_object", "bad_json", "text_not_a_string", "no_text"):
        assert rejected[reason] == 1, rejected
    assert sum(rejected.values()) == sum(before["rejected"].values()) + 5
    assert redwhale("preprocess", "--set", "workdir=other", cwd=workspace).returncode == 3  # the gate


@pytest.mark.promise("F25")
def test_a_base_without_safetensors(workspace: Path) -> None:
    (workspace / "base" / "model.safetensors").rename(workspace / "base" / "pytorch_model.bin")
    assert redwhale("train-tokenizer", cwd=workspace).returncode == 0
    message = refused(workspace, "init-model")
    assert "pytorch_model.bin" in message and "safetensors" in message
    assert unfinished(workspace, "model-0")


@pytest.mark.promise("F31")
def test_a_tokenizer_that_does_not_fit_the_model(workspace: Path) -> None:
    config = json.loads((workspace / "base" / "config.json").read_text())
    from tests import pico

    pico.make_llama(workspace / "base", rows=config["vocab_size"] - 50)
    done = redwhale("train-tokenizer", cwd=workspace)
    message = done.stderr if done.returncode else refused(workspace, "init-model")
    assert "600" in message and "550" in message, message
    assert unfinished(workspace, "model-0")


@pytest.mark.promise("F31")
def test_steps_out_of_order(workspace: Path) -> None:
    assert "redwhale init-model" in refused(workspace, "pretrain", "--stage", "1")
    assert "redwhale pretrain --stage 1" in refused(workspace, "pretrain", "--stage", "odd")
    assert "tokenizer" in refused(workspace, "init-model")
    assert unfinished(workspace, "stage-1-embeddings")


def test_a_folder_that_cannot_be_written(workspace: Path) -> None:
    (workspace / "file").write_text("")
    message = refused(workspace, "preprocess", "--set", "workdir=file/run")
    assert "cannot be created" in message and "workdir" in message


@pytest.mark.promise("F12")
def test_a_second_process_names_the_first(workspace: Path) -> None:
    import os
    import socket

    lock = workspace / "run" / "tokenizer" / ".lock"
    lock.parent.mkdir()
    lock.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    assert f"process {os.getpid()}" in refused(workspace, "train-tokenizer")
