"""Parse a chunk of raw bytes into texts: what a worker does first."""

from __future__ import annotations

from collections.abc import Sequence

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.sources import Source
from redwhale.corpus.read import aihub, columns, csv_rows, html_pages, jsonl, kowiki, namuwiki, nikl, txt
from redwhale.corpus.read.collect import Collector, Records, Seen
from redwhale.corpus.read.columns import missing_column
from redwhale.corpus.read.json_path import parse_path
from redwhale.corpus.read.pairs import Parser, parse_pairs
from redwhale.corpus.read.pieces import Chunk

PARSERS: dict[str, Parser] = {
    "jsonl": jsonl.parse,
    "json": jsonl.parse,
    "txt": txt.parse,
    "csv": csv_rows.parse,
    "tsv": csv_rows.parse,
    "html": html_pages.parse,
    "aihub": aihub.parse,
    "nikl": nikl.parse,
    "kowiki": kowiki.parse,
    "namuwiki": namuwiki.parse,
    "parquet": columns.parse,
    "datasets": columns.parse,
}


def parse_chunk(chunk: Chunk, source: Source) -> Records:
    """Return the texts and the rejected records of ``chunk``, in the order of reading."""
    out = Collector(source)
    for piece in chunk.pieces:
        out.begin(piece)
        if piece.data or piece.span >= 0 or piece.bounds is not None:
            parser = PARSERS[piece.format]
            if source.format == "pairs":
                parse_pairs(piece, source, out, parser=parser, limit=chunk.limit)
            else:
                parser(piece, source, out, limit=chunk.limit)
        out.end(piece)
    return out.records()


class ColumnCheck:
    """Refuses a file or archive none of whose objects has the text: a misspelt column or path, not bad records."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._file: tuple[int, str] | None = None
        self._objects = 0
        self._other_columns: tuple[str, ...] = ()

    def see(self, source: int, files: Sequence[Seen]) -> None:
        """Take in what one chunk of the source with this number has seen; chunks come in their order."""
        for seen in files:
            if self._file != (source, seen.file):
                self.end()
                self._file = (source, seen.file)
            self._objects += seen.objects
            self._other_columns = self._other_columns or seen.other_columns

    def end(self) -> None:
        """Raise exit code 2 naming the keys where the file that ends here has no text at all."""
        if self._file and self._other_columns and not self._objects:
            source = self._sources[self._file[0]]
            if source.format in ("aihub", "nikl", "json") or len(parse_path(source.text)) > 1:
                raise _unknown_shape(source, self._file[1], self._other_columns)
            raise missing_column(source, self._file[1], self._other_columns)
        self._objects, self._other_columns = 0, ()


def _unknown_shape(source: Source, file: str, keys: Sequence[str]) -> RedwhaleError:
    return RedwhaleError(
        f"source {source.name}: {file} has no text where it is looked for; keys seen: {', '.join(keys)}",
        where="preprocess.sources",
        fix=f"give the path of the text, such as `format: json` and `text: {keys[0]}`, with [*] after each list",
        exit_code=USAGE,
    )
