"""Named faults, for tests: ``REDWHALE_FAULT=point:action@n`` makes the n-th passage of a point go wrong.

Actions: ``kill`` (SIGKILL), ``raise-ENOSPC``, ``raise-EIO`` (or any other name of errno), ``truncate`` (the file at
the point loses its second half, as on a disk that lies), ``sleep`` (a minute, for another to do something meanwhile).
Unset it costs a look at the environment, under a microsecond a passage.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

from redwhale.core.errors import USAGE, RedwhaleError

VARIABLE = "REDWHALE_FAULT"
_SLEEP_SECONDS = 60.0


def fault(point: str, path: Path | None = None) -> None:
    """Let what was asked for happen at ``point``; ``path`` is the file that is being written there.

    The count of passages lives in the environment of this process, and is inherited as it stands.
    """
    if (wanted := os.environ.get(VARIABLE)) and wanted.startswith(f"{point}:"):
        _pass(wanted, path)


def _pass(wanted: str, path: Path | None) -> None:
    asked, _, count = wanted.partition("@")
    remaining = int(count) if count.isdecimal() else 1
    os.environ[VARIABLE] = f"{asked}@{remaining - 1}"
    if remaining == 1:
        _strike(asked.partition(":")[2], path)


def _strike(action: str, path: Path | None) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "sleep":
        time.sleep(_SLEEP_SECONDS)
    elif action == "truncate" and path is not None and path.is_file():
        os.truncate(path, path.stat().st_size // 2)
    elif action.startswith("raise-") and hasattr(errno, action.removeprefix("raise-")):
        number = getattr(errno, action.removeprefix("raise-"))
        raise OSError(number, os.strerror(number), str(path) if path else None)
    else:
        raise RedwhaleError(
            f"{action!r} cannot be done there", where=VARIABLE,
            fix="actions: kill, raise-ENOSPC, raise-EIO, truncate (of a file), sleep", exit_code=USAGE,
        )  # fmt: skip
