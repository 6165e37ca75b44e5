"""``redwhale report``: read what a recipe's results came to, and write it as one HTML file that needs nothing else.

What is not done is said with the command that makes it; what is damaged is named. Equal results give equal bytes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from redwhale.chain_status import status
from redwhale.core.console import Console, redact
from redwhale.core.publish import need_place, write_bytes
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


def watch(recipe: Recipe, out: Path | None, *, seconds: int, console: Console) -> dict[str, Any]:
    """Write the report anew every so many seconds, with a page that reloads itself, until the chain is done or stopped.

    Ctrl-C ends it too; what stands then is a report like any other. Returns what stands in it.
    """
    told = False
    with contextlib.suppress(KeyboardInterrupt):
        while _goes_on(recipe):
            written = write(recipe, out, reload_seconds=seconds, console=Console(quiet=True))
            if not told:
                console.note(f"report: {written['file']} is there and reloads every {seconds} s; Ctrl-C ends this")
                told = True
            time.sleep(seconds)
    return write(recipe, out, console=console)


def _goes_on(recipe: Recipe) -> bool:
    """Tell whether a step is at work, or may yet be; after one that a gate has stopped none is begun."""
    states = {row.state for row in status(recipe).steps}
    return "running" in states or bool(states - {"done"} and "stopped" not in states)


def write(
    recipe: Recipe, out: Path | None, *, reload_seconds: int | None = None, console: Console
) -> dict[str, Any]:  # fmt: skip
    """Write the report to ``out`` (``report.html`` in the workdir where it is None); return what stands in it."""
    if out:
        need_place(out, option="--out")
    path = out or recipe.root / FILE_NAME
    sections = gather(recipe, console=console)
    page = render(sections, reload_seconds=reload_seconds).encode()
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
    templates = _templates()
    sections = [read_section(recipe, *entry, templates=templates, console=console) for entry in _SECTIONS]
    others = {section.key: section.facts for section in sections}
    reader = Reader(recipe)
    facts = summary.gather(recipe, reader, others)
    damaged = tuple(dict.fromkeys([*reader.damaged, *(line for section in sections for line in section.damaged)]))
    body = _body(templates, "summary", facts, {}, damaged)
    return [Section("summary", "Summary", facts, {}, body, tuple(reader.undone), damaged), *sections]


def read_section(
    recipe: Recipe, key: str, title: str, gather: Gather, draw: Draw | None, *, templates: Environment,
    console: Console,
) -> Section:  # fmt: skip
    """Return a section with its plots; one that cannot be read, or lacks what is shown, has no facts and says why."""
    reader = Reader(recipe)
    body = None
    with console.progress(f"report: {key}", 1, "sections"):
        facts = reader.attempt(key, lambda: gather(recipe, reader))
        plots = (reader.attempt(f"plots of {key}", lambda: draw(facts)) or {}) if draw and facts else {}
        if facts:
            body = reader.attempt(key, lambda: _body(templates, key, facts, plots))
    shown = None if body is None else facts
    return Section(key, title, shown, plots, body or Markup(), tuple(reader.undone), tuple(reader.damaged))


def render(sections: list[Section], *, reload_seconds: int | None = None) -> str:
    """Return the page; every text is escaped, and what looks like a secret is left out of it."""
    templates = _templates()
    source = templates.loader.get_source(templates, "report.css")[0] if templates.loader else ""
    by_key = {section.key: section for section in sections}
    return templates.get_template("report.html").render(
        sections=sections, by_key=by_key, css=Markup(source), reload_seconds=reload_seconds
    )


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("redwhale.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=_without_secrets,
    )  # fmt: skip
    environment.filters |= FILTERS
    return environment


def _body(
    templates: Environment, key: str, facts: dict[str, Any], plots: dict[str, Any], damaged: Sequence[str] = ()
) -> Markup:  # fmt: skip
    return Markup(templates.get_template(f"{key}.html").render(facts=facts, plots=plots, damaged=damaged))


def _without_secrets(value: Any) -> Any:
    return redact(value) if isinstance(value, str) and not isinstance(value, Markup) else value
