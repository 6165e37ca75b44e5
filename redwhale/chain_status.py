"""What is done of a chain, what is not and why, what it takes on disk, and the next command."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from redwhale.chain import ChainStep, chain_steps, state_of_step, uses_existing
from redwhale.core.artifact import is_finished, read_manifest
from redwhale.core.begun import LOG_NAME, begun_identity
from redwhale.core.errors import RedwhaleError
from redwhale.core.lock import holder_of
from redwhale.core.publish import TEMPORARY_PREFIX
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import SCRATCH_NAME
from redwhale.training.layout import CHECKPOINTS_NAME
from redwhale.training.progress import StageProgress, read_progress
from redwhale.training.schedule import Course

_TO_BE_MADE_AGAIN = ("changed", "damaged")
_LOG_TAIL_BYTES = 4096


@dataclass(frozen=True)
class StepStatus:
    """One step: its state, why, where, what makes it, and what it takes on disk in bytes.

    ``state`` is one of ``core.step.state_of``, or ``stale``: finished, but what it was made from is to be
    made again. ``bytes`` are those of the result, ``scratch_bytes`` of what a run keeps only until it is done.
    ``seconds`` is how long the run that finished it took; ``last_words`` the last line of an unfinished one's log.
    """

    step: str
    state: str
    why: Sequence[str]
    folder: str
    command: str
    bytes: int
    scratch_bytes: int
    made: str | None = None
    seconds: float | None = None
    progress: StageProgress | None = None
    last_words: str | None = None


@dataclass(frozen=True)
class Freeable:
    """What could be removed, and what it is."""

    path: str
    bytes: int
    what: str


@dataclass(frozen=True)
class ChainStatus:
    """All steps; ``bytes`` are those in the workdir, files that results share by hard links counted once."""

    workdir: str
    steps: Sequence[StepStatus]
    bytes: int
    scratch_bytes: int
    freeable: Sequence[Freeable]
    report_command: str

    @property
    def next_command(self) -> str | None:
        """Return the command of the first step that is neither done nor at work; None where there is none."""
        row = next((row for row in self.steps if row.state not in ("done", "running")), None)
        if row is None:
            return None
        return f"{row.command} --fresh" if row.state in _TO_BE_MADE_AGAIN else row.command

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return asdict(self) | {"next": self.next_command}


def status(recipe: Recipe) -> ChainStatus:
    """Say of every step how it stands, of its folder what it takes, and what could be removed."""
    steps = chain_steps(recipe)
    states = _states(recipe, steps)
    seen: set[tuple[int, int]] = set()
    total = scratch = 0
    rows, freeable = [], list[Freeable]()
    for step in steps:
        result, kept = sizes(step.folder, seen)
        if not uses_existing(recipe, step):
            total, scratch = total + result.once, scratch + kept.once
        rows.append(_row(recipe, step, states[step.name], result_bytes=result.all, scratch_bytes=kept.all))
        if kept.all and rows[-1].state != "running" and not uses_existing(recipe, step):
            freeable.append(Freeable(str(step.folder), kept.all, _kind_of_scratch(rows[-1])))
    freeable += _other_stages(recipe, [step.folder for step in steps])
    return ChainStatus(str(recipe.root), rows, total, scratch, freeable, recipe.command("report"))


def _states(recipe: Recipe, steps: Sequence[ChainStep]) -> dict[str, tuple[str, list[str]]]:
    """Return each step's state and why; what was made from a step that has to be made again is ``stale``."""
    found: dict[str, tuple[str, list[str]]] = {}
    again: dict[Path, str] = {}
    for step in steps:
        if uses_existing(recipe, step):
            found[step.name] = ("done" if is_finished(step.folder) else "waiting"), []
            continue
        state, why = state_of_step(step)
        before = _remade(step, again) if again and state in ("done", "interrupted", "changed") else []
        if before and not (state == "changed" and all(map(is_finished, before))):  # then it differs by itself
            why = [f"{again[path]} is {'to be made again' if is_finished(path) else 'not done'}" for path in before]
            state = "interrupted" if state == "interrupted" else "stale"
        if state in ("changed", "stale") or not is_finished(step.folder):  # a damaged one is made again as it was
            again[step.folder] = step.name
        found[step.name] = state, why
    return found


