"""Files that would run code, through the command line: none of it runs, and what is refused says why."""

from __future__ import annotations

import json
import pickle
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from tests import forked
from tests.unsafe import JINJA, write_code, write_pickles
from tests.workspace import make_workspace

pytestmark = [pytest.mark.slow]
JUNK = ["optimizer.pt", "scheduler.pt", "rng.pth", "rng_state.pth", "training_args.bin", "consolidated.00.pth"]
LITTLE = ["--set", "pretrain.measure={documents: 1, document_bytes: 30, samples: 0}"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose corpus and tokenizer are done."""
    folder = make_workspace(tmp_path_factory.mktemp("prepared"))
    for command in ("preprocess", "train-tokenizer"):
        ended = forked.redwhale(command, cwd=folder)
        assert ended.code == 0, ended.err
    return folder


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared, tmp_path / "w", symlinks=True)
    return tmp_path / "w"


def refused(workspace: Path, *words: str, code: int = 2) -> str:
    ended = forked.redwhale(*words, cwd=workspace)
    lines = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert ended.code == code and len(lines) == 1 and "Traceback" not in ended.err, ended.err
    return lines[0]


def test_the_canaries_sing(tmp_path: Path) -> None:
    """The files do run code when they are opened without care."""
    from jinja2 import Environment

    canary = tmp_path / "canary"
    write_pickles(tmp_path, canary, "a.bin", "b.pth")
    torch.load(tmp_path / "a.bin", weights_only=False)
    assert canary.exists()
    canary.unlink()
    pickle.loads((tmp_path / "b.pth").read_bytes())
    assert canary.exists()
    canary.unlink()
    Environment().from_string(JINJA.format(canary=canary)).render()
    for _ in range(500):
        if canary.exists():
            return
        time.sleep(0.02)
    raise AssertionError("the template has started no program")


@pytest.mark.promise("F25")
def test_pickled_weights_are_refused_and_never_opened(workspace: Path) -> None:
    base, canary = workspace / "base", workspace / "canary"
    weights = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").unlink()
    write_pickles(base, canary, "pytorch_model.bin", *JUNK)
    message = refused(workspace, "init-model")
    assert "the base holds pickled weights only (" in message and "which can run code when read" in message
    assert not (workspace / "run" / "model-0" / "manifest.json").exists()
    (base / "model.safetensors").write_bytes(weights)  # a decoy: the index names the other file
    index = {"weight_map": {"lm_head.weight": "pytorch_model.bin", "model.norm.weight": "model.safetensors"}}
    (base / "model.safetensors.index.json").write_text(json.dumps(index))
    for words in (["init-model"], ["eval", "bpb", "--model", "base"], ["eval", "bpb", "--model", str(base)]):
        message = refused(workspace, *words)
        assert "model.safetensors.index.json: the index names weights that are no safetensors (pytorch_model.bin)" in (
            message
        )
    (base / "model.safetensors.index.json").unlink()
    write_pickles(base, canary, "adapter_model.bin")
    (base / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "elsewhere"}')
    message = refused(workspace, "eval", "bpb", "--model", str(base))
    assert "the folder holds an adapter (adapter_config.json), not a model alone" in message
    assert not canary.exists()


@pytest.mark.promise("F25")
@pytest.mark.fault
def test_pickled_states_beside_weights_and_in_checkpoints_are_never_opened(workspace: Path) -> None:
    canary = workspace / "canary"
    write_pickles(workspace / "base", canary, "pytorch_model.bin", *JUNK)
    assert forked.redwhale("init-model", cwd=workspace).code == 0
    assert not [path for path in (workspace / "run" / "model-0").iterdir() if path.suffix in (".bin", ".pt", ".pth")]
    words = ["pretrain", "--stage", "1", *LITTLE, "--set", "pretrain.checkpoints.every=256"]
    assert forked.redwhale(*words, cwd=workspace, fault="pretrain.after_step:kill@2").code == -signal.SIGKILL
    home = workspace / "run" / "stage-1-embeddings" / "checkpoints"
    for step in ("step-000001", "step-000002"):
        write_pickles(home / step, canary, "pytorch_model.bin", *JUNK)
    state = json.loads((home / "step-000002" / "state.json").read_text())
    state["files"] = {"optimizer.pt": next(iter(state["files"].values()))}
    del state["sha256"]
    from redwhale.core.artifact import hash_file, hash_json

    state["files"]["optimizer.pt"]["sha256"] = hash_file(home / "step-000002" / "optimizer.pt")
    (home / "step-000002" / "state.json").write_text(json.dumps(state | {"sha256": hash_json(state)}))
    ended = forked.redwhale(*words, cwd=workspace)
    assert ended.code == 0, ended.err
    assert "step-000002 is damaged (optimizer.pt: " in ended.err and "resuming after step 1 " in ended.err
    assert not canary.exists()


@pytest.mark.promise("F26")
def test_code_of_a_model_or_tokenizer_never_runs(workspace: Path) -> None:
    base, canary = workspace / "base", workspace / "canary"
    other = workspace / "other"
    shutil.copytree(base, other)
    write_code(base, canary, config={})  # of a kind that transformers knows by itself
    for words in (["train-tokenizer", "--fresh"], ["init-model"], ["pretrain", "--stage", "1", *LITTLE]):
        ended = forked.redwhale(*words, cwd=workspace)
        assert ended.code == 0, ended.err
        assert not canary.exists(), words
    made = workspace / "run" / "stage-1-embeddings" / "model"
    assert (made / "chat_template.jinja").read_text() == JINJA.format(canary=canary)  # carried, not run
    assert not list(made.glob("*.py"))
    assert "auto_map" not in json.loads((made / "tokenizer_config.json").read_text())
    write_code(other, canary, config={"model_type": "evil"})  # which needs the code
    model = ["--set", "base.model=other", "--set", "workdir=run-2", "--set", "preprocess={existing: run/corpus}"]
    assert forked.redwhale("train-tokenizer", *model, cwd=workspace).code == 0
    assert "custom code" in refused(workspace, "init-model", *model)
    message = refused(workspace, "eval", "bpb", "--model", str(other))
    assert "the model cannot be loaded without running code that it brings, which is never done" in message
    assert not canary.exists()
