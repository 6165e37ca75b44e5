"""How the report writes numbers and messages."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup, escape

from redwhale.core.console import duration, quantity, redact

NONE = "–"


def whole(value: float | None) -> str:
    """Return a count with commas: ``1,074``."""
    return NONE if value is None else f"{value:,.0f}"


def fixed(value: float | None, digits: int = 3) -> str:
    """Return a number with a fixed number of digits behind the point."""
    return NONE if value is None else _signs(f"{value:,.{digits}f}")


def share(value: float | None, digits: int = 1) -> str:
    """Return a share in percent: ``4.0 %``."""
    return NONE if value is None else _signs(f"{100 * value:,.{digits}f} %")


def change(value: float | None, digits: int = 1) -> str:
    """Return a relative change in percent with its sign."""
    return NONE if value is None else _signs(f"{100 * value:+,.{digits}f} %")


def signed(value: float | None, digits: int = 3) -> str:
    """Return a difference with its sign."""
    return NONE if value is None else _signs(f"{value:+.{digits}f}")


def size(value: float | None) -> str:
    """Return bytes in decimal units, as sizes of text are written: ``1.8 MB``."""
    if value is None:
        return NONE
    for factor, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(value) >= 0.9995 * factor:  # 999.9 kB would be written as 1e+03
            return f"{value / factor:.3g} {unit}"
    return f"{value:.0f} B"


def gib(value: float | None) -> str:
    """Return bytes in GiB, as memory is written."""
    return NONE if value is None else f"{value / 2**30:,.2f}"


def short(value: float | None) -> str:
    """Return a number with a unit prefix: ``1.2k``, ``3.4M``."""
    return NONE if value is None else quantity(value)


def time_taken(value: float | None) -> str:
    """Return a duration as people read it."""
    return NONE if value is None else f"{value:.1f} s" if value < 10 else duration(value)


def rate(value: float | None) -> str:
    """Return a learning rate in three figures."""
    return NONE if value is None else f"{value:.3g}"


def digest(value: str | None) -> str:
    """Return the beginning of a digest, enough to tell two apart."""
    return NONE if value is None else value[:12]


def _signs(text: str) -> str:
    return text.replace("-", "−")


def coded(text: str) -> Markup:
    """Return a message with what stands in backticks as code; all is escaped, and secrets are left out."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(redact(text)))))


FILTERS: dict[str, Any] = {
    "whole": whole, "fixed": fixed, "share": share, "change": change, "signed": signed, "size": size, "gib": gib,
    "short": short, "time_taken": time_taken, "rate": rate, "digest": digest,
    "coded": coded,
}  # fmt: skip
