"""Measure how long the command line takes to begin: the import, every command's help, and a chain that is done.

Each is run as a process of its own, all in turn, RUNS times; a row is the median, on the clock and of the processor.
The first turn, which reads files into memory, does not count. With a recipe whose chain is done, its `run` and `status`
are measured too.

    python scripts/bench_startup.py [--runs 7] [--recipe redwhale.yaml] [--only TEXT]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HELP_SECONDS, IMPORT_SECONDS, RERUN_SECONDS = 0.5, 0.2, 2.0


def main() -> None:
    """Print a JSON line per command, then a table of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--recipe", type=Path, help="recipe whose chain is done")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    arguments = parser.parse_args()
    todo = {name: row for name, *row in rows(arguments.recipe) if arguments.only in name}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in todo}
    for turn in range(arguments.runs + 1):
        for name, (words, _) in todo.items():
            measured = measure(words)
            if turn:
                taken[name].append(measured)
    table = []
    for name, (_, limit) in todo.items():
        wall, cpu = (round(statistics.median(column), 3) for column in zip(*taken[name], strict=True))
        print(json.dumps({"what": name, "runs": arguments.runs, "seconds": wall, "cpu_seconds": cpu, "limit": limit}))
        table.append([name, f"{wall:.3f}", f"{cpu:.3f}", f"{limit:g}", "" if wall < limit else "over"])
    from redwhale.core.console import Console

    Console().table("", ["what", "s", "CPU s", "limit", ""], table)


def rows(recipe: Path | None) -> Iterator[tuple[str, list[str], float]]:
    """Yield each measurement's name, words of the interpreter and limit in seconds."""
    yield "python, nothing imported", ["-c", "pass"], IMPORT_SECONDS
    yield "import redwhale", ["-c", "import redwhale"], IMPORT_SECONDS
    for command in commands():
        yield " ".join(["redwhale", *command, "--help"]), ["-m", "redwhale", *command, "--help"], HELP_SECONDS
    yield "redwhale new --list", ["-m", "redwhale", "new", "--list"], RERUN_SECONDS
    for command in ("run", "status") if recipe else ():
        yield f"redwhale {command}, all done", ["-m", "redwhale", command, "-c", str(recipe)], RERUN_SECONDS


def commands() -> Iterator[list[str]]:
    """Yield the words of every command and group, the empty one first."""
    import typer.main

    from redwhale.cli import app

    def walk(node: Any, words: list[str]) -> Iterator[list[str]]:
        yield words
        for name, inner in getattr(node, "commands", {}).items():
            yield from walk(inner, [*words, name])

    yield from walk(typer.main.get_command(app), [])


def measure(words: list[str]) -> tuple[float, float]:
    """Run the interpreter; return seconds on the clock and of the processor."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    error = process.stderr.read() if process.stderr else b""
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}: {error.decode(errors='replace')}")
    return wall, used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
