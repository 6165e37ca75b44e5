"""Lineage: every result of the chain with its digest and what it was made from, down to files and their licences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redwhale import chain
from redwhale.core.artifact import InputRecord, Manifest, is_finished, read_manifest
from redwhale.core.recipe.recipe import Recipe
from redwhale.report.reading import Reader

_SOURCE = "source:"
_MOST_FILES = 200


def gather(recipe: Recipe, reader: Reader) -> dict[str, Any] | None:
    """Return the results of the chain in order; None where none is finished.

    Results are known by their digests, so a folder that was moved as a whole keeps its lineage.
    """
    steps = reader.attempt(recipe.file, lambda: chain.chain_steps(recipe)) or []
    manifests: dict[str, tuple[Path, Manifest]] = {}
    for step in steps:
        if is_finished(step.folder):
            manifest = reader.attempt(step.folder, lambda folder=step.folder: read_manifest(folder))  # type: ignore[misc]
            if manifest:
                manifests[step.name] = (step.folder, manifest)
    if not manifests:
        reader.lacks(*("a first result", "run") if steps else ("a first result, for the recipe has no sections yet",))
        return None
    names = {manifest.digest: name for name, (_, manifest) in manifests.items()}
    folders = {folder.name: manifest.digest for folder, manifest in manifests.values()}
    results = [
        {
            "name": name, "folder": reader.shown(folder), "digest": manifest.digest,
            "made_from": _made_from(manifest, names, folders), "seconds": manifest.timings.get("wall_seconds"),
            "versions": manifest.environment.get("versions", {}), "bytes": sum(r.bytes for r in manifest.outputs),
        }
        for name, (folder, manifest) in manifests.items()
    ]  # fmt: skip
    files, licences = source_files(manifests["preprocess"][1] if "preprocess" in manifests else None)
    base = next((m for _, m in manifests.values() if any(r.role.startswith("base ") for r in m.inputs)), None)
    return {
        "results": results, "stale": [one["name"] for one in results if any(i["stale"] for i in one["made_from"])],
        "files": files[:_MOST_FILES], "file_count": len(files), "licences": licences,
        "base_files": _base_files(manifests) if base else [], "environment": _environment(manifests),
    }  # fmt: skip


def _made_from(
    manifest: Manifest, names: dict[str, str], folders: dict[str, str]
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the results that one was made from; ``stale`` where that result has been made again since."""
    found = []
    for record in manifest.inputs:
        if record.bytes is not None:
            continue
        digest = folders.get(Path(record.path).name)
        found.append({
            "role": record.role, "digest": record.digest, "name": names.get(record.digest),
            "stale": record.digest not in names and digest is not None and digest != record.digest,
        })  # fmt: skip
    files = [record for record in manifest.inputs if record.bytes is not None]
    if files:
        found.append({"role": _files_in_words(files), "digest": None, "name": None, "stale": False})
    return found


def _files_in_words(files: list[InputRecord]) -> str:
    kinds: dict[str, int] = {}
    for record in files:
        kind = "source" if record.role.startswith(_SOURCE) else record.role.split()[0]
        kinds[kind] = kinds.get(kind, 0) + 1
    return ", ".join(f"{count} {kind} file{'s' if count > 1 else ''}" for kind, count in kinds.items())


def source_files(manifest: Manifest | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the raw files with digests, and by source its licence, language, files and bytes."""
    if manifest is None:
        return [], []
    settings = {source["name"]: source for source in manifest.fields.get("sources", [])}
    files: list[dict[str, Any]] = []
    for record in manifest.inputs:
        if record.role.startswith(_SOURCE):
            source, _, name = record.role.removeprefix(_SOURCE).partition("/")
            files.append({"source": source, "name": name, "digest": record.digest, "bytes": record.bytes})
    licences = []
    for name, own in settings.items():
        theirs = [file for file in files if file["source"] == name]
        licences.append({
            "source": name, "language": own.get("language"), "files": len(theirs),
            "bytes": sum(file["bytes"] or 0 for file in theirs), "licence": own.get("licence"),
            "licence_column": own.get("licence_column"),
        })  # fmt: skip
    return files, licences


def _base_files(manifests: dict[str, tuple[Path, Manifest]]) -> list[dict[str, Any]]:
    """Return the files of the base that some step read, each once."""
    found: dict[str, dict[str, Any]] = {}
    for _, manifest in manifests.values():
        for record in manifest.inputs:
            if record.role.startswith("base "):
                name = record.role.removeprefix("base ")
                found.setdefault(name, {"name": name, "digest": record.digest, "bytes": record.bytes})
    return list(found.values())


def _environment(manifests: dict[str, tuple[Path, Manifest]]) -> list[tuple[str, list[str]]]:
    """Return each library with the versions that results were made with: one, unless it was changed between."""
    found: dict[str, dict[str, None]] = {}
    for _, manifest in manifests.values():
        versions = {"python": manifest.environment.get("python"), **manifest.environment.get("versions", {})}
        for package, version in versions.items():
            if version:
                found.setdefault(package, {})[version] = None
    return [(package, list(versions)) for package, versions in found.items()]
