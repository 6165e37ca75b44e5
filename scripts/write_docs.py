"""Write what is generated: cli, recipe, reliability, exit-codes and manifest of docs, and configs/*.yaml.

Run by ``make docs``; a test checks that the files are what this writes.
"""

from __future__ import annotations

import ast
import itertools
import json
import subprocess
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from redwhale.core import artifact
from redwhale.core.recipe import presets
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.recipe.render import flow
from redwhale.core.recipe.schema import section_in

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = (
    "new", "doctor", "plan", "run", "status", "report", "show recipe", "show lineage", "preprocess", "train-tokenizer",
    "init-model", "pack", "pretrain", "eval kobest", "eval bpb", "eval retention", "eval samples", "eval harness",
    "eval compare", "eval tokenizer", "demo",
)  # fmt: skip


def cli_reference() -> str:
    """Return every command's help text."""
    parts = ["# Commands\n", "Written by `make docs` from `--help`.\n"]
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "redwhale", *command.split(), "--help"],
            capture_output=True, text=True, check=True, env={"COLUMNS": "100", "PATH": ""},
        )  # fmt: skip
        parts.append(f"## redwhale {command}\n\n```text\n{done.stdout.rstrip()}\n```\n")
    parts.append(
        "## Exit codes\n\nWhat each says: [exit-codes.md](exit-codes.md). An error is one line on stderr, "
        "`error: WHERE: WHAT; FIX`, also with\n`--json` (stdout then stays empty). "
        "`--debug`, anywhere on the line, shows the traceback too.\n"
    )
    return "\n".join(parts)


def recipe_reference() -> str:
    """Return every key of a recipe with its type, default and documentation."""
    parts = [
        "# Recipe\n",
        "Written by `make docs` from the fields' own documentation. Sizes: `2B` tokens, `256MiB`; shares: `0.1%`.",
        "Relative paths start at the recipe's folder. Unknown keys are errors.\n",
    ]
    _section(parts, Recipe, "")
    return "\n".join(parts).rstrip() + "\n"


def _section(parts: list[str], model: type[BaseModel], path: str) -> None:
    parts.append(f"## `{path}`\n" if path else "## Top level\n")
    parts.append(" ".join((model.__doc__ or "").split()) + "\n")
    inner: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        section = section_in(field.annotation)
        if section is not None:
            listed = typing.get_origin(field.annotation) is list
            inner.append((f"{path}.{name}" if path else name, section))
            kind = "list of sections, below" if listed else "section, below"
        else:
            kind = "required" if field.is_required() else f"default {_default(field.default)}"
            if len(words := _choices(field.annotation)) > 1:
                kind += f"; {' | '.join(words)}"
        parts.append(f"- **`{name}`** ({kind}). {' '.join((field.description or '').split())}")
    parts.append("")
    for where, section in inner:
        _section(parts, section, where)


def _choices(annotation: typing.Any) -> list[str]:
    """Return the words that a field takes, where it takes words only."""
    if typing.get_origin(annotation) is typing.Literal:
        return [f"`{flow(word)}`" for word in typing.get_args(annotation)]
    return []


def _default(value: object) -> str:
    return "unset" if value is None else f"`{flow(value)}`"


def exit_codes() -> str:
    """Return the table of exit codes, from the constants and what is said below each."""
    path = ROOT / "redwhale" / "core" / "errors.py"
    body = ast.parse(path.read_text(encoding="utf-8")).body
    rows = [
        f"| {node.value.value} | `{ast.unparse(node.targets[0])}` | {' '.join(said.value.value.split())} |"
        for node, said in itertools.pairwise(body)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        and isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant)
    ]  # fmt: skip
    return "\n".join([
        "# Exit codes\n",
        "Written by `make docs` from `redwhale/core/errors.py`, whose names stand beside them. "
        "[cli.md](cli.md) has the commands.\n",
        "| code | name | what it says |", "|---|---|---|", *rows, "",
        "Never 0 with silent loss: what was left out is counted, and too much of it is a gate "
        "([artifacts.md](artifacts.md#gates)).",
        "A script that goes on by itself may repeat a command after 130 and 143, and after 4 once there is room; "
        "after 2 and 3 somebody\nhas to look.", "",
        "With `--json` a command prints one document on stdout: `schema`, `command` and its own keys, or, where it "
        "failed,\n`schema`, `errors` (the lines of stderr) and `exit_code`.", "",
    ])  # fmt: skip


