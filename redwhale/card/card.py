"""Write the model card beside a stage's weights: what was made of what, how, and how well it does."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined, UndefinedError

from redwhale.card.facts import gather
from redwhale.core.artifact import DAMAGE, MANIFEST_NAME
from redwhale.core.base_card import CARD_NAME
from redwhale.core.console import Console, quantity
from redwhale.core.errors import RedwhaleError
from redwhale.core.publish import write_bytes
from redwhale.core.recipe.recipe import Recipe
from redwhale.evaluation.targets import result_folder

MOST_FILES = 100
"""Files of the corpus whose digests the card lists; the manifest has them all."""


def refresh(recipe: Recipe, index: int, *, console: Console) -> None:
    """Write the card of stage ``index`` (from 0) where something was made or measured since; warn of faults alone."""
    card = recipe.model_folder(index) / CARD_NAME
    read = [recipe.stage_folder(index) / MANIFEST_NAME]
    for model in ("base", str(index + 1)):
        read += result_folder(recipe, model, "").glob(f"*/{MANIFEST_NAME}")
    try:
        if not card.exists() or card.stat().st_mtime_ns < max(path.stat().st_mtime_ns for path in read):
            write(recipe, index)
    except (RedwhaleError, UndefinedError, *DAMAGE) as error:
        said = error if isinstance(error, RedwhaleError | OSError) else f"a manifest has not all it needs ({error!r})"
        console.warn(f"the model card is not written: {said}")


def write(recipe: Recipe, index: int) -> Path:
    """Write the card of the model that stage ``index`` (from 0) made, and return its path.

    It is no part of the artifact: what is measured later goes into it, and digests stay.
    """
    path = recipe.model_folder(index) / CARD_NAME
    write_bytes(path, render(gather(recipe, index)).encode())
    return path


def render(facts: dict[str, Any]) -> str:
    """Return the card as Markdown with the hub's front matter."""
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters |= {"count": count, "cell": cell, "score": lambda value: f"{value:.4f}", "span": span}
    template = environment.from_string(files("redwhale.card").joinpath("templates", "card.md").read_text("utf-8"))
    tokens = sum(stage["tokens"] for stage in facts["stages"])
    text = template.render(
        **facts, front=front_matter(facts), tokens=tokens, english=english(facts), most_files=MOST_FILES
    )
    return "\n".join(_single_blank_lines(text)) + "\n"


def front_matter(facts: dict[str, Any]) -> str:
    """Return what the hub reads: languages, licence, base, data sets of the hub, tags."""
    languages = list(dict.fromkeys(source["language"] for source in facts["sources"] if len(source["language"]) == 2))
    front: dict[str, Any] = {
        "language": languages or ["ko"],
        **(facts["base"]["licence"] or {"license": "unknown"}),
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["redwhale", "continual-pretraining", "korean"],
    }
    if not facts["base"]["is_folder"]:
        front["base_model"] = facts["base"]["model"]
    return str(yaml.safe_dump(front, allow_unicode=True, sort_keys=False)).strip()


def english(facts: dict[str, Any]) -> str:
    """Say in a sentence whether the base's English was kept, by whatever was measured."""
    kept = facts["kept"]
    if kept:
        change = 100 * kept["all"]["bits_per_byte_change"]
        return f"{_kept_or_lost(change)} on the base's own tokens of held-out English (`eval retention`)."
    texts = (facts["compared"].get("bits") or {}).get("texts", {})
    if "all en" in texts:
        change = 100 * (texts["all en"][facts["compared"]["model"]]["bits_ratio"] - 1)
        return f"{_kept_or_lost(change)} on held-out English."
    return "not measured: the corpus holds out no English text, or the base has not been measured."


def _kept_or_lost(change: float) -> str:
    word = "lost" if change > 0 else "kept"
    return f"{word}: bits per byte {'rose' if change > 0 else 'fell'} by {abs(change):.1f} %"


def count(number: float | None) -> str:
    """Write a count as people say it: 9.7B, 61.4k, 512."""
    return "-" if number is None else quantity(number)


def cell(text: object) -> str:
    """Return text for one cell of a table, where a bar or a line break would end it."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def span(interval: tuple[float, float]) -> str:
    """Write an interval."""
    low, high = interval
    return f"{low:.3f}–{high:.3f}"


def _single_blank_lines(text: str) -> list[str]:
    lines: list[str] = []
    for line in text.strip().split("\n"):
        if line.strip() or (lines and lines[-1]):
            lines.append(line.rstrip())
    return lines
