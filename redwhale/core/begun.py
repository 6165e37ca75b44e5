"""The mark of a run in a step's folder, which stays when it is finished, and what a run has left there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redwhale.core.artifact import InputRecord
from redwhale.core.lock import LOCK_NAME
from redwhale.core.publish import TEMPORARY_PREFIX

BEGUN_NAME = "begun.json"
LOG_NAME = "log.txt"


@dataclass(frozen=True)
class Begun:
    """What a run is made from."""

    identity: str
    fields: dict[str, Any]
    inputs: list[InputRecord]


def read_begun(folder: Path) -> Begun | None:
    """Return the mark in ``folder``, None where there is none that can be read."""
    path = folder / BEGUN_NAME
    if not path.is_file():
        return None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Begun(raw["identity"], raw["fields"], [InputRecord.model_validate(record) for record in raw["inputs"]])
    except (ValueError, KeyError, TypeError):  # damaged: whose the files are is not known, as if it were not there
        return None


def begun_identity(folder: Path) -> str | None:
    """Return the identity of the run that ``folder`` belongs to, None where it belongs to none."""
    begun = read_begun(folder)
    return begun.identity if begun else None


def made_in(folder: Path) -> list[str]:
    """Return the names of what a run has left in ``folder`` besides its lock, log and mark."""
    own = (LOCK_NAME, LOG_NAME, BEGUN_NAME)
    names = (path.name for path in folder.iterdir())
    return sorted(name for name in names if name not in own and not name.startswith(TEMPORARY_PREFIX))


def foreign(made: list[str]) -> str:
    """Say that a folder holds files of nobody knows whom."""
    return f"the folder holds files that are not this step's ({', '.join(made[:3])})"