def manifest_reference() -> str:
    """Return the fields of `manifest.json`, from their own documentation."""
    parts = [
        "# manifest.json\n",
        "Written by `make docs` from the fields' own documentation in `redwhale/core/artifact.py`. Every finished",
        "result has one, written last ([artifacts.md](artifacts.md)); `redwhale.core.artifact.read_manifest(folder)`",
        "reads it.\n",
        "## The digest of a result\n",
        f"{artifact.Manifest.digest.__doc__}",
        "It is the sha256 of paths and sha256 of `outputs`, in order, as JSON without spaces; it stands in no file of",
        "its own, and in every later manifest as the `digest` of an input.\n",
    ]
    records = (artifact.Manifest, artifact.InputRecord, artifact.FileRecord, artifact.GateRecord)
    titles = ("Fields", "Entries of `inputs`", "Entries of `outputs`", "Entries of `gates`")
    for title, model in zip(titles, records, strict=True):
        parts.append(f"## {title}\n\n{' '.join((model.__doc__ or '').replace('``', '`').split())}\n")
        for name, field in model.model_fields.items():
            default = "" if field.is_required() else f"; default {_default(field.default)}"
            said = " ".join((field.description or "").split())
            parts.append(f"- **`{name}`** ({_kind(field.annotation)}{default}). {said}")
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _kind(annotation: typing.Any) -> str:
    """Return the JSON type of a manifest's field."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return "list of entries, below"
    if origin is dict:
        return "object of numbers" if inner[1] is float else "object"
    if types.NoneType in inner:
        return f"{_kind(inner[0])} or null"
    return {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}[annotation.__name__]


def reliability() -> str:
    """Return the table of promises, each with the tests that keep it."""
    sys.path.insert(0, str(ROOT))
    from tests.promises import PROMISES

    kept: dict[str, list[str]] = {number: [] for number in PROMISES}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for number, name in _promised(ast.parse(path.read_text(encoding="utf-8"))):
            kept[number].append(f"{path.relative_to(ROOT)}::{name}")
    parts = [
        "# What is promised, and what tests it\n",
        "Written by `make docs` from `tests/promises.py` and the tests' own marks. Run the tests of one row with "
        "`pytest -m 'not gpu' FILE::TEST`,",
        "all of them with `make test` and `make test-slow`.\n",
        "| | promise | tests |",
        "|---|---|---|",
    ]
    for number, promise in PROMISES.items():
        tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in kept[number])
        parts.append(f"| {number} | {promise.replace('|', chr(92) + '|')} | {tests or 'none yet'} |")
    return "\n".join(parts) + "\n"


def _promised(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield (promise, test) for each mark on a test or on the class around it."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.promise":
                    for number in mark.args:
                        yield ast.literal_eval(number), node.name


def generated() -> dict[str, str]:
    """Return every generated file's path and text."""
    schema = json.dumps(Recipe.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
    files = {"docs/cli.md": cli_reference(), "docs/recipe.md": recipe_reference(), "docs/recipe.schema.json": schema}
    files |= {"docs/reliability.md": reliability(), "docs/exit-codes.md": exit_codes()}
    files["docs/manifest.md"] = manifest_reference()
    return files | {f"configs/{name}.yaml": presets.preset_text(name) for name in presets.NAMES}


if __name__ == "__main__":
    for path, text in generated().items():
        target = ROOT / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(path)
