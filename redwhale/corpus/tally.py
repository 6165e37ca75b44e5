"""What is counted of a source on the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

EXAMPLES = 3  # unreadable records that are named


@dataclass
class Tally:
    """What was counted on the way; tallies of chunks add up."""

    records: int = 0
    characters_in: int = 0
    masked: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    decoded: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    contaminated: Counter[int] = field(default_factory=Counter)
    passages: Counter[int] = field(default_factory=Counter)
    phrases: Counter[int] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add another tally to this one; of ``unreadable`` the first few are kept."""
        self.unreadable += other.unreadable[: EXAMPLES - len(self.unreadable)]
        self.records += other.records
        self.characters_in += other.characters_in
        for name in ("masked", "removed", "decoded", "skipped", "contaminated", "passages", "phrases"):
            getattr(self, name).update(getattr(other, name))
