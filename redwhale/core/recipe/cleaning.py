"""Cleaning in the ``preprocess`` section: normal form, markup, boilerplate lines."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from redwhale.core.recipe.fields import Fraction, Section

Choice = Literal["remove", "keep"]


class RepeatedLines(Section):
    """Headers and footers: first and last lines that many documents of one source share."""

    action: Choice = "remove"
    """`remove` takes them out of every document."""
    share: Fraction = 0.3
    """Lowest share of a source's documents that begin or end with the line; 16 % of statutes end with one sentence."""
    documents: int = Field(default=20, ge=2)
    """Fewest documents of a source that begin or end with the line."""


class Clean(Section):
    """What is removed from texts; Unicode form NFC, one kind of newline, of space and of middle dot are always made."""

    front_matter: Choice = "remove"
    """YAML between `---` lines at the very beginning."""
    html: Choice = "remove"
    """HTML elements, comments, scripts, styles; entities become their characters. Code is left alone."""
    kramdown: Choice = "remove"
    """Marks of kramdown and Liquid: `{:toc}`, `{% raw %}`, `* TOC`, `{#name}` after a heading."""
    escapes: Choice = "remove"
    """Backslashes before Markdown's signs: `1\\.` becomes `1.`"""
    boilerplate: Choice = "remove"
    """Lines around the text: menus, share buttons, bylines, copyright, related articles, cookies, adverts."""
    amendment_marks: Choice = "keep"
    """Marks of statutes such as `<개정 2012.8.22>` and `[본조신설 2010.1.1]`."""
    cap_repeats: int = Field(default=0, ge=0)
    """Longest run of one jamo, mark or emoji, such as `ㅋㅋㅋ` or `!!!`, outside code; 0 leaves them all."""
    repeated_lines: RepeatedLines = RepeatedLines()
    """Headers and footers found by frequency."""
