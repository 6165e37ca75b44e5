"""What ``redwhale doctor`` shows: lines to be pasted, the same as JSON with ``--json``."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from redwhale.core.console import Console
from redwhale.doctor.finding import Finding


def show_findings(findings: Sequence[Finding], console: Console, *, recipe: Path | None) -> None:
    """Show a line for each finding, the fix below it, and last how many there are of each kind."""
    counts = {state: sum(finding.state == state for finding in findings) for state in ("ok", "warn", "fail")}
    found = [asdict(finding) for finding in findings]
    if console.result("doctor", {"recipe": str(recipe) if recipe else None, "findings": found, "counts": counts}):
        return
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        begin = f"{finding.state:<4}  {finding.name:<{width}}  "
        for line in _wrapped(begin, finding.found, console.width):
            console.data(line)
        if finding.fix and finding.state != "ok":
            for line in _wrapped(" " * len(begin) + "fix: ", finding.fix, console.width):
                console.data(line)
    for_what = f"for {recipe}" if recipe else "in general, without a recipe"
    console.data(f"{counts['ok']} ok, {counts['warn']} warn, {counts['fail']} fail, {for_what}")


def _wrapped(begin: str, text: str, width: int) -> list[str]:
    """Break a text behind its beginning; commands and paths are never cut within a word."""
    return textwrap.wrap(
        text, max(width, len(begin) + 30), initial_indent=begin, subsequent_indent=" " * len(begin),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
