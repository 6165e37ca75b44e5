"""What is evaluated: the base, model 0, a stage of the recipe, or any model folder."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redwhale.core.artifact import Input, read_manifest
from redwhale.core.base import base_folder, weight_files
from redwhale.core.errors import FAILED, RESOURCES, USAGE, RedwhaleError
from redwhale.core.recipe.recipe import Recipe

if TYPE_CHECKING:
    import torch

# What decides a plain folder's output besides its weights; the manifest covers it where there is one.
_DECIDING_FILES = ("config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json")


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


def load_model(folder: Path, device: torch.device) -> Any:
    """Load a causal language model for measuring, in the precision that it is stored in.

    Raises where its files cannot be read or lack a tensor, which the library would fill with noise.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    loaded: Any
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype="auto",
            attn_implementation="sdpa",
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _unloadable("model", folder, error) from error
    model, loading = loaded
    if missing := sorted(loading["missing_keys"]):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise RedwhaleError(
            f"the model's files lack {missing[0]}{more}", where=str(folder), fix="fetch or make the model again"
        )
    return model.to(device).eval()


@contextlib.contextmanager
def explain_out_of_memory(fix: str) -> Iterator[None]:
    """Turn a device out of memory into an error of exit code 4 that says what to lower."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        first_line = str(error).splitlines()[0]
        raise RedwhaleError(f"the device is out of memory ({first_line})", fix=fix, exit_code=RESOURCES) from error


def context_of(model: Any, *, default: int = 2048) -> int:
    """Return the most tokens that a model reads at once, found as lm-evaluation-harness does."""
    config = getattr(model.config, "text_config", None) or model.config
    for name in ("n_positions", "max_position_embeddings", "n_ctx"):
        if (value := getattr(config, name, None)) is not None:
            return int(value)
    return default


def dtype_of(model: Any) -> str:
    """Return the name of the weights' precision, such as ``bfloat16``."""
    return str(next(model.parameters()).dtype).removeprefix("torch.")


def load_default_tokenizer(folder: Path) -> Any:
    """Load a tokenizer with its own defaults, as lm-evaluation-harness does (KoBEST is compared with it)."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _unloadable("tokenizer", folder, error) from error


def _unloadable(part: str, folder: Path, error: Exception) -> RedwhaleError:
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    return RedwhaleError(f"the {part} cannot be loaded ({first_line})", where=str(folder), exit_code=FAILED)
