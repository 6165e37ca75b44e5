"""Turn what pydantic finds wrong in a recipe into errors with line, key and what was meant."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe import schema
from redwhale.core.recipe.fields import Misfit
from redwhale.core.recipe.nearest import alike, folded, misspelt
from redwhale.core.recipe.yaml_lines import KeyPath, scalar

_MOST_PLACES = 3
_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "model_attributes_type": "a mapping of keys",
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "string_pattern_mismatch": "text of the pattern {pattern}",
}
_BOOLEANS = {"yes": "true", "on": "true", "no": "false", "off": "false"}  # of YAML 1.1


def explain(error: ValidationError, data: Any, origins: dict[KeyPath, str], file: Path) -> RedwhaleError:
    """Return pydantic's findings as one error each, ordered by line."""
    found: dict[KeyPath, list[tuple[str, str]]] = {}
    findings = [(_path_of(finding, data, origins), finding) for finding in error.errors(include_url=False)]
    for path, finding in findings:
        if not _is_of_another_branch(path, finding, [other for other, _ in findings]):
            messages = found.setdefault(path, [])
            messages.extend({_message(finding, path)} - set(messages))
    faults = []
    for path, messages in found.items():
        dotted = ".".join(map(str, path))
        where = _nearest_origin(path, origins, file)
        label = f"{where}: {dotted}" if dotted else where
        faults += [RedwhaleError(what, where=label, fix=fix, exit_code=USAGE) for what, fix in _joined(messages)]
    first, *others = sorted(faults, key=lambda fault: _line_of(fault.where))
    return RedwhaleError(first.what, where=first.where, fix=first.fix, exit_code=USAGE, others=others)


def _line_of(where: str) -> int:
    """Return the line that a place names; what the command line set comes last."""
    numbers = re.search(r":(\d+)(?::|$)", where)
    return int(numbers[1]) if numbers else sys.maxsize


def _path_of(finding: Any, data: Any, origins: dict[KeyPath, str]) -> KeyPath:
    """Return the path of the key that a finding is about, without the names of union branches."""
    misfit = _misfit(finding)
    key = misfit.key if misfit else ()
    for length in range(len(key), 0, -1):  # a mapping that `--set` gave has no lines inside
        if key[:length] in origins:
            return key[:length]
    path: list[int | str] = []
    node, location = data, finding["loc"]
    for index, part in enumerate(location):
        present = (isinstance(node, dict) and part in node) or (
            isinstance(node, list) and isinstance(part, int) and part < len(node)
        )
        if present:
            node = node[part]
            path.append(part)
        elif index == len(location) - 1 and isinstance(node, dict) and finding["type"] == "missing":
            path.append(part)
    return tuple(path)


def _misfit(finding: Any) -> Misfit | None:
    cause = finding.get("ctx", {}).get("error")
    return cause if isinstance(cause, Misfit) else None


def _nearest_origin(path: KeyPath, origins: dict[KeyPath, str], file: Path) -> str:
    for length in range(len(path), -1, -1):
        if path[:length] in origins:
            return origins[path[:length]]
    return str(file)


def _is_of_another_branch(path: KeyPath, finding: Any, paths: Sequence[KeyPath]) -> bool:
    """Tell whether a finding only says that a mapping is not the word that could stand in its place."""
    deeper = any(len(other) > len(path) and other[: len(path)] == path for other in paths)
    return deeper and finding["type"] == "literal_error" and isinstance(finding["input"], (dict, list))


