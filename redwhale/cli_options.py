"""Options that commands share, and how a command begins and ends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from redwhale.core.artifact import Manifest
    from redwhale.core.console import Console
    from redwhale.core.recipe.recipe import Recipe

Config = Annotated[Path, typer.Option("--config", "-c", help="Recipe file.", show_default=True)]
Changes = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors on stderr.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Discard an earlier result and make it again.")]
Verify = Annotated[bool, typer.Option("--verify", help="Rehash finished files in place of trusting size and time.")]
DEFAULT = Path("redwhale.yaml")


def begin_console(*, json: bool, quiet: bool = False) -> Console:
    """Return the console that the options ask for; from here on stdout is for data alone, in UTF-8."""
    from redwhale.core.console import Console, keep_stdout_for_data

    console = Console(json_output=json, quiet=quiet)
    keep_stdout_for_data()
    return console


def begin(config: Path, changes: list[str] | None, *, json: bool, quiet: bool) -> tuple[Recipe, Console]:
    """Load the recipe with its changes, and the console that the options ask for."""
    from redwhale.core.recipe.load import load_recipe

    console = begin_console(json=json, quiet=quiet)
    return load_recipe(config, changes or ()), console


def finish(command: str, manifest: Manifest, console: Console, *, folder: Path) -> None:
    """Render a step's manifest and leave with 3 where a gate says stop."""
    console.result(command, {
        "folder": str(folder), "digest": manifest.digest, "counts": manifest.counts, "metrics": manifest.metrics,
        "gates": [gate.model_dump() for gate in manifest.gates], "timings": manifest.timings,
    })  # fmt: skip
    console.note(f"{command}: done, {folder}")
    if manifest.stopped_by_gate:
        raise typer.Exit(3)
