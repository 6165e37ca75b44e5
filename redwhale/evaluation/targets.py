"""What is evaluated: the base, model 0, a stage of the recipe, or any model folder."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redwhale.core.artifact import Input, read_manifest
from redwhale.core.base import base_folder, weight_files
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.measure.models import unloadable

# What decides a plain folder's output besides its weights; the manifest covers it where there is one.
_DECIDING_FILES = ("config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Target:
    """A model to measure: ``label`` names its results, ``folder`` holds it, ``made_by`` makes it where we do."""

    label: str
    folder: Path
    artifact: Path | None = None
    made_by: str = ""

    def inputs(self) -> tuple[Input, ...]:
        """Return the artifact the model belongs to, or its own files where it is not ours."""
        if self.artifact is not None:
            return (Input("model", self.artifact, self.made_by),)
        files = [self.folder / name for name in _DECIDING_FILES if (self.folder / name).is_file()]
        return tuple(Input(f"model {path.name}", path) for path in [*files, *weight_files(self.folder)])


def find_target(recipe: Recipe, wanted: str, *, fetch: bool = False) -> Target:
    """Find ``base``, ``0``, a stage's number or name, or a model folder (relative to the current one).

    ``fetch`` lets a base that is a hub name be downloaded. Raises exit code 2 naming what there is.
    """
    if wanted == "base":
        return Target("base", base_folder(recipe, weights=True, fetch=fetch))
    if wanted == "0":
        return Target("model-0", recipe.model_0_folder, recipe.model_0_folder, recipe.command("init-model"))
    stages = recipe.pretrain.stages if recipe.pretrain else []
    for index, stage in enumerate(stages):
        if wanted in (str(index + 1), stage.name):
            folder = recipe.stage_folder(index)
            command = recipe.command("pretrain", "--stage", str(index + 1))
            return Target(folder.name, recipe.model_folder(index), folder, command)
    folder = Path(wanted).expanduser().absolute()
    if (folder / "config.json").is_file():
        # Folders of the same name must not share results.
        label = f"{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
        return Target(label, folder, _owner(folder))
    there = ", ".join(["base", "0", *(f"{i + 1} ({stage.name})" for i, stage in enumerate(stages))])
    raise RedwhaleError(
        f"there is no model {wanted!r}: no stage of that name, and no folder with a config.json",
        where=str(recipe.file), fix=f"models: {there}, or a folder", exit_code=USAGE,
    )  # fmt: skip


def _owner(folder: Path) -> Path | None:
    """Return the artifact of ours that lists a model folder's files: the folder itself, or the one above."""
    for place in (folder, folder.parent):
        with contextlib.suppress(RedwhaleError):  # another program's manifest.json
            if (folder / "config.json").relative_to(place).as_posix() in {r.path for r in read_manifest(place).outputs}:
                return place
    return None


def result_folder(recipe: Recipe, wanted: str, measure: str) -> Path:
    """Return the folder of a measure's result for a model, which need not exist yet."""
    label = "base" if wanted == "base" else find_target(recipe, wanted).label
    return recipe.root / "evaluation" / label / measure


def load_default_tokenizer(folder: Path) -> Any:
    """Load a tokenizer with its own defaults, as lm-evaluation-harness does (KoBEST is compared with it)."""
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise RedwhaleError(
            f"the model has no tokenizer: none of {', '.join(_TOKENIZER_FILES)}", where=str(folder), exit_code=USAGE,
            fix="copy the files of the tokenizer that it was trained with there",
        )  # fmt: skip
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise unloadable("tokenizer", folder, error) from error
