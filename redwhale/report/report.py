"""``redwhale report``: read what a recipe's results came to, and write it as one HTML file that needs nothing else.

What is not done is said with the command that makes it; what is damaged is named. Equal results give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from redwhale.core.console import Console, redact
from redwhale.core.publish import write_bytes
from redwhale.core.recipe.recipe import Recipe
from redwhale.report import corpus, evaluation, initialisation, lineage, samples, summary, tokenizer, training
from redwhale.report.formats import FILTERS
from redwhale.report.reading import Reader, Section

FILE_NAME = "report.html"
Gather = Callable[[Recipe, Reader], dict[str, Any] | None]
Draw = Callable[[dict[str, Any]], dict[str, Any]]
_SECTIONS: tuple[tuple[str, str, Gather, Draw | None], ...] = (
    ("corpus", "Corpus", corpus.gather, corpus.draw),
    ("tokenizer", "Tokenizer", tokenizer.gather, tokenizer.draw),
    ("initialisation", "Initialisation", initialisation.gather, initialisation.draw),
    ("training", "Training", training.gather, training.draw),
    ("evaluation", "Evaluation", evaluation.gather, evaluation.draw),
    ("samples", "Samples", samples.gather, None),
    ("lineage", "Lineage", lineage.gather, None),
)


def write(recipe: Recipe, out: Path | None, *, console: Console) -> dict[str, Any]:
    """Write the report to ``out`` (``report.html`` in the workdir where it is None); return what stands in it."""
    path = out or recipe.root / FILE_NAME
    sections = gather(recipe, console=console)
    page = render(sections).encode()
    write_bytes(path, page)
    return {
        "file": str(path), "bytes": len(page),
        "sections": {
            section.key: {
                "done": section.facts is not None, "damaged": list(section.damaged),
                "missing": [undone.__dict__ for undone in section.undone],
            }
            for section in sections
        },
    }  # fmt: skip


def gather(recipe: Recipe, *, console: Console) -> list[Section]:
    """Return all sections, the summary first; it is made of the facts of the others."""
    sections = [read_section(recipe, *entry, console=console) for entry in _SECTIONS]
    others = {section.key: section.facts for section in sections}
    reader = Reader(recipe)
    facts = summary.gather(recipe, reader, others)
    damaged = dict.fromkeys([*reader.damaged, *(line for section in sections for line in section.damaged)])
    first = Section("summary", "Summary", facts, {}, tuple(reader.undone), tuple(damaged))
    return [first, *sections]


def read_section(
    recipe: Recipe, key: str, title: str, gather: Gather, draw: Draw | None, *, console: Console
) -> Section:  # fmt: skip
    """Return a section with its plots; one that cannot be read has no facts and says why."""
    reader = Reader(recipe)
    with console.progress(f"report: {key}", 1, "sections"):
        facts = reader.attempt(key, lambda: gather(recipe, reader))
        plots = (reader.attempt(f"plots of {key}", lambda: draw(facts)) or {}) if draw and facts else {}
    return Section(key, title, facts, plots, tuple(reader.undone), tuple(reader.damaged))


def render(sections: list[Section]) -> str:
    """Return the page; every text is escaped, and what looks like a secret is left out of it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("redwhale.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=_without_secrets,
    )  # fmt: skip
    environment.filters |= FILTERS
    source = environment.loader.get_source(environment, "report.css")[0] if environment.loader else ""
    by_key = {section.key: section for section in sections}
    return environment.get_template("report.html").render(sections=sections, by_key=by_key, css=Markup(source))


def _without_secrets(value: Any) -> Any:
    return redact(value) if isinstance(value, str) and not isinstance(value, Markup) else value