def _joined(messages: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what the branches of a union expected as one message."""
    parts = [re.fullmatch(r"expected (.*?)(, got .*)", what, re.DOTALL) for what, _ in messages]
    ends = {part[2] for part in parts if part}
    if len(messages) < 2 or not all(parts) or len(ends) != 1:
        return messages
    fix = next((fix for _, fix in messages if fix.startswith("did you mean")), "")
    return [(f"expected {' or '.join(part[1] for part in parts if part)}{ends.pop()}", fix)]


def _message(finding: Any, path: KeyPath) -> tuple[str, str]:
    """Return what is wrong and what mends it."""
    kind, written = finding["type"], finding["input"]
    place = tuple(part for part in path if isinstance(part, str))
    if kind == "extra_forbidden":
        return f"unknown key `{path[-1]}`", _meant_key(str(path[-1]), place[:-1])
    if kind == "missing" and isinstance(finding["loc"][-1], int):  # of a list of fixed length
        return f"entry {finding['loc'][-1] + 1} is missing, got {len(written)} in a list", "write all of its entries"
    if kind == "too_long":
        most, had = finding["ctx"]["max_length"], finding["ctx"]["actual_length"]
        return f"expected {most} entries at most, got {had}", "take some out"
    if kind == "too_short":
        least, had = finding["ctx"]["min_length"], finding["ctx"]["actual_length"]
        return f"expected {least} {'entry' if least == 1 else 'entries'} at least, got {had or 'none'}", "add some"
    if kind == "missing":
        return f"the key `{path[-1]}` is missing", "add it"
    if misfit := _misfit(finding):
        return str(misfit), _meant_null(written, place) or misfit.fix
    if kind == "literal_error":
        expected = finding["ctx"]["expected"].replace("'", "")
        words = re.findall(r"'([^']*)'", finding["ctx"]["expected"])
        meant = misspelt(written, words) if isinstance(written, str) else None
        fix = _meant_null(written, place) or (f"did you mean `{meant}`?" if meant else "")
        return f"expected {expected}, got {_shown(written)}", fix
    if kind in _EXPECTED:
        expected = _EXPECTED[kind].format(**finding.get("ctx", {}))
        return f"expected {expected}, got {_shown(written)}", _meant_null(written, place) or _meant_value(kind, written)
    message = finding["msg"].removeprefix("Value error, ")
    return message[0].lower() + message[1:], _meant_null(written, place)


def _shown(value: Any) -> str:
    """Return a value as an error shows it; what is long has its kind only."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    return repr(value)


def _meant_key(word: str, place: schema.Place) -> str:
    """Say which key of this section was meant, or where a key of this name belongs."""
    here = schema.known_keys(place)
    elsewhere: dict[str, list[schema.Place]] = {}
    for key, other in schema.places():
        elsewhere.setdefault(key, []).append(other)
    near = misspelt(word, here)
    home = next((key for key in elsewhere if folded(key) == folded(word)), None)
    if home is None and near is None and len(word) > 3:
        home = misspelt(word, elsewhere)
    belongs = f"`{home}` belongs to {_nearest_places(elsewhere[home], place)}" if home else ""
    if near:
        return f"did you mean `{near}`?" + (f" {belongs}" if belongs else "")
    if belongs:
        return belongs
    loose = alike(word, here)
    return f"did you mean `{loose}`?" if loose else f"keys here: {', '.join(here)}"


def _nearest_places(found: list[schema.Place], place: schema.Place) -> str:
    def steps(other: schema.Place) -> int:
        shared = next((i for i, (a, b) in enumerate(zip(place, other, strict=False)) if a != b), None)
        common = min(len(place), len(other)) if shared is None else shared
        return len(place) + len(other) - 2 * common

    least = min(map(steps, found))
    names = [schema.name_of(other) for other in found if steps(other) == least]
    return " or ".join(names[:_MOST_PLACES]) + (" or others" if len(names) > _MOST_PLACES else "")


def _meant_null(written: Any, place: schema.Place) -> str:
    is_word = isinstance(written, str) and folded(written) in ("null", "none", "nil", "nul", "nulll")
    return "did you mean `null`?" if is_word and schema.takes_null(place) else ""


def _meant_value(kind: str, written: Any) -> str:
    """Say how the value is written that was meant, as text in place of a number."""
    if kind == "bool_type" and isinstance(written, str):
        meant = _BOOLEANS.get(written.casefold()) or misspelt(written, ("true", "false"))
        return f"did you mean `{meant}`?" if meant else ""
    if kind in ("int_type", "float_type") and isinstance(written, str) and isinstance(scalar(written), (int, float)):
        return "write the number without quotes"
    if kind == "string_type" and isinstance(written, (int, float)) and not isinstance(written, bool):
        return "put it in quotes"
    return ""
