"""Shards as JSON, for processes that Slurm starts: a function of this package by name, its shards as their fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from redwhale.core.errors import USAGE, RedwhaleError, first_line
from redwhale.core.publish import write_json

_PACKAGE = "redwhale."


def write_shards(path: Path, function: Callable[[Any], None], shards: Sequence[Any]) -> None:
    """Publish the shards that ``function`` is to be run over; its annotation says of which class they are."""
    name, adapter = f"{function.__module__}:{function.__name__}", _adapter(function)
    write_json(path, {"function": name, "shards": [adapter.dump_python(shard, mode="json") for shard in shards]})


def read_shards(path: Path) -> tuple[Callable[[Any], None], list[Any]]:
    """Return what ``write_shards`` wrote. Raises exit code 2 where the file is not whole or names what is not ours."""
    try:
        raw = json.loads(path.read_bytes())
        module, _, name = raw["function"].partition(":")
        if not module.startswith(_PACKAGE):
            raise ValueError(f"{module} is not of this package")
        function = getattr(import_module(module), name)
        adapter = _adapter(function)
        return function, [adapter.validate_python(shard) for shard in raw["shards"]]
    except (ValueError, KeyError, TypeError, AttributeError, ImportError, ValidationError) as error:
        raise RedwhaleError(
            f"the list of shards cannot be read ({first_line(error)})", where=str(path),
            fix="run the step's own command again, which writes it", exit_code=USAGE,
        ) from None  # fmt: skip


def _adapter(function: Callable[[Any], None]) -> TypeAdapter[Any]:
    return TypeAdapter(get_type_hints(function)["shard"])
