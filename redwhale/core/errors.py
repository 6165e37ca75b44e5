"""The one error type of the project."""

from __future__ import annotations

from collections.abc import Sequence

DONE, FAILED, USAGE, GATE, RESOURCES, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 4, 130, 143


class RedwhaleError(Exception):
    """Say what is wrong, where, and what mends it.

    ``what`` is the fact with the offending value, ``where`` a file:line or key path, ``fix`` the
    command or key that mends it. ``exit_code``: 1 failed, 2 usage, recipe or unsafe input, 3 over
    a data-loss or quality gate, 4 disk or memory. ``others`` are further errors of the same kind
    (a recipe reports all its faults at once).
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        fix: str = "",
        exit_code: int = FAILED,
        others: Sequence[RedwhaleError] = (),
    ) -> None:
        super().__init__(what)
        self.what, self.where, self.fix = what, where, fix
        self.exit_code = exit_code
        self.others = tuple(others)

    def __str__(self) -> str:
        """Render as one line: where: what; fix."""
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line}; {self.fix}" if self.fix else line
