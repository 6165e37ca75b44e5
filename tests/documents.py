"""The pages of the documentation as tests read them: fenced blocks with their marks, headings, links, names of code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "README.ko.md", *sorted((ROOT / "docs").rglob("*.md")))

_FENCE = re.compile(r"( *)```(\w*)\s*$")
_MARK = re.compile(r"<!--\s*(.+?)\s*-->\s*$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"#{1,6} +(.*)")
_NAME = re.compile(r"`([\w./-]+\.py)::([\w.]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the marks, HTML comments, that stand before it."""

    page: Path
    line: int
    language: str
    text: str
    marks: tuple[str, ...]

    @property
    def where(self) -> str:
        """Return page and line, as editors open them."""
        return f"{name_of(self.page)}:{self.line}"

    def mark(self, name: str) -> str | None:
        """Return what a mark says behind its colon, "" where it says nothing more, None where it is absent."""
        for mark in self.marks:
            head, _, rest = mark.partition(":")
            if head == name:
                return rest.strip()
        return None


def name_of(page: Path) -> str:
    """Return a page's path from the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    found, marks = list[Block](), list[str]()
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), 1))
    for number, line in lines:
        if mark := _MARK.fullmatch(line.strip()):
            marks.append(mark[1])
        elif fence := _FENCE.match(line):
            inside = []
            for _, own in lines:
                if own.strip() == "```":
                    break
                inside.append(own.removeprefix(fence[1]))
            found.append(Block(page, number, fence[2], "\n".join(inside) + "\n", tuple(marks)))
            marks = []
        elif line.strip():
            marks = []
    return found


def prose(page: Path) -> list[str]:
    """Return the lines of a page outside fenced blocks."""
    kept, inside = list[str](), False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.strip().startswith("```"):
            inside = not inside
        elif not inside:
            kept.append(line)
    return kept


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for line in prose(page):
        if heading := _HEADING.match(line):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).strip().lower()
            slug = base = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            number = 0
            while slug in found:
                number += 1
                slug = f"{base}-{number}"
            found.add(slug)
    return found


def links(page: Path) -> Iterator[str]:
    """Yield the targets of a page's links that lie in the repository."""
    for target in _LINK.findall(re.sub(r"`[^`]*`", "", "\n".join(prose(page)))):
        if not re.match(r"[a-z]+:", target):
            yield target


def named_code(page: Path) -> Iterator[tuple[str, str]]:
    """Yield (file, name) of each `file.py::name` that a page points to."""
    yield from _NAME.findall("\n".join(prose(page)))


@cache
def definitions(file: Path) -> frozenset[str]:
    """Return the names that a Python file defines: functions, classes, constants, and each ``Class.method``."""
    names: list[str] = []
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        if isinstance(node, ast.ClassDef):
            names += [f"{node.name}.{own.name}" for own in node.body if isinstance(own, ast.FunctionDef)]
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names += [target.id for target in targets if isinstance(target, ast.Name)]
    return frozenset(names)
