"""``redwhale report``: the results of a recipe as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redwhale.cli_options import DEFAULT, Changes, Config, Json, Quiet, begin


def report(
    config: Config = DEFAULT, changes: Changes = None,
    out: Annotated[Path | None, typer.Option(
        "--out", "-o", help="File to write.  [default: report.html in the workdir]"
    )] = None,
    watch: Annotated[int | None, typer.Option(
        metavar="SECONDS", min=5, help="Write it anew so often until every step is done; the page reloads itself."
    )] = None,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Example:  redwhale report -c redwhale.yaml

    Write what the recipe's results came to as one HTML file that needs no network. What is not done is named.
    """
    from redwhale.report import report as reporting

    recipe, console = begin(config, changes, json=json, quiet=quiet)
    if watch:
        written = reporting.watch(recipe, out, seconds=watch, console=console)
    else:
        written = reporting.write(recipe, out, console=console)
    console.result("report", written)
    for line in written["sections"]["summary"]["damaged"]:  # those of all sections
        console.warn(f"report: {line}")
    console.note(f"report: written to {written['file']}, {written['bytes'] / 1e6:.1f} MB")
