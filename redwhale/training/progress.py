"""How far a stage has come, from what it has left in its folder; imports nothing heavy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redwhale.training.layout import CHECKPOINTS_NAME, METRICS_NAME, checkpoint_folders, step_of
from redwhale.training.schedule import Course

_TAIL_BYTES = 2**16  # a row is under 1 KB, that of a measurement a few


@dataclass(frozen=True)
class StageProgress:
    """``step`` of ``steps`` is done, ``checkpoint`` is the step that a new start goes on from (0: the beginning).

    ``loss`` and ``tokens_per_second`` are the last step's; ``seconds_left`` is what the rest takes at that speed.
    """

    step: int
    steps: int
    checkpoint: int
    loss: float | None
    tokens_per_second: float | None
    seconds_left: float | None


def read_progress(folder: Path, course: Course) -> StageProgress | None:
    """Return how far the stage in ``folder`` is; None where it has done no step."""
    row = last_step(folder / METRICS_NAME)
    if row is None:
        return None
    saved = checkpoint_folders(folder / CHECKPOINTS_NAME)
    speed = row.get("tokens_per_second")
    left = (course.steps - row["step"]) * course.step_tokens
    return StageProgress(
        step=row["step"], steps=course.steps, checkpoint=step_of(saved[0]) if saved else 0, loss=row.get("loss"),
        tokens_per_second=speed, seconds_left=round(left / speed, 1) if speed else None,
    )  # fmt: skip


def last_step(path: Path) -> dict[str, Any] | None:
    """Return the last whole row of a step in ``metrics.jsonl``, which may be being written; None where there is none.

    Only the end is read: of a million steps the file has hundreds of MB.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
        lines = file.read().splitlines()
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except ValueError:  # the first line of what was read, or half a row at the end
            continue
        if isinstance(row, dict) and "learning_rate" in row:
            return row
    return None
