"""Follow a result back to everything it was made from, down to the source files."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redwhale.core.artifact import (
    MANIFEST_NAME,
    InputRecord,
    Manifest,
    check_outputs,
    hash_file,
    is_finished,
    read_manifest,
)
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.recipe import Recipe

_MODEL_NAME = "model"
_LEVELS_UP = 3  # evaluation/MODEL/MEASURE lies that far below the workdir


@dataclass
class Checked:
    """What was looked at on the way; ``rehashed``: by digest, the source files too, else by size and time."""

    rehashed: bool
    results: int = 0
    files: int = 0
    bytes: int = 0
    source_files: int = 0
    source_bytes: int = 0


@dataclass
class _Walk:
    checked: Checked
    nodes: dict[Path, dict[str, Any]] = field(default_factory=dict)
    sources: set[str] = field(default_factory=set)


def last_finished(recipe: Recipe) -> Path:
    """Return the folder of the last model that is done; raise where nothing is."""
    count = len(recipe.pretrain.stages) if recipe.pretrain else 0
    folders = [recipe.stage_folder(index) for index in reversed(range(count))]
    for folder in [*folders, recipe.model_0_folder, recipe.tokenizer_folder, recipe.corpus_folder]:
        if is_finished(folder):
            return folder
    raise RedwhaleError("nothing is finished yet", where=str(recipe.root), fix=recipe.command("run"), exit_code=USAGE)


def lineage(path: Path, *, verify: bool = False) -> tuple[dict[str, Any], Checked]:
    """Return a result and, inside it, everything it was made from, down to the source files; and what was checked.

    ``path`` is the folder of a result, or the exported ``model`` folder in it. Raises where a file of a result on the
    way is missing or changed, or where a result was made again after it had been used; with ``verify`` every file is
    hashed, the source files too.
    """
    walk = _Walk(Checked(rehashed=verify))
    return _result(_folder_of(path), walk), walk.checked


def _folder_of(path: Path) -> Path:
    """Return the result that ``path`` is, or that it is the exported model of."""
    path = Path(os.path.abspath(path))  # noqa: PTH100  (folds `..`, leaves links)
    if path.name == _MODEL_NAME and not is_finished(path) and is_finished(path.parent):
        return path.parent
    return path


def _result(folder: Path, walk: _Walk) -> dict[str, Any]:
    if folder in walk.nodes:
        return walk.nodes[folder]
    manifest = read_manifest(folder)
    check_outputs(folder, manifest, rehash=walk.checked.rehashed)
    walk.checked.results += 1
    walk.checked.files += len(manifest.outputs)
    walk.checked.bytes += manifest.output_bytes
    node = {
        "path": str(folder), "step": manifest.step, "digest": manifest.digest, "made": manifest.made,
        "seconds": manifest.timings.get("wall_seconds"), "files": len(manifest.outputs),
        "bytes": manifest.output_bytes,
        "inputs": [_input(record, manifest, folder, walk) for record in manifest.inputs],
    }  # fmt: skip
    walk.nodes[folder] = node
    return node


def _input(record: InputRecord, manifest: Manifest, folder: Path, walk: _Walk) -> dict[str, Any]:
    """Return what a result was made from: another result with its own inputs, or a file."""
    if record.bytes is None:
        return {"role": record.role, **_result(_parent(record, folder), walk)}
    if record.path not in walk.sources:
        walk.sources.add(record.path)
        walk.checked.source_files += 1
        walk.checked.source_bytes += record.bytes
        if walk.checked.rehashed:
            _check_source(record)
    node = {"role": record.role, "path": record.path, "digest": record.digest, "bytes": record.bytes}
    return node | ({"licence": licence_of(record.role, manifest)} if record.role.startswith("source:") else {})


def licence_of(role: str, manifest: Manifest) -> str | None:
    """Return the licence that the recipe gave a source (``source:NAME/FILE``) when the corpus was made."""
    name = role.removeprefix("source:").partition("/")[0]
    source: dict[str, Any] = next((one for one in manifest.fields.get("sources", []) if one["name"] == name), {})
    if column := source.get("licence_column"):
        return f"of each record (`{column}`)" + (f", else {source['licence']}" if source.get("licence") else "")
    return source.get("licence")


def _parent(record: InputRecord, folder: Path) -> Path:
    """Return the folder of a result that another was made from, also where both were moved together.

    Raises where it is gone, or was made again since.
    """
    recorded = Path(record.path)
    for place in (*(above / recorded.name for above in folder.parents[:_LEVELS_UP]), recorded):
        if _digest_of(place) == record.digest:  # those beside it first: a copied chain is followed within the copy
            return place
    if not is_finished(recorded):
        raise RedwhaleError(
            f"{record.role}, which {folder.name} was made from, is no finished result any more (no {MANIFEST_NAME})",
            where=record.path, fix="put the folder back", exit_code=USAGE,
        )  # fmt: skip
    raise RedwhaleError(
        f"{record.role} ({recorded}) was made again after this was built from it", where=str(folder),
        fix="`redwhale run --fresh` makes what is stale again", exit_code=USAGE,
    )  # fmt: skip


def _digest_of(folder: Path) -> str | None:
    """Return the digest of a result, None where there is none that can be read."""
    try:
        return read_manifest(folder).digest
    except RedwhaleError:
        return None


def _check_source(record: InputRecord) -> None:
    path = Path(record.path)
    if path.is_file() and hash_file(path) == record.digest:
        return
    raise RedwhaleError(
        f"{record.role} {'has changed' if path.is_file() else 'is gone'} since it was read", where=str(path),
        fix="put the file back, or make what comes from it again", exit_code=USAGE,
    )  # fmt: skip
