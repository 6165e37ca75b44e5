"""AI Hub: zips of nested JSON and of tables, in the shapes that its text corpora have.

The shapes are those of machine reading (``data[*].paragraphs[*].context``), summaries (``documents[*]``,
``data[*].summary_entire[*]``), web text (``SJML.text[*]``, ``named_entity[*]``), books, expert fields, dialects,
broadcasts, messengers and parallel corpora.
"""

from __future__ import annotations

from collections.abc import Iterator

from redwhale.core.recipe.sources import Source
from redwhale.corpus.read import nested_json
from redwhale.corpus.read.collect import Collector
from redwhale.corpus.read.jsonl import parse as parse_by_path
from redwhale.corpus.read.pieces import Content, Piece
from redwhale.corpus.read.shapes import cut_shaped, parse_shaped

RECORDS = ("SJML.text[*]", "data[*]", "documents[*]", "named_entity[*]", "document[*]", "dataset[*]")
"""Where the records stand in a file that holds many."""
TEXTS = (
    # lists of paragraphs, sentences, turns
    "paragraphs[*].sentences[*].text", "paragraphs[*].context", "paragraph[*].form", "paragraph[*].sentence",
    "paragraph[*]", "text[*][*].sentence", "text[*].sentence", "content[*].sentence", "rows[*].text",
    "summary_entire[*].original_text", "article_original[*]", "sentences[*].text", "sentence[*].text",
    "sentence[*].form", "utterance[*].standard_form", "utterance[*].original_form", "utterance[*].form",
    "body[*].utterance", "info[*].annotations.text", "info[*].annotations.lines[*].text", "talk.content.*",
    "dialogs[*].text", "dialogue[*].utterance", "utterances[*].text",
    # one value
    '"Meta(Refine)".passage', "passage", "context", "content", "corpus", "body", "article", "text", "sentence",
    "ko", "ko_original", "korean", "한국어", "한국어문장", "원문", "original", "form",
)  # fmt: skip
"""Where the text stands in a record: lists first, since they are plainer signs than a single word."""
COLUMNS = (
    "원문", "한국어", "한국어문장", "한국어 문장", "본문", "내용", "문장", "text", "sentence", "content", "corpus",
    "ko",
)  # fmt: skip
"""Columns of text in its tables."""
_DEFAULT = "text"


def cut(content: Content, source: Source, *, limit: int) -> Iterator[Piece]:
    """Cut a JSON file by its shape, or by the source's own paths where it has some."""
    if source.text != _DEFAULT:
        return nested_json.cut(content, source, limit=limit)
    return cut_shaped(content, RECORDS, limit=limit)


def parse(piece: Piece, source: Source, out: Collector, *, limit: int) -> None:
    """Find the text of each record."""
    if source.text != _DEFAULT:
        parse_by_path(piece, source, out, limit=limit)
    else:
        parse_shaped(piece, source, out, texts=TEXTS, limit=limit)
