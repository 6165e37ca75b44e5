"""Slips of the hand in complete recipes, made by seeded rules; each knows the line it is on and what was meant."""

import random
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from redwhale.core.recipe.schema import annotation_at, known_keys
from redwhale.core.recipe.yaml_lines import KeyPath, read_yaml

ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # of the keyboard
CAPITALS = {"true": "True", "false": "False", "null": "Null"}
LAYER_WORDS = ("odd", "even", "all", "added")


@dataclass(frozen=True)
class Typo:
    """A recipe with one slip: ``wrong`` stands on ``line`` where ``right`` was meant (for a moved key, its place)."""

    rule: str
    text: str
    line: int
    wrong: str
    right: str


def dropped(word: str, draw: random.Random) -> str:
    place = draw.choice(letters(word))
    return word[:place] + word[place + 1 :]


def doubled(word: str, draw: random.Random) -> str:
    place = draw.choice(letters(word))
    return word[:place] + word[place] + word[place:]


def swapped(word: str, draw: random.Random) -> str:
    place = draw.randrange(max(len(word) - 1, 1))
    return word[:place] + word[place : place + 2][::-1] + word[place + 2 :]


def neighboured(word: str, draw: random.Random) -> str:
    place = draw.choice(letters(word))
    row = next(row for row in ROWS if word[place] in row)
    there = row.index(word[place])
    return word[:place] + draw.choice(row[max(there - 1, 0) : there] + row[there + 1 : there + 2]) + word[place + 1 :]


def dashed(word: str, draw: random.Random) -> str:
    return word.translate(str.maketrans("-_", "_-"))


def pluralised(word: str, draw: random.Random) -> str:
    return word[:-1] if word.endswith("s") else word + "s"


def cased(word: str, draw: random.Random) -> str:
    camel = re.sub("[_-]([a-z])", lambda found: found[1].upper(), word)
    return draw.choice([word.capitalize(), word.upper(), camel])


def letters(word: str) -> list[int]:
    return [place for place, letter in enumerate(word) if letter.isascii() and letter.islower()]


LETTERS = (dropped, doubled, swapped, neighboured)


def field_at(path: KeyPath) -> Any:
    """Return the type of the key at ``path``, None where the recipe is free there (a mixture)."""
    return annotation_at(place(path))


def known_at(path: KeyPath) -> set[str]:
    return set(known_keys(place(path)))


def place(path: KeyPath) -> tuple[str, ...]:
    return tuple(part for part in path if isinstance(part, str))


def words_of(annotation: Any) -> set[str]:
    """Return the words that a field takes, inside lists and unions too."""
    if typing.get_origin(annotation) is typing.Literal:
        return {word for word in typing.get_args(annotation) if isinstance(word, str)}
    return set().union(*map(words_of, typing.get_args(annotation)))


