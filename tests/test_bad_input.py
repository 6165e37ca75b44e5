"""Bad input through the command line: one line with what, where and fix, the right exit code, nothing half-made."""

import gzip
import json
import os
import shutil
import subprocess
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


@pytest.mark.promise("F19")
def test_wrong_column(workspace: Path) -> None:
    message = refused(workspace, "preprocess", "--set", "workdir=new", "--set", "preprocess.sources.0.text=body")
    assert "body" in message and "text" in message


@pytest.mark.promise("F15")
def test_broken_gz_keeps_what_stands_before_the_cut_and_exits_3(workspace: Path) -> None:
    whole = gzip.compress((workspace / "ko.jsonl").read_bytes())
    (workspace / "ko.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    done = redwhale(
        "preprocess", "--set", "workdir=new", "--set", "preprocess.sources.0.path=ko.jsonl.gz", "--json", cwd=workspace
    )
    assert done.returncode == 3, done.stderr
    counts = json.loads(done.stdout)["counts"]
    assert counts["damaged_files"] == 1 and counts["train_documents"] > 0


@pytest.mark.promise("F16", "F17")
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


@pytest.mark.promise("F8")
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


@pytest.mark.promise("F8")
@pytest.mark.parametrize(("command", "folder"), [("preprocess", "corpus"), ("train-tokenizer", "tokenizer")])
def test_an_output_folder_that_is_a_file_is_refused_before_any_work(workspace: Path, command: str, folder: str) -> None:
    shutil.rmtree(workspace / "run" / folder, ignore_errors=True)
    (workspace / "run" / folder).write_text("mine")
    message = refused(workspace, command)
    assert f"run/{folder}: the folder cannot be created" in message and "workdir" in message
    assert (workspace / "run" / folder).read_text() == "mine"
    assert {path.name for path in (workspace / "run").iterdir()} == {"corpus", folder}


@pytest.mark.promise("F8")
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused_before_any_work(workspace: Path) -> None:
    (workspace / "new" / "corpus").mkdir(parents=True)
    (workspace / "new" / "corpus").chmod(0o500)
    assert "the folder is not writable" in refused(workspace, "preprocess", "--set", "workdir=new")
    assert not list((workspace / "new" / "corpus").iterdir())


@pytest.mark.promise("F8")
def test_a_place_where_nothing_can_be_made_is_refused(workspace: Path) -> None:
    message = refused(workspace, "preprocess", "--set", "workdir=/proc/redwhale")
    assert "/proc/redwhale/corpus: the folder cannot be created" in message


def cpu_seconds(workspace: Path, *arguments: str) -> float:
    """Return the CPU time of a command."""
    before = sum(os.times()[2:4])
    redwhale(*arguments, cwd=workspace)
    return sum(os.times()[2:4]) - before


ALIASES = "x: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + "\n".join(
    f"x{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)
)


@pytest.mark.promise("F27")
@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("version: 1", "version: 1\n" + ALIASES, "unfolds to more than 100,000 values"),
        ("name: pico", "name: !!python/object/apply:os.system [touch canary]", "redwhale.yaml:2: the tag"),
        ("pad_rows_to", "pad_row_to", "unknown key `pad_row_to`; did you mean `pad_rows_to`?"),
        ("name: pico", "name: " + "[" * 100_000, "redwhale.yaml:2: brackets are nested too deeply"),
    ],
)
def test_a_recipe_that_attacks_or_slips_ends_at_once(workspace: Path, before: str, after: str, words: str) -> None:
    text = (workspace / "redwhale.yaml").read_text()
    assert before in text
    (workspace / "redwhale.yaml").write_text(text.replace(before, after, 1))
    message = refused(workspace, "status")
    assert words in message and "redwhale.yaml:" in message
    plain = min(cpu_seconds(workspace, "--help") for _ in range(2))  # others use the machine: the quicker one counts
    assert min(cpu_seconds(workspace, "status") for _ in range(2)) < plain + 1
    assert not (workspace / "canary").exists()


@pytest.mark.slow
@pytest.mark.promise("S1")
def test_secrets_of_addresses_and_of_the_environment_stay_out_of_what_is_written(workspace: Path) -> None:
    keys = {"HF_TOKEN": "hf_0123456789abcdefgh", "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567"}
    secrets = [*keys.values(), "open-sesame"]

    def preprocess(folder: str, *changes: str) -> subprocess.CompletedProcess[str]:
        arguments = ["preprocess", "--debug", "--set", f"workdir={folder}"]
        return redwhale(*arguments, *changes, cwd=workspace, env=os.environ | keys)

    made = preprocess("new")
    named = preprocess("new", "--fresh", "--set", f"preprocess.sources.0.path={keys['HF_TOKEN']}.jsonl")
    addresses = ["ftp://me:open-sesame@127.0.0.1:9/ko.jsonl", "what://b/ko.jsonl?key=open-sesame"]
    asked = [preprocess("new", "--fresh", "--set", f"preprocess.sources.0.path={address}") for address in addresses]
    assert [done.returncode for done in (made, named, *asked)] == [0, 2, 1, 2], [done.stderr for done in asked]
    assert "no file matches '[redacted].jsonl'" in named.stderr
    assert "ftp://[redacted]@127.0.0.1:9/ko.jsonl cannot be read" in asked[0].stderr
    assert "what://b/ko.jsonl?[redacted]" in asked[1].stderr
    said = [text for done in (made, named, *asked) for text in (done.stdout, done.stderr)]
    written = [path.read_bytes() for path in (workspace / "new").rglob("*") if path.is_file()]
    assert len(written) > 4
    for secret in secrets:
        assert not any(secret in text for text in said)
        assert not any(secret.encode() in data for data in written)
