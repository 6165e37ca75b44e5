"""Read YAML 1.2 scalars, strictly and safely, and remember the line of every key.

PyYAML's own loader reads ``1e-4`` as text and ``on`` as true (YAML 1.1) and lets a later duplicate key
win silently; here numbers are numbers, only ``true`` and ``false`` are booleans, duplicate keys, tags and
merge keys are refused, and aliases are capped (an alias bomb ends at once).
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml

from redwhale.core.errors import USAGE, RedwhaleError, first_line

KeyPath = tuple[str | int, ...]
MOST_NODES = 100_000
MOST_BRACKETS = 50
# Longer ones are text, which no key for numbers takes: Python converts no number of 4,301 digits.
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]{0,99}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,99}|[0-9][0-9_]{0,99}(?:\.[0-9]{0,99})?)(?:[eE][-+]?[0-9]{1,9})?")
# YAML 1.2 has these too, YAML parsers differ, and a text field would take them for a name.
CAPITALS = {word: word.lower() for word in ("Null", "NULL", "True", "TRUE", "False", "FALSE")}
_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:str")


class _Loader(yaml.SafeLoader):
    """A safe loader that resolves no scalar by itself: all plain scalars arrive as text."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:
        """Refuse brackets in brackets without end: each open one costs the scanner time at every token."""
        if self.flow_level >= MOST_BRACKETS:
            raise yaml.scanner.ScannerError(None, None, "brackets are nested too deeply", self.get_mark())
        super().fetch_flow_collection_start(TokenClass)


def read_yaml(text: str, name: str) -> tuple[Any, dict[KeyPath, int]]:
    """Return the data and the line (from 1) of every key path; raise exit code 2 with ``name:line``."""
    lines: dict[KeyPath, int] = {}
    try:
        root = _Loader(text).get_single_node()
        if root is None:
            raise _bad("the file is empty", name, 1, fix="write a recipe with `redwhale new`")
        return _Builder(name, lines).build(root, ()), lines
    except RecursionError:
        raise _bad("the file is nested too deeply", name, 1, fix="no section lies deeper than six others") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        what = str(error.problem or error)
        fix = "indent with spaces" if "'\\t'" in what else "mend the brackets, quotes or indentation there"
        raise _bad(what, name, line, fix=fix) from None
    except yaml.YAMLError as error:
        raise _bad(first_line(error), name, 1, fix="save the file as UTF-8 text") from None


def _bad(what: str, name: str, line: int, *, fix: str) -> RedwhaleError:
    return RedwhaleError(what, where=f"{name}:{line}", fix=fix, exit_code=USAGE)


class _Builder:
    """Turns nodes into plain Python values, counting them."""

    def __init__(self, name: str, lines: dict[KeyPath, int]) -> None:
        self._name, self._lines, self._nodes = name, lines, 0
        self._open: set[int] = set()

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        line = node.start_mark.line + 1
        self._nodes += 1
        if self._nodes > MOST_NODES:
            what = f"the file unfolds to more than {MOST_NODES:,} values (aliases?)"
            raise _bad(what, self._name, line, fix="write the values out")
        if id(node) in self._open:
            raise _bad("an alias contains itself", self._name, line, fix="write the value out")
        if node.tag not in _TAGS:
            raise _bad(f"the tag {node.tag!r} is not allowed", self._name, line, fix="write the plain value")
        self._lines.setdefault(path, line)
        if isinstance(node, yaml.ScalarNode):
            if node.style is None and (meant := CAPITALS.get(node.value)):
                what = f"{node.value} is written small or, as text, in quotes"
                raise _bad(what, self._name, line, fix=f"did you mean `{meant}`?")
            return scalar(node.value) if node.style is None else node.value
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(child, (*path, i)) for i, child in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag not in _TAGS:
                raise _bad("a key must be plain text", self._name, line, fix="write it as `key: value`")
            key = key_node.value
            if key == "<<":
                raise _bad("merge keys (<<) are not allowed", self._name, line, fix="write the keys out")
            if key in result:
                raise _bad(f"the key {key!r} stands twice in one mapping", self._name, line, fix="remove one")
            self._lines[(*path, key)] = line
            result[key] = self.build(value_node, (*path, key))
        return result


def scalar(text: str) -> Any:
    """Return the value of a plain scalar: null, boolean, integer, float, else the text itself."""
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    return text
