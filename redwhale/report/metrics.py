"""Read ``metrics.jsonl``, which has a row a step, in memory that does not depend on how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from redwhale.training.trackers import numbers

POINTS = 300
"""A curve has at least so many points where there are as many steps, and less than twice as many."""


@dataclass
class Stretch:
    """Steps that are one point: of each number its sum, how often it stood there, and the highest."""

    values: dict[str, tuple[float, int, float]] = field(default_factory=dict)

    def add(self, row: Mapping[str, float]) -> None:
        """Add a step."""
        for name, value in row.items():
            total, count, highest = self.values.get(name, (0.0, 0, value))
            self.values[name] = (total + value, count + 1, max(highest, value))

    def join(self, other: Stretch) -> None:
        """Add the steps of the stretch that follows."""
        for name, (total, count, highest) in other.values.items():
            before = self.values.get(name, (0.0, 0, highest))
            self.values[name] = (before[0] + total, before[1] + count, max(before[2], highest))

    def mean(self, name: str) -> float | None:
        """Return the mean of a number over the stretch, None where it stands nowhere."""
        total, count, _ = self.values.get(name, (0.0, 0, 0.0))
        return total / count if count else None


class Thinned:
    """Rows as they come, kept as the means of equal stretches, which are joined two by two where they get too many."""

    def __init__(self, points: int = POINTS) -> None:
        self._points, self._length, self._rows = points, 1, 0
        self.stretches: list[Stretch] = []

    def add(self, row: Mapping[str, float]) -> None:
        """Add the next row."""
        if self._rows % self._length == 0:
            if len(self.stretches) == 2 * self._points:
                self._halve()
            self.stretches.append(Stretch())
        self.stretches[-1].add(row)
        self._rows += 1

    def _halve(self) -> None:
        pairs = zip(self.stretches[::2], self.stretches[1::2], strict=True)
        for first, second in pairs:
            first.join(second)
        self.stretches = self.stretches[::2]
        self._length *= 2

    def series(self, name: str, *, highest: bool = False) -> list[tuple[float, float]]:
        """Return (mean tokens, mean or highest value) of the stretches that have the number."""
        found = []
        for stretch in self.stretches:
            value = stretch.values[name][2] if highest and name in stretch.values else stretch.mean(name)
            tokens = stretch.mean("tokens")
            if value is not None and tokens is not None:
                found.append((tokens, value))
        return found

    def names(self, prefix: str) -> list[str]:
        """Return the numbers that stand in some row under ``prefix``, in their first order."""
        found = dict.fromkeys(name for stretch in self.stretches for name in stretch.values if name.startswith(prefix))
        return list(found)


@dataclass
class Metrics:
    """A stage's rows: of ``steps``, and of ``measured`` places; ``unreadable`` lines were left out."""

    steps: Thinned = field(default_factory=Thinned)
    measured: Thinned = field(default_factory=Thinned)
    step_seconds: float = 0.0
    last_tokens: float = 0.0
    unreadable: int = 0


def read_metrics(path: Path) -> Metrics:
    """Read a stage's rows, one at a time."""
    found = Metrics()
    with path.open("rb") as file:
        for line in file:
            try:
                row = numbers(orjson.loads(line))
                tokens = row["tokens"]
            except (ValueError, KeyError, AttributeError):
                found.unreadable += line.endswith(b"\n") and bool(line.strip())  # else one that is being written
                continue
            if "loss" in row or "learning_rate" in row or "seconds" in row:
                found.steps.add(row)
                found.step_seconds += row.get("seconds", 0.0)
            else:
                found.measured.add(row)
            found.last_tokens = max(found.last_tokens, tokens)
    return found
