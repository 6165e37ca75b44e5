"""What ``status`` and ``show lineage`` show: tables and trees for people, the same as JSON with ``--json``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from redwhale.chain import NO_STEPS
from redwhale.chain_lineage import Checked
from redwhale.chain_status import ChainStatus, StepStatus
from redwhale.core.console import Console, data_size, duration, quantity

_DIGEST_CHARS = 12
_MOST_FILES = 20  # of one source; --json has them all
_SHOWN_FILES = 3


def show_status(found: ChainStatus, console: Console) -> None:
    """Show one row a step, what there is to say of those that are not done, sizes, and last the next command."""
    if console.result("status", found.as_dict()):
        return
    if not found.steps:
        console.data(NO_STEPS)
        return
    console.table("", ["step", "state", "size", "made", "took"], [
        [row.step, row.state, data_size(row.bytes) if row.bytes else "-", (row.made or "-")[:16].replace("T", " "),
         "-" if row.seconds is None else duration(row.seconds)]
        for row in found.steps
    ])  # fmt: skip
    following = next((row for row in found.steps if row.state not in ("done", "running")), None)
    for row in found.steps:
        if row is following or row.state not in ("done", "absent", "waiting"):
            for line in _words_of(row):
                console.data(line)
    scratch = f", {data_size(found.scratch_bytes)} of scratch and checkpoints" if found.scratch_bytes else ""
    console.data(f"in {found.workdir}: {data_size(found.bytes)} of results{scratch}")
    for one in found.freeable:
        name = os.path.relpath(one.path, found.workdir)
        console.data(f"could be freed: {data_size(one.bytes)} in {name}, {one.what}")
    console.data(_last_line(found))


def _words_of(row: StepStatus) -> Iterator[str]:
    """Yield what there is to say of a step that is not done."""
    progress = row.progress
    if row.state == "running":
        yield f"{row.step}: running, {'; '.join(row.why)}"
    elif row.state == "interrupted":
        since = f"; it goes on after step {progress.checkpoint}" if progress else ""
        yield "; ".join([f"{row.step}: interrupted{since}", *row.why])
    elif row.why:
        yield f"{row.step}: {row.state}: {'; '.join(row.why)}"
    if progress:
        share = f"{100 * progress.step / progress.steps:.0f} %"
        loss = "" if progress.loss is None else f", loss {progress.loss:.4f}"
        speed = f", {quantity(progress.tokens_per_second)} tokens/s" if progress.tokens_per_second else ""
        left = f", {duration(progress.seconds_left)} left" if progress.seconds_left is not None else ""
        yield f"  step {progress.step} of {progress.steps} ({share}){loss}{speed}{left}"
    elif row.last_words:
        yield f"  its log: {row.last_words}"


def _last_line(found: ChainStatus) -> str:
    running = [row.step for row in found.steps if row.state == "running"]
    after = f" (once {', '.join(running)} is done)" if running else ""
    if found.next_command:
        return f"next: {found.next_command}{after}"
    if running:
        return f"nothing else is to be done{after}"
    return f"everything is done; on one page by: {found.report_command}"


def show_lineage(tree: dict[str, Any], checked: Checked, console: Console) -> None:
    """Show a result and what it was made from as a tree, and what was checked on the way."""
    if console.result("show lineage", {"lineage": tree, "checked": asdict(checked)}):
        return
    above = _common_folder(tree)
    console.data(f"paths below {above}")
    for first, later, (name, facts) in _branch(tree, above=above, marks=("", ""), seen=set()):
        if len(first) + len(name) + len(facts) + 2 <= console.width:
            console.data(f"{first}{name}  {facts}".rstrip())
        else:
            console.data(f"{first}{name}\n{later}   {facts}")
    console.data(_checked_in_words(checked))


def _branch(
    node: dict[str, Any], *, above: Path, marks: tuple[str, str], seen: set[str]
) -> Iterator[tuple[str, str, tuple[str, str]]]:  # fmt: skip
    """Yield a node and what it was made from: the guides before its first and further lines, its name and facts.

    What a result that stands further up was made from is not repeated.
    """
    begin, beside = marks
    again = node["path"] in seen
    seen.add(node["path"])
    below = [] if again else _shortened(node.get("inputs", []))
    yield begin, beside + ("│" if below else " "), _words_of_node(node, above, again=again)
    for number, child in enumerate(below):
        last = number == len(below) - 1
        inner = (beside + ("└─ " if last else "├─ "), beside + ("   " if last else "│  "))
        if "more" in child:
            yield inner[0], inner[1], (child["more"], "")
        else:
            yield from _branch(child, above=above, marks=inner, seen=seen)


def _words_of_node(node: dict[str, Any], above: Path, *, again: bool) -> tuple[str, str]:
    name = os.path.relpath(node["path"], above)
    role = node.get("role", "").removeprefix("source:").partition("/")[0]
    if role and not role.endswith(Path(node["path"]).name):
        name = f"{role}: {name}"
    if again:
        return name, "(above)"
    facts = [node["digest"][:_DIGEST_CHARS], data_size(node["bytes"])]
    if "inputs" in node:
        facts = [node["step"], *facts, (node["made"] or "")[:16].replace("T", " ")]
    if "licence" in node:
        facts.append(node["licence"] or "no licence given")
    return name, ", ".join(facts)


def _shortened(children: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return results first and files after them, of sources with many files only the first few."""
    files: dict[str, list[dict[str, Any]]] = {}
    for child in children:
        if "inputs" not in child:
            files.setdefault(child["role"].partition("/")[0], []).append(child)
    shown = [child for child in children if "inputs" in child]
    for name, group in files.items():
        if len(group) <= _MOST_FILES:
            shown += group
            continue
        rest = group[_SHOWN_FILES:]
        size = data_size(sum(child["bytes"] for child in rest))
        shown += group[:_SHOWN_FILES]
        shown.append({"more": f"{name.removeprefix('source:')}: {len(rest):,} more files, {size} (--json lists them)"})
    return shown


def _common_folder(tree: dict[str, Any]) -> Path:
    paths: list[str] = []

    def walk(node: dict[str, Any]) -> None:
        paths.append(str(Path(node["path"]).parent))
        for child in node.get("inputs", []):
            walk(child)

    walk(tree)
    return Path(os.path.commonpath(paths))


def _checked_in_words(checked: Checked) -> str:
    results = f"{checked.results} results ({checked.files:,} files, {data_size(checked.bytes)})"
    sources = f"{checked.source_files:,} source files ({data_size(checked.source_bytes)})"
    if checked.rehashed:
        return f"verified: every file of {results} and {sources} has the digest that was recorded"
    return f"checked: {results} by size and time, {sources} not; --verify hashes all of them"
