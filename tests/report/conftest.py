"""A finished chain on a pico workspace, with texts in it that want to be code or hold a secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.workspace import make_workspace, redwhale

SCRIPT = "<script>alert('한국어 문서')</script><img src=x onerror=alert(1)>"
SECRET = "hf_0123456789abcdefghij"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace, every step of its recipe done."""
    folder = make_workspace(tmp_path_factory.mktemp("report"))
    lines = (folder / "ko.jsonl").read_text(encoding="utf-8").splitlines()
    hostile = [
        {"id": f"나쁜-{SCRIPT}", "text": f"{SCRIPT} 짧다"},  # rejected: mostly Latin
        {"id": "secret", "text": f"{SECRET} https://user:pass@host.kr/x?sig=abc"},
    ]
    first = json.loads(lines[0])
    opened = {"id": "opened", "text": f"{SCRIPT} {first['text']}"}
    rows = [json.dumps(row, ensure_ascii=False) for row in [*hostile, opened, first]]  # the last: an exact copy
    (folder / "ko.jsonl").write_text("\n".join([*lines, *rows, "{broken"]), encoding="utf-8")
    done = redwhale("run", "--set", "preprocess.gates.bad_records.above=5%", "--json", "-q", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder
