"""Load a recipe: YAML with line numbers, ``--set`` changes, every error at once with the nearest right key."""

from __future__ import annotations

import difflib
import os
import re
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.recipe.yaml_lines import KeyPath, read_yaml

DEFAULT_NAME = "redwhale.yaml"
COMMAND_LINE = "--set"


def load_recipe(file: Path, changes: Sequence[str] = ()) -> Recipe:
    """Return the recipe in ``file`` with ``a.b=c`` changes applied; raise exit code 2 with all faults."""
    recipe, _ = load_with_origins(file, changes)
    return recipe


def load_with_origins(file: Path, changes: Sequence[str] = ()) -> tuple[Recipe, dict[KeyPath, str]]:
    """Return the recipe and where each written key came from: ``file:line`` or ``--set``."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RedwhaleError(
            "there is no recipe here",
            where=str(file),
            fix="name one with -c FILE, or write one with `redwhale new`",
            exit_code=USAGE,
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RedwhaleError(f"the recipe cannot be read ({error})", where=str(file), exit_code=USAGE) from None
    data, lines = read_yaml(text, str(file))
    if not isinstance(data, dict):
        raise RedwhaleError("a recipe is a mapping of sections", where=f"{file}:1", exit_code=USAGE)
    origins = {path: f"{file}:{line}" for path, line in lines.items()}
    for change in changes:
        _apply(data, origins, change)
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        raise _explain(error, data, origins, file) from None
    recipe._file, recipe._changes = Path(os.path.abspath(file)), tuple(changes)  # noqa: PTH100  (folds `..`)
    return recipe, origins


def _apply(data: dict[str, Any], origins: dict[KeyPath, str], change: str) -> None:
    key, equals, written = change.partition("=")
    if not equals or not key:
        raise RedwhaleError(
            f"expected KEY=VALUE, got {change!r}", where=COMMAND_LINE,
            fix="write it as in `--set pretrain.micro_batch=4`", exit_code=USAGE,
        )  # fmt: skip
    value, _ = read_yaml(written, f"{COMMAND_LINE} {key}") if written.strip() else (None, {})
    path: KeyPath = tuple(int(part) if part.isdigit() else part for part in key.split("."))
    node: Any = data
    for part in path[:-1]:
        if isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
        elif isinstance(node, dict):
            if not isinstance(node.get(part), (dict, list)):
                node[part] = {}
            node = node[part]
        else:
            raise RedwhaleError(f"there is no {key!r} to set", where=COMMAND_LINE, exit_code=USAGE)
    last = path[-1]
    if isinstance(node, list) and not (isinstance(last, int) and last < len(node)):
        raise RedwhaleError(f"there is no {key!r} to set", where=COMMAND_LINE, exit_code=USAGE)
    node[last] = value
    for known in [known for known in origins if known[: len(path)] == path]:
        del origins[known]
    origins[path] = f"{COMMAND_LINE} {change}"


def _explain(error: ValidationError, data: Any, origins: dict[KeyPath, str], file: Path) -> RedwhaleError:
    """Turn pydantic's findings into one error each, ordered by line."""
    found: dict[tuple[KeyPath, str], RedwhaleError] = {}
    for finding in error.errors(include_url=False):
        path = _real_path(finding["loc"], data)
        what, fix = _message(finding, path)
        dotted = ".".join(map(str, path))
        where = _nearest_origin(path, origins, file)
        label = f"{where}: {dotted}" if dotted else where
        found.setdefault((path, what), RedwhaleError(what, where=label, fix=fix, exit_code=USAGE))
    first, *others = sorted(found.values(), key=lambda fault: _line_of(fault.where))
    return RedwhaleError(first.what, where=first.where, fix=first.fix, exit_code=USAGE, others=others)


def _line_of(where: str) -> int:
    """Return the line that a place names; what the command line set comes last."""
    numbers = re.search(r":(\d+)(?::|$)", where)
    return int(numbers[1]) if numbers else sys.maxsize


def _real_path(location: tuple[int | str, ...], data: Any) -> KeyPath:
    """Drop the parts of a pydantic location that are names of union branches, not keys."""
    path: list[int | str] = []
    node = data
    for index, part in enumerate(location):
        present = (isinstance(node, dict) and part in node) or (
            isinstance(node, list) and isinstance(part, int) and part < len(node)
        )
        if present:
            node = node[part]
            path.append(part)
        elif index == len(location) - 1 and isinstance(node, dict):
            path.append(part)  # a missing key
    return tuple(path)


def _nearest_origin(path: KeyPath, origins: dict[KeyPath, str], file: Path) -> str:
    for length in range(len(path), -1, -1):
        if path[:length] in origins:
            return origins[path[:length]]
    return str(file)


def _message(finding: Any, path: KeyPath) -> tuple[str, str]:
    kind = finding["type"]
    if kind == "extra_forbidden":
        known = list(_known_keys(path[:-1]))
        near = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.5)
        fix = f"did you mean `{near[0]}`?" if near else f"keys here: {', '.join(known)}"
        return f"unknown key `{path[-1]}`", fix
    if kind == "missing":
        return f"the key `{path[-1]}` is missing", "add it"
    message = finding["msg"].removeprefix("Value error, ")
    if kind.endswith("_type") and isinstance(finding["input"], (str, int, float, bool)):
        message += f", got {finding['input']!r}"
    if kind == "float_type" and isinstance(finding["input"], str):
        return message, "write the number without quotes"
    return message[0].lower() + message[1:], ""


def _known_keys(path: KeyPath) -> Iterator[str]:
    model: Any = Recipe
    for part in path:
        if isinstance(part, int):
            continue
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or part not in model.model_fields:
            return
        model = section_in(model.model_fields[part].annotation)
    if isinstance(model, type) and issubclass(model, BaseModel):
        yield from model.model_fields


def section_in(annotation: Any) -> Any:
    """Return the section class inside ``Optional``, ``list`` or ``Annotated``, or None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, list, typing.Annotated):
        for argument in typing.get_args(annotation):
            if (inner := section_in(argument)) is not None:
                return inner
    return None
