"""The keys of a finished corpus, sorted: a later corpus is compared against them."""

from __future__ import annotations

import json
import os
import shutil
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.publish import atomic_file, make_folder, write_json
from redwhale.core.recipe.deduplicate import Deduplicate, NearDuplicates
from redwhale.corpus.dedup.clusters import MOST_INDICES, first_of_runs
from redwhale.corpus.dedup.keys import MEMORY_BYTES, KeyFile, KeyFiles, Origin, sorted_partitions
from redwhale.corpus.dedup.ranks import Ranks

SCHEMA = 1
SETTINGS_NAME = "index.json"
SKETCHES_NAME = "sketches.u8"
_BLOCK = 1 << 18


@dataclass(frozen=True)
class Index:
    """An index folder; ``name`` is what a recipe calls it."""

    name: str
    folder: Path

    def keys(self, file: KeyFile, limits: tuple[int, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the index's keys of the kind of ``file`` whose upper 32 bits lie in the range, ascending.

        Blocks of keys (m, words) uint64, with the number of the first document of each, (m,) uint32.
        """
        known = KeyFile(self.folder / file.path.name, file.words)
        if not len(known):
            return
        upper = np.memmap(known.path, np.uint64, mode="r").reshape(-1, file.words)
        first, end = (bisect_left(range(len(known)), limit, key=lambda at: int(upper[at, 0]) >> 32) for limit in limits)
        for keys in known.blocks([(first, end)], _BLOCK):
            yield keys, np.fromfile(_documents_path(known.path), np.uint32, len(keys), offset=4 * first)
            first += len(keys)

    def similar(self, keys: KeyFiles, numbers: np.ndarray, documents: np.ndarray, near: NearDuplicates) -> np.ndarray:
        """Tell which documents are similar enough to ones of the index: (m,) bool, estimated from both sketches.

        Of two different values 1 in 256 has the same lowest byte (b-bit minwise hashing, Li and König 2010); the
        standard error is 0.045 for 112 values at a similarity of 0.7.
        """
        values = near.bands * near.rows
        assert keys.sketches is not None, "similarity to an index is estimated from sketches"
        equal = np.zeros(len(numbers))
        with keys.sketches.open("rb") as ours, (self.folder / SKETCHES_NAME).open("rb") as theirs:
            for at, (number, document) in enumerate(zip(numbers.tolist(), documents.tolist(), strict=True)):
                one, two = (
                    np.frombuffer(os.pread(file.fileno(), values, values * row), np.uint8)
                    for file, row in ((ours, number), (theirs, document))
                )
                equal[at] = (one == two).mean()
        return (equal - 1 / 256) / (1 - 1 / 256) >= near.at_least


def _documents_path(path: Path) -> Path:
    return path.with_suffix(path.suffix + ".documents")


def index_settings(section: Deduplicate) -> dict[str, Any]:
    """Return what the keys depend on, by kind of key."""
    near = section.near
    settings: dict[str, Any] = {"exact": {"hash": "xxh3-128"}} if section.exact else {}
    if section.urls:
        settings["urls"] = {"hash": "xxh3-64"}
    if near:
        settings["near"] = {"bands": near.bands, "rows": near.rows, "shingles": near.shingles, "size": near.size}
    return settings


def write_index(
    folder: Path,
    keys: KeyFiles,
    origins: Sequence[Origin],
    *,
    settings: dict[str, Any],
    memory_bytes: int = MEMORY_BYTES,
) -> list[Path]:
    """Write the keys of all documents, those that went as duplicates included, and return the files."""
    assert keys.sketches or not keys.bands, "later corpora compare sketches"
    ranks = Ranks(origins)
    make_folder(folder)
    takes_part = ranks.spread(np.array([origin.takes_part for origin in origins], dtype=np.bool_))
    paths: list[Path] = []
    for file in keys.files:
        part = takes_part if file in keys.bands else np.broadcast_to(np.True_, len(takes_part))
        paths += _write_sorted(folder / file.path.name, file, part, ranks=ranks, memory_bytes=memory_bytes)
    if keys.sketches:
        paths.append(folder / SKETCHES_NAME)
        with atomic_file(paths[-1]) as temporary:
            shutil.copyfile(keys.sketches, temporary)
    write_json(folder / SETTINGS_NAME, {"schema": SCHEMA, "documents": ranks.documents, "settings": settings})
    return [*paths, folder / SETTINGS_NAME]


def _write_sorted(
    path: Path, file: KeyFile, takes_part: np.ndarray, *, ranks: Ranks, memory_bytes: int
) -> tuple[Path, Path]:
    """Write the different keys, ascending, and beside them the number of one document of each."""

    def wanted(first: int, keys: np.ndarray) -> np.ndarray:
        return takes_part[first : first + len(keys)] & (keys[:, 0] != 0)

    parts = sorted_partitions(file, wanted, ranges=ranks.ranges, memory_bytes=memory_bytes)
    beside = _documents_path(path)
    with (
        atomic_file(path) as temporary,
        atomic_file(beside) as temporary_beside,
        temporary.open("wb") as out,
        temporary_beside.open("wb") as out_beside,
    ):
        for part in parts:
            firsts = first_of_runs(part.keys, part.ranks)
            out.write(part.keys[firsts].data)
            out_beside.write(ranks.numbers(part.ranks[firsts]).astype(np.uint32).data)
    return path, beside


def open_indices(folders: Sequence[tuple[str, Path]], *, settings: dict[str, Any], own: Path | None) -> list[Index]:
    """Return the indices to compare with, each given by name and folder; the corpus's ``own`` is left out.

    Raises exit code 2 where a folder holds no index, or its keys were made by other settings.
    """
    indices = [Index(name, path) for name, path in folders if own is None or path.resolve() != own.resolve()]
    if len(indices) > MOST_INDICES:
        raise _refused(f"{len(indices)} indices are given; at most {MOST_INDICES} can be", "name fewer")
    for index in indices:
        try:
            stored = json.loads((index.folder / SETTINGS_NAME).read_text(encoding="utf-8"))
            schema, theirs = stored["schema"], stored["settings"]
        except (OSError, ValueError, KeyError, TypeError):
            raise _refused(
                f"{index.folder} holds no index", "name the index folder of a corpus made with `index`"
            ) from None
        if schema != SCHEMA:
            raise _refused(f"{index.folder} has schema {schema}, this version reads {SCHEMA}", "make the index anew")
        for kind, ours in settings.items():
            if theirs.get(kind) != ours:
                raise _refused(
                    f"{kind} keys here are made by {ours}, those of {index.folder} by {theirs.get(kind, 'nothing')}",
                    "use the settings of the index, or leave it out",
                )
    return indices


def _refused(what: str, fix: str) -> RedwhaleError:
    return RedwhaleError(what, where="preprocess.deduplicate.against", fix=fix, exit_code=USAGE)
