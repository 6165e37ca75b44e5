"""What a check finds: one line that can be pasted into an issue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from redwhale.core.console import redact

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it stands, what was found, and what mends it."""

    name: str
    state: State
    found: str
    fix: str = ""


def short_of(needed: bool) -> State:
    """Return how bad it is that something lacks: a failure where the recipe needs it."""
    return "fail" if needed else "warn"


def attempt(name: str, check: Callable[[], Finding]) -> Finding:
    """Return what a check finds, in one line without secrets; one that fails itself costs no other."""
    try:
        finding = check()
    except Exception as error:  # whatever a strange machine makes a library raise
        words = f"could not be checked ({type(error).__name__}: {error})"
        finding = Finding(name, "warn", words, "look at it by hand; `redwhale doctor` went on without it")
    return Finding(name, finding.state, _one_line(finding.found), _one_line(finding.fix))


def _one_line(text: str) -> str:
    return redact(" ".join(text.split()))
