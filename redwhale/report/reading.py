"""What a section reads: finished results, with what is not done and what is damaged kept, to be said in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import UndefinedError
from markupsafe import Markup

from redwhale.core.artifact import DAMAGE, Manifest, is_finished, read_manifest
from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe

Found = TypeVar("Found")
_DAMAGE = (RedwhaleError, UndefinedError, *DAMAGE)
_SECTION_OF = {"preprocess": "preprocess", "train-tokenizer": "tokenizer", "init-model": "init", "pretrain": "pretrain",
               "eval": "evaluate"}  # fmt: skip


@dataclass(frozen=True)
class Undone:
    """Something that is not made yet, and the command that makes it; None where the recipe has to say more first."""

    what: str
    command: str | None


@dataclass
class Reader:
    """Reads for one section of the report, and never raises over a result that is missing or damaged."""

    recipe: Recipe
    undone: list[Undone] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def manifest(self, what: str, folder: Path, *command: str) -> Manifest | None:
        """Return the manifest of a finished result, None (noted) where there is none or it cannot be read."""
        if not is_finished(folder):
            self.lacks(what, *command)
            return None
        return self.attempt(folder, lambda: read_manifest(folder))

    def lacks(self, what: str, *command: str) -> None:
        """Note what is not done and the command, in words, that makes it: none where the recipe lacks its section."""
        section = _SECTION_OF.get(command[0]) if command else None
        if section and getattr(self.recipe, section) is None:
            self.undone.append(Undone(f"{what}, for the recipe has no section `{section}`", None))
        else:
            self.undone.append(Undone(what, self.recipe.command(*command) if command else None))

    def attempt(self, place: Path | str, read: Callable[[], Found]) -> Found | None:
        """Return what ``read`` returns, None (noted, with the place) where what it reads is damaged."""
        try:
            return read()
        except _DAMAGE as error:
            said = " ".join(str(error).split())
            reason = said if isinstance(error, RedwhaleError | OSError) else f"{type(error).__name__}: {said}"
            shown = self.shown(place)
            self.damaged.append(reason if str(place) in reason else f"{shown}: {reason}")
            return None

    def shown(self, path: Path | str) -> str:
        """Return a path as the report writes it: from the recipe's folder on where it lies in there."""
        folder = self.recipe.file.parent.absolute()
        place = Path(path)
        return place.relative_to(folder).as_posix() if place.is_relative_to(folder) else str(path)


@dataclass(frozen=True)
class Section:
    """A section as it stands in the page: ``body`` is its HTML, empty where there are no ``facts`` yet."""

    key: str
    title: str
    facts: dict[str, Any] | None
    plots: dict[str, Any]
    body: Markup
    undone: tuple[Undone, ...]
    damaged: tuple[str, ...]


def excerpt(text: str, *, characters: int) -> str:
    """Return the beginning of a text on one line, with an ellipsis where it goes on."""
    line = " ".join(text[: 4 * characters].split())
    return line if len(line) <= characters else f"{line[: characters - 1].rstrip()}…"


def evenly(items: Iterable[Found], most: int) -> list[Found]:
    """Return at most ``most`` items, evenly spaced, the first and the last among them."""
    found = list(items)
    if len(found) <= most:
        return found
    return [found[round(place * (len(found) - 1) / (most - 1))] for place in range(most)]
