"""The names of the package, and docs/api.md, whose code runs as it stands."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import redwhale
from tests.workspace import make_workspace

ROOT = Path(__file__).parents[1]


def test_every_public_name_is_there_and_typed() -> None:
    for name in redwhale.__all__:
        assert getattr(redwhale, name) is not None
    tree = ast.parse((ROOT / "redwhale" / "__init__.py").read_text(encoding="utf-8"))
    typed = next(node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.asname or alias.name for node in typed.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == set(redwhale.__all__) and list(redwhale.__all__) == sorted(redwhale.__all__)
    assert set(redwhale.__all__) < set(dir(redwhale)) and (ROOT / "redwhale" / "py.typed").is_file()
    with pytest.raises(AttributeError, match="has no attribute 'train'"):
        redwhale.train  # noqa: B018


@pytest.mark.parametrize("name", ["preprocess", "train_tokenizer", "init_model", "pack", "pretrain", "eval_kobest"])
def test_a_step_has_plan_and_run(name: str) -> None:
    step: Any = getattr(redwhale, name)
    assert callable(step.plan) and callable(step.run)
    assert step.run.__doc__ and step.plan.__doc__


def test_nothing_below_the_command_line_ends_the_interpreter() -> None:
    entries = {"redwhale/__main__.py", "redwhale/core/cluster/slurm_shard.py"}  # run as programs
    ending = re.compile(r"\b(sys\.exit|exit|quit|SystemExit|typer\.Exit)\(")
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "redwhale").rglob("*.py")
        if ending.search(path.read_text(encoding="utf-8")) and not path.name.startswith("cli")
    }
    assert found <= entries


def test_the_examples_of_the_documentation_run(tmp_path: Path) -> None:
    """In a process of their own, whose streams are no files, as a notebook's are not."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 5
    code = (
        "import contextlib, io, json, sys\nout, err = io.StringIO(), io.StringIO()\n"
        "with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):\n"
        f"    for block in {blocks!r}:\n        exec(block)\n"
        "assert manifest.step == 'preprocess' and recipe.seed == 7\n"
        "print(json.dumps([out.getvalue(), err.getvalue()]))"
    )
    done = redwhale_code(code, make_workspace(tmp_path))
    assert done.returncode == 0, done.stderr
    printed, said = json.loads(done.stdout)
    lines = printed.splitlines()
    assert lines[0] == f"60 {tmp_path / 'run'}"
    assert {"preprocess done", "init-model done", "pack absent"} <= set(lines)
    assert lines[-1] == "unknown key `new_token` | did you mean `new_tokens`? | 2" and f"prints ``{lines[-1]}``" in page
    assert "what became of the records" in said and "Loading weights" not in said
    assert not {"\r", "\x1b"} & set(said + printed + done.stderr), said


def redwhale_code(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env=env)


@pytest.mark.slow
def test_a_type_checker_sees_the_names(tmp_path: Path) -> None:
    code = (
        "from redwhale import Console, Manifest, load_recipe, preprocess\n"
        "manifest: Manifest = preprocess.run(load_recipe('redwhale.yaml'), console=Console())\n"
        "reveal_type(manifest.counts)\n"
        "preprocess.run('redwhale.yaml')\n"
    )
    (tmp_path / "mine.py").write_text(code)
    alone = ["--no-site-packages", "--ignore-missing-imports"]  # libraries' own types take minutes
    command = [sys.executable, "-m", "mypy", *alone, "--cache-dir", str(tmp_path / "cache"), "mine.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={"MYPYPATH": str(ROOT)})
    assert "dict[str, Any]" in done.stdout and 'incompatible type "str"; expected "Recipe"' in done.stdout, done.stdout