class Slips:
    """Makes typos of one recipe."""

    def __init__(self, text: str, draw: random.Random) -> None:
        self.text, self.rows, self.draw = text, text.splitlines(), draw
        self.data, self.lines = read_yaml(text, "recipe")

    def value(self, path: KeyPath) -> Any:
        node = self.data
        for part in path:
            node = node[part]
        return node

    def changed(self, rule: str, line: int, pattern: str, wrong: str, right: str) -> Typo | None:
        row, count = re.subn(pattern, lambda found: found[1] + wrong + found[2], self.rows[line - 1], count=1)
        if not count or wrong == right:
            return None
        return Typo(rule, "\n".join([*self.rows[: line - 1], row, *self.rows[line:]]) + "\n", line, wrong, right)

    def key(self, rule: Callable[[str, random.Random], str], paths: list[KeyPath], kind: str = "key") -> Typo | None:
        path = self.draw.choice(paths)
        right = str(path[-1])
        wrong = rule(right, self.draw)
        if wrong in known_at(path[:-1]) or len(wrong) < 2:
            return None
        return self.changed(f"{kind} {rule.__name__}", self.lines[path], rf"(^|[ {{]){right}(:)", wrong, right)

    def keys(self) -> list[KeyPath]:
        return [path for path in self.lines if path and isinstance(path[-1], str) and field_at(path) is not None]

    def source_names(self) -> list[KeyPath]:
        return [path for path in self.lines if len(path) > 1 and path[-2] == "mixture"]

    def word(self, rule: Callable[[str, random.Random], str]) -> Typo | None:
        """Misspell a value that is one of a few words."""
        worded = []
        for path in self.lines:
            value, annotation = self.value(path), field_at(path)
            known = words_of(annotation) | (set(LAYER_WORDS) if path[-1:] == ("layers",) else set())
            if isinstance(value, str) and value in known:
                worded.append((path, value, known))
        path, right, known = self.draw.choice(worded)
        wrong = rule(right, self.draw)
        if wrong in known or len(wrong) < 2:
            return None
        before = rf"[\[ ]{right}" if isinstance(path[-1], int) else rf"(?<![\w-]){path[-1]}: {right}"
        pattern = rf"({before.removesuffix(right)}){right}([,\]}}]|\s|$)"
        return self.changed(f"value {rule.__name__}", self.lines[path], pattern, wrong, right)

    def constant(self) -> Typo | None:
        """Write ``True``, ``False`` or ``Null`` where the recipe has it small."""
        written = {True: "true", False: "false", None: "null"}
        paths = [path for path in self.lines if self.value(path) is None or isinstance(self.value(path), bool)]
        path = self.draw.choice(paths)
        right = written[self.value(path)]
        return self.changed(
            "value capital", self.lines[path], rf"({path[-1]}: ){right}(\b)", CAPITALS[right], right
        )  # fmt: skip

    def moved(self, *, up: bool) -> Typo | None:
        """Move a key one level up, before its own section, or down, into a section beside it."""
        path = self.draw.choice([p for p in self.keys() if len(p) > up and not isinstance(self.value(p), (dict, list))])
        line, key = self.lines[path], str(path[-1])
        beside = [p for p in self.keys() if p[:-1] == path[:-1] and isinstance(self.value(p), dict)]
        if up:
            into, before, indent = path[:-2], self.lines[path[:-1]] - 1, 2 * (len(path) - 2)
        elif beside:
            into = self.draw.choice(beside)
            before, indent = self.lines[into], 2 * len(into)
        else:
            return None
        row = self.rows[line - 1].strip()
        if key in known_at(into) or not row.startswith(f"{key}:") or "{" in self.rows[self.lines[into] - 1]:
            return None
        rows = [*self.rows[: line - 1], *self.rows[line:]]
        at = before - (before >= line)
        text = "\n".join([*rows[:at], " " * indent + row, *rows[at:]]) + "\n"
        return Typo("moved up" if up else "moved down", text, at + 1, key, ".".join(map(str, path[:-1])) or "top level")

    def rules(self) -> list[Callable[[], Typo | None]]:
        return [
            *(lambda rule=rule: self.key(rule, self.keys()) for rule in (*LETTERS, pluralised, cased)),
            lambda: self.key(dashed, [path for path in self.keys() if "_" in str(path[-1])]),
            lambda: self.moved(up=True),
            lambda: self.moved(up=False),
            lambda: self.word(self.draw.choice(LETTERS)),
            lambda: self.word(self.draw.choice([dashed, cased])),
            lambda: self.constant(),
            lambda: self.key(self.draw.choice(LETTERS), self.source_names(), "source") if self.source_names() else None,
        ]


def typos(texts: list[str], *, count: int, seed: int) -> list[Typo]:
    """Return ``count`` different typos, by all rules in turn, of recipes drawn from ``texts``."""
    draw = random.Random(seed)
    recipes = [Slips(text, draw) for text in texts]
    found: dict[str, Typo] = {}
    number = 0
    while len(found) < count:
        rules = draw.choice(recipes).rules()
        typo = rules[number % len(rules)]()
        if typo is not None and (row := typo.text.splitlines()[typo.line - 1].strip()) not in found:
            found[row] = typo
            number += 1
    return list(found.values())
