"""모두의 말뭉치 of the National Institute of Korean Language: one JSON file holds some documents.

Written text, news and web have paragraphs, spoken text and messengers have utterances, annotated corpora
sentences. A document's title stands in ``metadata.title``.
"""

from __future__ import annotations

from collections.abc import Iterator

from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.collect import Collector
from redwhale.corpus.read.pieces import Content, Piece
from redwhale.corpus.read.shapes import cut_shaped, parse_shaped

RECORDS = ("document[*]", "document")
"""A list of documents; the minutes of parliament have a single one."""
TEXTS = ("paragraph[*].form", "utterance[*].form", "utterance[*].original_form", "sentence[*].form", "form")
"""Where the text stands in a document."""


def cut(content: Content, source: Source, *, limit: int) -> Iterator[Piece]:
    """Cut a file into its documents."""
    return cut_shaped(content, RECORDS, limit=limit)


def parse(piece: Piece, source: Source, out: Collector, *, limit: int) -> None:
    """Join the paragraphs or utterances of each document."""
    parse_shaped(piece, source, out, texts=TEXTS, limit=limit)
