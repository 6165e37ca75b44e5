"""``redwhale doctor``: what a run stands on, checked before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redwhale.cli_options import DEFAULT, Changes, Json, Quiet, begin_console


def doctor(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Recipe file; redwhale.yaml where there is one.")
    ] = None,
    changes: Changes = None, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale doctor -c redwhale.yaml

    Check Python, packages, torch, GPU, compiler, disk, memory, network and fonts, a line each with what mends it; with
    a recipe against what it asks for. To be pasted into an issue: no secrets are shown. Exit code 4 where a line
    failed: the machine lacks what the recipe needs.
    """
    import sys

    from redwhale.core.errors import RESOURCES, USAGE, RedwhaleError
    from redwhale.core.recipe.load import load_recipe
    from redwhale.doctor.examine import examine
    from redwhale.tables_doctor import show_findings

    encoding = sys.stdout.encoding if sys.stdout and sys.stdout.isatty() else "utf-8"  # files and pipes hold UTF-8
    console = begin_console(json=json, quiet=quiet)
    chosen = config or (DEFAULT if DEFAULT.is_file() else None)
    if changes and not chosen:
        raise RedwhaleError(
            "there is no recipe to change", where="--set", fix=f"name one with -c, or stand where {DEFAULT} is",
            exit_code=USAGE,
        )  # fmt: skip
    recipe = load_recipe(chosen, changes or ()) if chosen else None
    findings = examine(recipe, stdout_encoding=encoding)
    show_findings(findings, console, recipe=recipe.file if recipe else None)
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(RESOURCES)
