"""Sets of the Hugging Face hub, streamed through the ``datasets`` library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from redwhale.core.errors import FAILED, USAGE, RedwhaleError, first_line
from redwhale.core.recipe.sources import Source
from redwhale.corpus.read.columns import missing_column
from redwhale.corpus.read.json_path import parse_path
from redwhale.corpus.read.pieces import Content, Piece
from redwhale.corpus.read.sources import HUB, SourceFile

_NAME = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*/)?[A-Za-z0-9][A-Za-z0-9._-]*")


def hub_file(source: Source, where: str) -> SourceFile:
    """Return the one file that stands for a hub set, its commit in the address: nothing is asked of the hub.

    Raises exit code 2 for a name that is none (``..`` among them) and where no commit is given.
    """
    name = source.path.removeprefix(HUB)
    if not _NAME.fullmatch(name) or ".." in name:
        raise RedwhaleError(
            f"source {source.name}: {name!r} is no name of a hub set",
            where=where,
            fix="write `hub:owner/name`; a folder on this machine is written without `hub:`",
            exit_code=USAGE,
        )
    if source.revision is None:
        raise RedwhaleError(
            f"source {source.name}: no `revision`, so that the set could change unseen",
            where=where.removesuffix(".path"),
            fix="give the commit, 40 characters, from the set's page (Files and versions, History)",
            exit_code=USAGE,
        )
    shown = "/".join(part for part in (name, source.config, source.split) if part)
    url = f"{HUB}{name}@{source.revision}:{source.config or ''}:{source.split}"
    return SourceFile(Path(name), shown, "hub", "", url=url)


def cut_set(file: SourceFile, source: Source) -> Iterator[Piece]:
    """Stream the rows of a set as JSON objects of the wanted columns.

    Raises exit code 1 where the hub cannot be reached or does not have the set, 2 for a column that is not there.
    """
    rows = _rows(file, source)
    return Content(file, "jsonl", iter(())).packed(orjson.dumps(row, default=str) for row in rows)


def _rows(file: SourceFile, source: Source) -> Iterator[dict[str, Any]]:
    name, _, rest = file.url.removeprefix(HUB).partition("@")
    revision = rest.partition(":")[0]
    yield from _columns(_load(name, source, revision), file, source)


def _load(name: str, source: Source, revision: str | None) -> Any:
    import datasets

    try:
        return datasets.load_dataset(name, source.config, split=source.split, revision=revision, streaming=True)
    except Exception as error:  # the library raises whatever its parts do; what was asked is named with it
        raise RedwhaleError(
            f"source {source.name}: {source.path} cannot be opened ({type(error).__name__}: {first_line(error)})",
            where="preprocess.sources",
            fix="check name, `config`, `split`, `revision` and the network; without one, save the set with "
            "`Dataset.save_to_disk` elsewhere and give the folder as `path`",
            exit_code=FAILED,
        ) from error


def _columns(rows: Any, file: SourceFile, source: Source) -> Iterator[dict[str, Any]]:
    texts = [parse_path(path)[0] for path in (source.text, source.translation) if path]
    others = [parse_path(path)[0] for path in (source.id, source.url, source.licence_column) if path]
    wanted = {str(key) for key in (*texts, *others)}
    try:
        for row in rows:
            if any(text not in row for text in texts):
                raise missing_column(source, file.name, row)
            yield {key: value for key, value in row.items() if key in wanted}
    except OSError as error:
        raise RedwhaleError(
            f"source {source.name}: the connection to the hub failed ({type(error).__name__}: {first_line(error)})",
            where="preprocess.sources",
            fix="run the same command again",
            exit_code=FAILED,
        ) from error
