"""Tables: which column holds the text."""

from __future__ import annotations

from collections.abc import Sequence

from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.aihub import COLUMNS
from redwhale.corpus.read.columns import missing_column


def text_column(source: Source, file: str, columns: Sequence[str]) -> str:
    """Return the text column of a table; for AI Hub one that its tables usually have.

    Raises exit code 2 naming the columns where there is none, or none of the translations that the source names.
    """
    known = (source.text, *COLUMNS) if source.format == "aihub" else (source.text,)
    for name in known:
        if name in columns and source.translation in (None, *columns):
            return name
    raise missing_column(source, file, [column for column in columns if column])
