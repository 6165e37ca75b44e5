"""What the command line does before it does anything: nothing heavy is imported for help, completion or the package.

Seconds are measured by scripts/bench_startup.py; here stands what they hang on.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = (
    "accelerate", "datasets", "deepspeed", "fsspec", "huggingface_hub", "kiwipiepy", "numba", "numpy", "pandas", "peft",
    "pyarrow", "safetensors", "sentencepiece", "tokenizers", "torch", "transformers", "yaml", "zstandard",
)  # fmt: skip


def modules_after(code: str) -> set[str]:
    """Return the names of the packages that a fresh interpreter holds after ``code``."""
    ending = "\nimport sys\nprint(*{name.partition('.')[0] for name in sys.modules}, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code + ending], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines())


def completed(words: str, cwd: Path, shell: str = "bash") -> list[str]:
    """Return what a shell is offered for the last one of ``words``."""
    env = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "_REDWHALE_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1),
        "_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }  # fmt: skip
    command = [sys.executable, "-m", "redwhale"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, check=True)
    assert not done.stderr
    return done.stdout.split("\n")[:-1]


def test_the_package_imports_nothing_but_the_standard_library() -> None:
    outside = modules_after("import redwhale") - modules_after("") - sys.stdlib_module_names
    assert outside == {"redwhale"}


def test_no_command_s_help_imports_anything_heavy() -> None:
    spec = importlib.util.spec_from_file_location("bench_startup", ROOT / "scripts" / "bench_startup.py")
    assert spec and spec.loader
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    commands = list(bench.commands())
    assert ["eval", "kobest"] in commands and ["show", "lineage"] in commands and len(commands) > 20
    code = (
        "import contextlib, io\nfrom redwhale.cli import app\n"
        f"for words in {commands!r}:\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as out:\n"
        "        app(args=[*words, '--help'], prog_name='redwhale', standalone_mode=False)\n"
        "    assert 'Example:' in out.getvalue(), words"
    )
    assert not modules_after(code) & set(HEAVY)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_script_and_its_words(shell: str, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-m", "redwhale", "--show-completion", shell]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
    assert f"_REDWHALE_COMPLETE=complete_{shell}" in done.stdout and not done.stderr
    offered = "\n".join(completed("redwhale eval ko", tmp_path, shell))
    assert "kobest" in offered and "bpb" not in offered


def test_commands_options_and_names_are_offered(tmp_path: Path) -> None:
    (tmp_path / "redwhale.yaml").write_text(
        "pretrain:\n  stages:\n    - {name: embeddings}\n    - {name: odd, split: 2}\n    - {name: lora}\n"
    )
    (tmp_path / "broken.yaml").write_text("pretrain: {stages: [")
    assert completed("redwhale pre", tmp_path) == ["preprocess", "pretrain"]
    assert completed("redwhale pretrain --st", tmp_path) == ["--stage"]
    assert completed("redwhale new --preset 8", tmp_path) == ["80gb", "8x80gb"]
    assert completed("redwhale plan --gpu h", tmp_path) == ["h100-80gb", "h200-141gb"]
    stages = ["embeddings", "1", "odd-1", "2", "odd-2", "3", "lora", "4"]
    assert completed("redwhale pretrain --stage ", tmp_path) == stages
    assert completed("redwhale eval bpb --model ", tmp_path) == ["base", "0", *stages]
    assert completed("redwhale eval compare base o", tmp_path) == ["odd-1", "odd-2"]
    for recipe in ("broken.yaml", "none.yaml"):
        assert "".join(completed(f"redwhale pretrain -c {recipe} --stage ", tmp_path)) == ""


def test_completion_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "redwhale.yaml").write_text("pretrain: {stages: [{name: a}]}")
    for words in ("redwhale new --preset d", f"redwhale plan -c {tmp_path / 'redwhale.yaml'} --stage a"):
        code = (
            f"import os\nos.environ.update(_REDWHALE_COMPLETE='complete_bash', COMP_WORDS={words!r}, "
            f"COMP_CWORD='{len(words.split()) - 1}')\nfrom redwhale.cli import app\n"
            "try:\n    app(prog_name='redwhale')\nexcept SystemExit:\n    pass"
        )
        found = modules_after(code)
        assert not found & (set(HEAVY) - {"yaml"}) and ("a" in found or "demo" in found)
