"""What the pages say can be done: their commands run, their recipes load, their links and names of code lead somewhere.

A ``sh`` block runs where its page stands in order, unless a comment before it says why it cannot:
``<!-- needs: gpu -->`` (hub, network, slurm, ray, tool NAME, …) or ``<!-- example -->``, whose commands are parsed.
``<!-- exit: 3 -->`` is the exit code to come, ``any`` where it depends on the moment. Pages of docs/how-to and the
tutorial begin beside a finished ``demo/``, the others in its folder.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from redwhale.cli import app
from redwhale.core.recipe.load import load_recipe
from redwhale.core.recipe.yaml_lines import read_yaml
from tests.documents import PAGES, ROOT, Block, anchors, blocks, definitions, links, name_of, named_code

BLOCKS = [block for page in PAGES for block in blocks(page)]
COMMANDS = [block for block in BLOCKS if block.language == "sh"]
EXECUTED = [block for block in COMMANDS if block.mark("needs") is None and block.mark("example") is None]
USAGE_ERROR: Any = typer.BadParameter.__base__  # click's, which newer versions of typer carry inside
LEAST_RECIPE = """\
base: {model: base}
preprocess: {sources: [{name: news, language: ko, path: news.jsonl}]}
tokenizer: {}
init: {}
pretrain: {stages: [{name: all, train: full, tokens: 1M, learning_rate: 1e-5}]}
"""


def test_every_block_says_what_it_is() -> None:
    assert [b.where for b in BLOCKS if b.language not in ("sh", "yaml", "text", "python")] == []


def test_marks_are_known() -> None:
    known = ("needs", "example", "exit", "fragment of")
    assert [(b.where, m) for b in BLOCKS for m in b.marks if m.partition(":")[0] not in known] == []
    assert [b.where for b in BLOCKS if b.mark("needs") == "" or b.mark("fragment of") == ""] == []


def commands_of(text: str) -> Iterator[list[str]]:
    """Yield the words of each `redwhale` command of a shell text, whatever stands before it or behind."""
    text = re.sub(r"<<'?(\w+)'?(.*?)\n\1\n", "\n", text.replace("\\\n", " "), flags=re.DOTALL)  # here documents
    splitter = shlex.shlex(re.sub(r"(?m)(^|\s)#.*$", "", text), posix=True, punctuation_chars="|&;()<>\n")
    splitter.whitespace, splitter.whitespace_split, splitter.commenters = " \t\r", True, ""
    words: list[str] = []
    for word in (*splitter, "\n"):
        if not set(word) <= set("|&;()<>\n"):
            words.append(word)
            continue
        while words and "=" in words[0]:  # variables
            del words[0]
        if words[:1] == ["timeout"]:
            del words[: words.index("redwhale")]
        if words[:1] == ["redwhale"]:
            yield words[1:-1] if word[0] == ">" and words[-1] == "2" else words[1:]
        words = []


def fault_of(words: list[str]) -> str:
    """Parse a command by the command line's own parser, as if it were to run; return what that says, "" if nothing."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("redwhale", [], resilient_parsing=True)
    words = list(words)
    while hasattr(command, "commands") and words[0] != "--help":
        name = words.pop(0)
        command = command.get_command(context, name)
        if command is None:
            return f"no command {name}"
    try:
        if "--help" not in words:
            command.make_context(command.name, words)
    except USAGE_ERROR as error:
        return error.format_message()
    return ""


@pytest.mark.parametrize("block", COMMANDS, ids=lambda block: block.where)
def test_commands_and_options_exist(block: Block) -> None:
    found = [(shlex.join(words), fault_of(words)) for words in commands_of(block.text)]
    assert [(command, fault) for command, fault in found if fault] == []


