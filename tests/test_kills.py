"""kill -9 in the middle of every step, then the same command again: the same digests."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.workspace import make_workspace, redwhale

pytestmark = [pytest.mark.slow, pytest.mark.fault]
POINTS = [
    ("preprocess", "publish.before_rename:kill@3", ["preprocess"]),
    ("train-tokenizer", "publish.before_rename:kill@2", ["train-tokenizer"]),
    ("init-model", "publish.after_rename:kill@3", ["init-model"]),
    ("pack", "publish.after_rename:kill@4", ["pack"]),
    ("stage 1 embeddings", "pretrain.after_step:kill@3", ["pretrain", "--stage", "1"]),
    ("stage 2 odd", "publish.before_rename:kill@3", ["pretrain", "--stage", "2"]),
    ("stage 3 lora", "pretrain.before_manifest:kill@1", ["pretrain", "--stage", "3"]),
    ("bits per byte 3", "publish.before_rename:kill@2", ["eval", "bpb", "--model", "3"]),
    ("kobest 3", "publish.before_rename:kill@2", ["eval", "kobest", "--model", "3"]),
]


@pytest.mark.parametrize("deepspeed", ["null", "{zero: 2}"], ids=["plain", "zero-2"])
def test_killed_in_every_step(tmp_path: Path, deepspeed: str) -> None:
    change = ["--set", f"pretrain.deepspeed={deepspeed}"]
    straight = make_workspace(tmp_path / "straight")
    done = redwhale("run", "--json", *change, cwd=straight)
    assert done.returncode == 0, done.stderr
    expected = {name: step["digest"] for name, step in json.loads(done.stdout)["steps"].items()}
    killed = tmp_path / "killed"
    shutil.copytree(straight, killed, symlinks=True, ignore=shutil.ignore_patterns("run"))
    for name, fault, command in POINTS:
        first = redwhale(*command, *change, cwd=killed, env={**os.environ, "REDWHALE_FAULT": fault})
        assert first.returncode == -9, (name, first.stderr)
        again = redwhale(*command, *change, cwd=killed)
        assert again.returncode == 0, (name, again.stderr)
    done = redwhale("run", "--json", *change, cwd=killed)
    assert {name: step["digest"] for name, step in json.loads(done.stdout)["steps"].items()} == expected
