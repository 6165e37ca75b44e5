"""The presets that ``redwhale new`` writes; ``configs/`` holds the same text."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.publish import write_bytes
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.recipe.render import render_commented
from redwhale.core.recipe.yaml_lines import read_yaml

NAMES = (
    "demo", "demo-base", "redwhale-10.8b", "redwhale-10.8b-80gb", "redwhale-10.8b-anneal", "eeve-10.8b",
    "eeve-10.8b-anneal", "llama3-8b", "llama3-8b-24gb", "first-last-8b", "llama-pro-8b",
)  # fmt: skip


def _read(name: str) -> dict[str, Any]:
    if name not in NAMES:
        raise RedwhaleError(
            f"there is no preset {name!r}", where="--preset", fix=f"presets: {', '.join(NAMES)}", exit_code=USAGE
        )
    text = files("redwhale").joinpath("presets", f"{name}.yaml").read_text(encoding="utf-8")
    data, _ = read_yaml(text, f"{name}.yaml")
    return dict(data)


def descriptions() -> dict[str, str]:
    """Return every preset's name and what it is for."""
    return {name: _read(name)["about"] for name in NAMES}


def preset_text(name: str) -> str:
    """Return a preset as a complete, commented recipe; raise exit code 2 for an unknown name."""
    preset = _read(name)
    recipe = Recipe.model_validate(preset["recipe"])
    header = "".join(f"# {line}\n" for line in preset["header"].strip().splitlines())
    return f"{header}\n{render_commented(recipe, preset['recipe'], preset.get('remarks') or {})}"


def write_preset(name: str, out: Path | None) -> str:
    """Return a preset's text and write it to ``out``; refuse to overwrite a file."""
    text = preset_text(name)
    if out is not None:
        if out.exists():
            raise RedwhaleError(
                "the file exists", where=str(out), fix="choose another name with --out", exit_code=USAGE
            )
        write_bytes(out, text.encode())
    return text
