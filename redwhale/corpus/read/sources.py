"""Find the files of each source and tell their formats."""

from __future__ import annotations

import glob
import json
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.recipe.sources import Source

COMPRESSIONS = (".gz", ".zst", ".bz2")
ENDINGS = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".txt": "txt", ".arrow": "datasets", ".csv": "csv",
    ".tsv": "tsv", ".xlsx": "xlsx", ".html": "html", ".htm": "html", ".json": "json",
}  # fmt: skip
ARCHIVES = {
    ".zip": "zip", ".tar": "tar", ".tgz": "tar.gz", ".tar.gz": "tar.gz", ".tar.bz2": "tar.bz2", ".tar.zst": "tar.zst",
}  # fmt: skip
PAIRED = ("jsonl", "json", "parquet", "datasets", "csv", "tsv", "xlsx")
"""Formats that `pairs` may be stored in: their records have columns."""
_COLUMNS = ("parquet", "datasets", "xlsx")
_DATASET_STATE = "state.json"
_DATASET_SPLITS = "dataset_dict.json"
HUB = "hub:"


@dataclass(frozen=True)
class SourceFile:
    """One file: ``name`` is relative to its source and stable when the folder moves; ``format`` is resolved.

    ``archive`` is the kind of archive it is, its members then being what is read and ``format`` what they are
    (``auto``: each by its ending). ``url`` is the fsspec address of a file that is not on this machine, or the
    ``hub:`` name of a set; ``path`` is then without meaning.
    """

    path: Path
    name: str
    format: str
    compression: str
    archive: str = ""
    url: str = ""

    @property
    def stem(self) -> str:
        """Return the name without its endings, for the ids of records that have none."""
        base = self.name.removesuffix(self.compression)
        return str(PurePosixPath(base).with_suffix(""))

    @property
    def is_local(self) -> bool:
        """Tell whether ``path`` is the file."""
        return not self.url

    def open(self) -> BinaryIO:
        """Open the file for reading, wherever it lies."""
        if self.is_local:
            return self.path.open("rb")
        from redwhale.corpus.read.remote import open_remote

        return open_remote(self.url)

    @property
    def size(self) -> int:
        """Return its bytes as stored; 0 where that is not known."""
        if self.is_local:
            return self.path.stat().st_size
        from redwhale.corpus.read.remote import remote_size

        return 0 if self.url.startswith(HUB) else remote_size(self.url)


def source_files(recipe: Recipe, source: Source, index: int) -> list[SourceFile]:
    """Return the files of ``source`` sorted by relative name.

    Raises exit code 2 naming the source and its pattern where nothing matches or a format is unknown.
    """
    where = f"{recipe.file}: preprocess.sources.{index}.path"
    if source.path.startswith(HUB):
        from redwhale.corpus.read.hub import hub_file

        return [hub_file(source, where)]
    if "://" in source.path:
        return _remote_files(source, where)
    root, paths = _matches(recipe.path(source.path))
    if not paths:
        raise RedwhaleError(
            f"source {source.name}: no file matches {source.path!r}",
            where=where,
            fix="mend the path; it is relative to the recipe",
            exit_code=USAGE,
        )
    if len(paths) == 1 and paths[0].is_dir():
        return _dataset_files(paths[0], source, where)
    files = [_classify(path, path.relative_to(root).as_posix(), source, where) for path in paths if path.is_file()]
    if not files:
        raise RedwhaleError(
            f"source {source.name}: {source.path!r} matches only folders",
            where=where,
            fix="give a pattern such as folder/*.jsonl",
            exit_code=USAGE,
        )
    return sorted(files, key=lambda file: file.name)


def can_read(name: str) -> bool:
    """Tell whether a file's name alone says how it is read."""
    ending = PurePosixPath(name.removesuffix(compression_of(name))).suffix.lower()
    return ending in ENDINGS or any(name.lower().endswith(archive) for archive in ARCHIVES)


def is_dataset(folder: Path) -> bool:
    """Tell whether a folder is a set that the ``datasets`` library saved."""
    return (folder / _DATASET_STATE).is_file() or (folder / _DATASET_SPLITS).is_file()


def _matches(path: Path) -> tuple[Path, list[Path]]:
    """Return the longest part of the path without a pattern, and what matches below it."""
    if path.exists():
        return path.parent, [path]
    root = path
    while glob.has_magic(str(root)):
        root = root.parent
    return root, list(root.glob(str(path.relative_to(root)))) if root != path else []


def _remote_files(source: Source, where: str) -> list[SourceFile]:
    """List the files that an fsspec address or pattern matches."""
    from redwhale.corpus.read.remote import matches

    found = matches(source.path, where=where, name=source.name)
    files = [replace(_classify(Path(name), name, source, where), url=url) for name, url in found]
    return sorted(files, key=lambda file: file.name)


def _classify(path: Path, name: str, source: Source, where: str) -> SourceFile:
    archive = next((kind for ending, kind in ARCHIVES.items() if name.lower().endswith(ending)), "")
    if archive:
        return SourceFile(path, name, source.format, "", archive)
    compression = compression_of(name)
    wanted = ENDINGS.get(PurePosixPath(name.removesuffix(compression)).suffix.lower())
    if source.format != "auto":
        wanted = named_format(source.format, wanted)
    if wanted is None or (compression and wanted in _COLUMNS):
        endings = [ending for ending in ENDINGS if source.format != "pairs" or ENDINGS[ending] in PAIRED]
        known = " ".join([*endings, *ARCHIVES])
        raise RedwhaleError(
            f"source {source.name}: the format of {name} is not known by its ending",
            where=where,
            fix=f"give `format:`; endings known: {known}, text also with {' '.join(COMPRESSIONS)}",
            exit_code=USAGE,
        )
    return SourceFile(path, name, wanted, compression)


def compression_of(name: str) -> str:
    """Return the ending of a compressed file, or nothing."""
    return next((ending for ending in COMPRESSIONS if name.endswith(ending)), "")


def named_format(named: str, by_ending: str | None) -> str | None:
    """Return the format of a file whose source names one; `aihub` sets hold tables beside their JSON.

    `pairs` are stored in several, and None where the ending names none of them.
    """
    if named == "pairs":
        return by_ending if by_ending in PAIRED else None
    return by_ending if named == "aihub" and by_ending and by_ending != "json" else named


def _dataset_files(folder: Path, source: Source, where: str) -> list[SourceFile]:
    """List the Arrow files that a folder of ``Dataset.save_to_disk`` names in its ``state.json``."""
    if (folder / _DATASET_SPLITS).is_file():
        splits = json.loads((folder / _DATASET_SPLITS).read_text(encoding="utf-8")).get("splits", [])
        raise RedwhaleError(
            f"source {source.name}: the folder holds several splits ({', '.join(splits)})",
            where=where,
            fix=f"name one, such as {source.path.rstrip('/')}/{splits[0] if splits else 'train'}",
            exit_code=USAGE,
        )
    try:
        state = json.loads((folder / _DATASET_STATE).read_text(encoding="utf-8"))
        names = [record["filename"] for record in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise RedwhaleError(
            f"source {source.name}: {source.path!r} is a folder, and no saved `datasets` set ({_DATASET_STATE})",
            where=where,
            fix="give a pattern such as folder/*.jsonl",
            exit_code=USAGE,
        ) from None
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise RedwhaleError(
                f"source {source.name}: {_DATASET_STATE} names {name!r}, which is not in the folder",
                where=where,
                fix="save the set again, or put the file there",
                exit_code=USAGE,
            )
    return [SourceFile(folder / name, name, "datasets", "") for name in sorted(names)]
