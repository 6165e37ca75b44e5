"""Find the base model: a folder, or a hub name that is fetched into the hub's cache; never pickled weights."""

from __future__ import annotations

import json
from pathlib import Path

from redwhale.core.errors import USAGE, RedwhaleError, first_line
from redwhale.core.recipe.recipe import Recipe

WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
_SMALL_FILES = ["*.json", "tokenizer.model", "*.tiktoken", "*.txt", "*.jinja", "LICENSE*", "NOTICE*", "README.md"]
_PICKLED_ENDINGS = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def base_folder(recipe: Recipe, *, weights: bool = False, fetch: bool = True) -> Path:
    """Return the folder of ``base.model``; ``weights`` asks for its safetensors too.

    A hub name is fetched at ``base.revision`` unless ``fetch`` is off, when only the cache is asked.
    Raises exit code 2 where the folder is missing, cannot be fetched or holds pickled weights only.
    """
    base = recipe.need("base")
    folder = recipe.path(base.model)
    where = f"{recipe.file}: base.model"
    if not folder.is_dir():
        if base.model.startswith((".", "/", "~")) or base.model.count("/") != 1:
            raise RedwhaleError(
                f"there is no folder {base.model!r}, and it is no hub name (owner/name)", where=where,
                fix="mend the path, which is taken from the recipe's folder", exit_code=USAGE,
            )  # fmt: skip
        folder = _from_hub(base.model, base.revision, weights=weights, fetch=fetch, where=where)
    if weights:
        _need_safetensors(folder, where)
    return folder


def _from_hub(name: str, revision: str | None, *, weights: bool, fetch: bool, where: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    patterns = _SMALL_FILES + (["*.safetensors"] if weights else [])
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=not fetch))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        what = f"cannot be fetched ({first_line(error)})" if fetch else "is not fetched yet"
        fix = "check name, revision and connection, or name a folder" if fetch else "the step that reads it fetches it"
        raise RedwhaleError(
            f"the base {name} {what}, and there is no folder of that name", where=where, fix=fix, exit_code=USAGE
        ) from error


def weight_files(folder: Path) -> list[Path]:
    """List the safetensors files of a model folder, by its index where there is one; raise where one is missing."""
    index = folder / INDEX_NAME
    names = [WEIGHTS_NAME]
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            names = []
        if not names or not all(map(_is_file_name, names)):
            raise RedwhaleError(
                "the index names no shard, or one outside its folder", where=str(index), fix="fetch the model again",
                exit_code=USAGE,
            )  # fmt: skip
        if unsafe := [name for name in names if not name.endswith(".safetensors")]:
            raise RedwhaleError(
                f"the index names weights that are no safetensors ({unsafe[0]}) and can run code when read",
                where=str(index), fix="use a safetensors version of the model, or convert it", exit_code=USAGE,
            )  # fmt: skip
    for name in names:
        if not (folder / name).is_file():
            raise RedwhaleError(
                "the model lacks this file of weights", where=str(folder / name), fix="fetch it", exit_code=USAGE
            )
    return [folder / name for name in names]


def _is_file_name(name: object) -> bool:
    return isinstance(name, str) and name.isprintable() and Path(name).name == name and len(name.encode()) < 256


def _need_safetensors(folder: Path, where: str) -> None:
    if any(folder.glob("*.safetensors")):
        weight_files(folder)
        return
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED_ENDINGS)
    if pickled:
        raise RedwhaleError(
            f"the base holds pickled weights only ({', '.join(pickled[:3])}), which can run code when read",
            where=where, fix="use a safetensors version of the model, or convert it", exit_code=USAGE,
        )  # fmt: skip
    raise RedwhaleError(
        "the base holds no weights (*.safetensors)", where=where, fix="fetch them, or name the folder that has them",
        exit_code=USAGE,
    )  # fmt: skip
