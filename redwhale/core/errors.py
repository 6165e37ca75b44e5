"""The one error type of the project."""

from __future__ import annotations

from collections.abc import Sequence

DONE = 0
"""Done, or nothing to do: the result stands there already."""
FAILED = 1
"""Failed. The line on stderr says what and where; with `--debug` the traceback stands before it."""
USAGE = 2
"""A wrong command, a fault in the recipe, input that does not fit or is not safe to read, a result made from other
settings, a folder that another process holds. Nothing was finished; mend what the line names."""
GATE = 3
"""Over a limit on lost data or lost quality, which the warning names. The result is finished (a stage of training that
forgets English has a checkpoint), and `redwhale run` goes no further. Mend the input and use `--fresh`, or change the
gate in the recipe and give the same command again."""
RESOURCES = 4
"""Disk or memory ran out, `redwhale plan` says that a stage does not fit, or `redwhale doctor` that the machine lacks
what is needed. Free some, or take a change that the message names; then the same command goes on."""
INTERRUPTED = 130
"""Ctrl-C; training saves a checkpoint first. The same command goes on."""
TERMINATED = 143
"""SIGTERM, as clusters send it before they take a machine back; training saves a checkpoint first. The same command
goes on."""


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


def first_line(error: BaseException) -> str:
    """Return the first line of what a foreign error says, 200 characters at most; its type's name if it is silent."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
