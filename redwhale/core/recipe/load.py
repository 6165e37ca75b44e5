"""Load a recipe: YAML with line numbers, ``--set`` changes, every error at once with the nearest right key."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.explain import explain
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.recipe.yaml_lines import KeyPath, read_yaml

DEFAULT_NAME = "redwhale.yaml"
COMMAND_LINE = "--set"


def load_recipe(file: Path | str, changes: Sequence[str] = ()) -> Recipe:
    """Return the recipe in ``file`` with ``a.b=c`` changes applied; raise exit code 2 with all faults."""
    recipe, _ = load_with_origins(Path(file), changes)
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
        raise RedwhaleError(
            f"the recipe cannot be read ({error})", where=str(file), fix="name a file of text in UTF-8", exit_code=USAGE
        ) from None
    data, lines = read_yaml(text, str(file))
    if not isinstance(data, dict):
        raise RedwhaleError(
            f"a recipe is a mapping of sections, this is {'a list' if isinstance(data, list) else repr(data)[:40]}",
            where=f"{file}:1", fix="write one with `redwhale new`", exit_code=USAGE,
        )  # fmt: skip
    origins = {path: f"{file}:{line}" for path, line in lines.items()}
    for change in changes:
        _apply(data, origins, change)
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        raise explain(error, data, origins, file) from None
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
    node: Any = data
    path: KeyPath = ()
    for place, written_part in enumerate(parts := key.split(".")):
        part = _entry_of(node, written_part, key)
        path = (*path, part)
        if place == len(parts) - 1:
            node[part] = value
        else:
            if isinstance(node, dict) and not isinstance(node.get(part), (dict, list)):
                node[part], origins[path] = {}, f"{COMMAND_LINE} {change}"
            node = node[part]
    for known in [known for known in origins if known[: len(path)] == path]:
        del origins[known]
    origins[path] = f"{COMMAND_LINE} {change}"


def _entry_of(node: Any, part: str, key: str) -> int | str:
    """Return a part of a key as its container takes it: a number in a list alone, for a source may be named `2024`."""
    if isinstance(node, dict) and part:
        return part
    if isinstance(node, list) and part.isdecimal() and int(part) < len(node):
        return int(part)
    raise _nothing_to_set(key)


def _nothing_to_set(key: str) -> RedwhaleError:
    fix = "entries of a list go by their number from 0, as in pretrain.stages.0.tokens"
    return RedwhaleError(f"there is no {key!r} to set", where=COMMAND_LINE, fix=fix, exit_code=USAGE)
