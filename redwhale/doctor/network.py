"""The hub: whether it can be reached, and whether a login is there; the token itself is never shown."""

from __future__ import annotations

import os
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping

from redwhale.doctor.finding import Finding
from redwhale.doctor.needs import Needs

_SECONDS = 2.0
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
_TRUE = ("1", "on", "yes", "true")


def offline_by(environment: Mapping[str, str]) -> str | None:
    """Return the variable that keeps the hub's libraries offline, None without one."""
    return next((name for name in _OFFLINE if environment.get(name, "").lower() in _TRUE), None)


def reach_hub(seconds: float = _SECONDS) -> str:
    """Return why the hub cannot be reached within ``seconds``, nothing where it can.

    A look-up of a name keeps no time limit, so it is waited for from outside.
    """
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    answers: list[str] = []

    def knock() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=seconds).close()
            answers.append("")
        except urllib.error.HTTPError:  # it answers
            answers.append("")
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            answers.append("no answer in time" if isinstance(reason, socket.timeout) else str(reason))

    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else f"no answer in {seconds:.0f} s"


def check_network(needs: Needs, problem: str, environment: Mapping[str, str]) -> Finding:
    """Say whether models and sets can be fetched; work on local files needs no network, so this never fails."""
    wanted = f"; the recipe reads {', '.join(needs.hub)} from it" if needs.hub else ""
    if name := offline_by(environment):
        found = f"offline by {name}{wanted}"
        if needs.hub:
            return Finding("network", "warn", found, f"unset {name}, unless all is in the cache")
        return Finding("network", "ok", found)
    if problem:
        fix = "check connection and proxy, or work on local folders and the cache (HF_HUB_OFFLINE=1)"
        return Finding("network", "warn", f"the hub cannot be reached ({problem}){wanted}", fix)
    return Finding("network", "ok", f"the hub answers{wanted}")


def check_login(needs: Needs) -> Finding:
    """Say whether a token of the hub is there."""
    from huggingface_hub import get_token

    return judge_login(get_token() is not None, hub=bool(needs.hub))


def judge_login(there: bool, *, hub: bool) -> Finding:
    """Judge a login; without one gated models cannot be fetched."""
    if there:
        return Finding("hub login", "ok", "a token is there (not shown, not tried)")
    if hub:
        fix = "hf auth login, where the base or a set asks for an account"
        return Finding("hub login", "warn", "no token: gated models and sets cannot be fetched", fix)
    return Finding("hub login", "ok", "no token, and nothing here needs one")