def _remade(step: ChainStep, again: Mapping[Path, str]) -> list[Path]:
    """Return the inputs of a step that are to be made again, or are not made."""
    return [item.path for item in step.plan().inputs if item.path in again]


def _row(
    recipe: Recipe, step: ChainStep, found: tuple[str, list[str]], *, result_bytes: int, scratch_bytes: int
) -> StepStatus:  # fmt: skip
    state, why = found
    made = seconds = progress = words = None
    if is_finished(step.folder):
        with contextlib.suppress(RedwhaleError):  # it is damaged, as the state says
            manifest = read_manifest(step.folder)
            made, seconds = manifest.made, manifest.timings.get("wall_seconds")
    elif state in ("running", "interrupted"):
        index = _stage_of(recipe, step)
        progress = None if index is None else read_progress(step.folder, Course.of(recipe.need("pretrain"), index))
        words = last_words(step.folder / LOG_NAME)
    return StepStatus(
        step.name, state, why, str(step.folder), step.command, result_bytes, scratch_bytes, made, seconds, progress,
        words,
    )  # fmt: skip


def _stage_of(recipe: Recipe, step: ChainStep) -> int | None:
    count = len(recipe.pretrain.stages) if recipe.pretrain else 0
    return next((index for index in range(count) if recipe.stage_folder(index) == step.folder), None)


def last_words(log: Path) -> str | None:
    """Return the last line of a log, None where there is none."""
    if not log.is_file():
        return None
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - _LOG_TAIL_BYTES, 0))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return lines[-1] if lines else None


@dataclass
class Size:
    """Bytes of files: ``all``, and ``once`` without those that were counted before under another name."""

    all: int = 0
    once: int = 0


def sizes(folder: Path, seen: set[tuple[int, int]]) -> tuple[Size, Size]:
    """Return the size of what is kept in ``folder`` and of its scratch, checkpoints and temporaries.

    ``seen`` holds device and inode of the files that were counted, and takes those of this folder.
    """
    kept, scratch = Size(), Size()
    for entry, is_scratch in _files(folder, inside=False):
        try:
            stat = entry.stat(follow_symlinks=False)
        except OSError:  # gone: a step is at work
            continue
        size = scratch if is_scratch else kept
        size.all += stat.st_size
        if (mark := (stat.st_dev, stat.st_ino)) not in seen:
            size.once += stat.st_size
            seen.add(mark)
    return kept, scratch


def _files(folder: Path, *, inside: bool) -> Iterator[tuple[os.DirEntry[str], bool]]:
    """Yield the files below a folder, each with whether it is scratch; ``inside`` a scratch folder all are."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        scratch = inside or entry.name in (SCRATCH_NAME, CHECKPOINTS_NAME) or entry.name.startswith(TEMPORARY_PREFIX)
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path), inside=scratch)
        else:
            yield entry, scratch


def _kind_of_scratch(row: StepStatus) -> str:
    if row.state in ("done", "stale", "stopped") or is_finished(Path(row.folder)):
        return f"left over in {row.step}; the next run removes it"
    return f"what {row.step} would go on from"


def _other_stages(recipe: Recipe, folders: Iterable[Path]) -> list[Freeable]:
    """Return stages in the workdir that the recipe does not have, as of one that was renamed or taken out.

    Other folders are left alone: a recipe with fewer sections may read them, and another may have made them.
    """
    ours = set(folders)
    found = []
    for path in sorted(recipe.root.glob("stage-*")) if recipe.pretrain else []:
        if path not in ours and (is_finished(path) or begun_identity(path)) and not holder_of(path):
            kept, scratch = sizes(path, set())
            found.append(Freeable(str(path), kept.all + scratch.all, "a stage that the recipe does not have"))
    return found