def test_the_parser_finds_what_is_wrong() -> None:
    text = "A=1 timeout 5 redwhale run -c 'a b' 2>&1 | cat && redwhale status  # redwhale x\nredwhale pack \\\n  -q\n"
    here = "find redwhale -name x\ncat > a <<'END'\nredwhale's\nEND\npython -c \"\nprint('redwhale')\n\"\n"
    assert list(commands_of(text + here)) == [["run", "-c", "a b"], ["status"], ["pack", "-q"]]
    for words, fault in {
        "runn": "no command runn", "run --fast": "--fast", "pretrain": "'--stage'", "eval bpb --limit 3": "--limit",
        "show lineage --help": "", "eval compare base 0": "",
    }.items():  # fmt: skip
        assert fault in (said := fault_of(words.split())) and bool(fault) == bool(said), said


def merged(least: Any, given: Any) -> Any:
    """Return ``given`` with what it leaves out taken from ``least``; an `existing` result has nothing beside it."""
    if not (isinstance(least, dict) and isinstance(given, dict)) or "existing" in given:
        return given
    return least | {key: merged(least.get(key), value) for key, value in given.items()}


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "yaml"], ids=lambda block: block.where)
def test_recipes_load(block: Block, tmp_path: Path) -> None:
    if block.mark("needs") is not None:  # another program's
        assert yaml.safe_load(block.text)
        return
    given: Any = read_yaml(block.text, block.where)[0]  # which takes no key twice
    for key in reversed((block.mark("fragment of") or "").split(".")):
        given = {key: given} if key else given
    least = {"version": 1, "workdir": "run"} | {
        key: value for key, value in yaml.safe_load(LEAST_RECIPE).items() if key in given
    }
    text = yaml.safe_dump(merged(least, given), allow_unicode=True, sort_keys=False)
    (tmp_path / "redwhale.yaml").write_text(block.text if "version" in given else text, encoding="utf-8")
    load_recipe(tmp_path / "redwhale.yaml")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and (file.suffix != ".md" or anchor not in anchors(file))):
            lost.append(target)
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_that_is_named_is_there(page: Path) -> None:
    lost = []
    for path, name in named_code(page):
        file = next((place / path for place in (ROOT, ROOT / "tests") if (place / path).is_file()), None)
        if file is None or name not in definitions(file):
            lost.append(f"{path}::{name}")
    assert lost == []


def test_every_page_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        waiting += [(page.parent / target.partition("#")[0]).resolve() for target in links(page) if target[0] != "#"]
    assert [name_of(page) for page in PAGES if page not in seen] == []


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A shell's variables: this tree's `redwhale` first, and no way to a network."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "redwhale").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m redwhale "$@"\n')
    (folder / "redwhale").chmod(0o755)
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    return os.environ | nowhere | {
        "PATH": f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "COLUMNS": "120",
    }  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """A finished `redwhale demo`, made once for all pages."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        ["redwhale", "demo", "--out", "demo", "-q"], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / "demo"


def run(block: Block, cwd: Path, environment: dict[str, str], scratch: Path) -> tuple[Path, str]:
    """Run a block; return the folder that it ends in, and what went wrong, "" where nothing."""
    place = scratch / "place"
    script = f"trap 'pwd > {shlex.quote(str(place))}' EXIT\n{block.text}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=cwd, env=environment, capture_output=True, text=True
    )
    wanted = block.mark("exit") or "0"
    is_right = wanted == "any" or str(done.returncode) in re.findall(r"\d+", wanted)
    said = "" if is_right else f"{block.where}: exit code {done.returncode}, not {wanted}\n{done.stdout}{done.stderr}"
    return Path(place.read_text().strip()), said


@pytest.mark.slow
@pytest.mark.parametrize("page", dict.fromkeys(block.page for block in EXECUTED), ids=name_of)
def test_the_commands_of_a_page_run(page: Path, demo: Path, environment: dict[str, str], tmp_path: Path) -> None:
    is_beside = page.name == "tutorial.md" or page.parent.name == "how-to"
    cwd = tmp_path / "work"
    shutil.copytree(demo, cwd / "demo" if is_beside else cwd)
    for block in (block for block in EXECUTED if block.page == page):
        cwd, said = run(block, cwd, environment, tmp_path)
        assert not said, said
