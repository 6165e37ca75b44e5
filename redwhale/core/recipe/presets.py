"""The presets that ``redwhale new`` writes; ``configs/`` holds the same text."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.publish import need_place, write_bytes
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.recipe.render import render_commented
from redwhale.core.recipe.yaml_lines import read_yaml

NAMES = (
    "demo", "demo-base", "redwhale-10.8b", "redwhale-10.8b-80gb", "redwhale-10.8b-anneal", "eeve-10.8b",
    "eeve-10.8b-anneal", "cpu", "24gb", "80gb", "8x80gb", "slurm", "first-last-8b", "llama-pro-8b",
)  # fmt: skip


def read_preset(name: str) -> dict[str, Any]:
    """Return a preset as its file has it: ``about``, ``header``, ``remarks``, ``recipe``; exit code 2 if unknown."""
    if name not in NAMES:
        raise RedwhaleError(
            f"there is no preset {name!r}", where="--preset", fix=f"presets: {', '.join(NAMES)}", exit_code=USAGE
        )
    text = files("redwhale").joinpath("presets", f"{name}.yaml").read_text(encoding="utf-8")
    data, _ = read_yaml(text, f"{name}.yaml")
    return dict(data)


def descriptions() -> dict[str, str]:
    """Return every preset's name and what it is for."""
    return {name: read_preset(name)["about"] for name in NAMES}


def preset_text(name: str) -> str:
    """Return a preset as a complete, commented recipe; raise exit code 2 for an unknown name."""
    preset = read_preset(name)
    return commented(preset["recipe"], header=preset["header"], remarks=preset.get("remarks") or {})


def commented(written: dict[str, Any], *, header: str, remarks: dict[str, str]) -> str:
    """Return a recipe with every key and its documentation, below a header."""
    lines = "".join(f"# {line}\n" for line in header.strip().splitlines())
    return f"{lines}\n{render_commented(Recipe.model_validate(written), written, remarks)}"


def check_free(out: Path) -> None:
    """Raise exit code 2 where a recipe would overwrite a file, or cannot be written."""
    need_place(out, option="--out")
    if out.exists():
        raise RedwhaleError("the file exists", where=str(out), fix="choose another name with --out", exit_code=USAGE)


def write_recipe(text: str, out: Path) -> None:
    """Write a recipe's text to ``out``; refuse to overwrite a file."""
    check_free(out)
    write_bytes(out, text.encode())
