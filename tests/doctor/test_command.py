"""The command itself: lines to paste, JSON, exit codes, nothing left on disk."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.workspace import make_workspace, redwhale

NOWHERE = {"HF_ENDPOINT": "http://127.0.0.1:9", "NO_PROXY": "*"}
SECRETS = {"HF_TOKEN": "hf_0123456789abcdefgh", "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567"}


@pytest.mark.promise("S1")
def test_it_checks_in_general_without_a_recipe(tmp_path: Path) -> None:
    extensions = tmp_path / "extensions"
    (extensions / "cpu_adam").mkdir(parents=True)
    lock = extensions / "cpu_adam" / "lock"
    lock.touch()
    os.utime(lock, (time.time() - 3600,) * 2)
    folder = tmp_path / "empty"
    folder.mkdir()
    environment = os.environ | NOWHERE | SECRETS | {"TORCH_EXTENSIONS_DIR": str(extensions), "NO_COLOR": "1"}
    done = redwhale("doctor", cwd=folder, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    states = {line[6:].split("  ")[0]: line[:4].strip() for line in lines if line[:4].strip() in ("ok", "warn", "fail")}
    assert set(states) >= {"python", "torch", "gpu", "deepspeed", "disk speed", "memory", "korean font", "build lock"}
    assert states["network"] == "warn" and states["build lock"] == "warn" and "fail" not in states.values()
    assert any(f"{lock} is 1h00m old" in line for line in lines) and any(f"fix: rm {lock}" in line for line in lines)
    assert lines[-1].endswith("in general, without a recipe") and "\x1b" not in done.stdout
    assert not any(secret in done.stdout + done.stderr for secret in SECRETS.values())
    assert list(folder.iterdir()) == [] and lock.exists()  # it looks and mends nothing


def test_a_recipe_makes_warnings_failures_and_the_exit_code_4(tmp_path: Path) -> None:
    make_workspace(tmp_path)
    changes = ["--set", "machine.device=cuda", "--set", "machine.executor=slurm"]
    environment = os.environ | NOWHERE | {"PATH": str(tmp_path)}
    done = redwhale("doctor", "--json", *changes, cwd=tmp_path, env=environment)
    document: dict[str, Any] = json.loads(done.stdout)
    states = {finding["name"]: finding["state"] for finding in document["findings"]}
    if states["gpu"] == "ok":
        pytest.skip("there is a GPU here")
    assert done.returncode == 4 and states["gpu"] == states["executor"] == "fail"
    assert document["counts"]["fail"] == list(states.values()).count("fail") and document["schema"] == 1
    assert document["recipe"] == str(tmp_path / "redwhale.yaml") and not (tmp_path / "run").exists()
    assert all(set(finding) == {"name", "state", "found", "fix"} for finding in document["findings"])


def test_a_faulty_recipe_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "redwhale.yaml").write_text("version: 1\nworkdirr: x\n")
    done = redwhale("doctor", cwd=tmp_path)
    assert done.returncode == 2 and "redwhale.yaml:2" in done.stderr and not done.stdout
    assert redwhale("doctor", "-c", "nowhere.yaml", cwd=tmp_path).returncode == 2
