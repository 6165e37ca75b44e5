"""A font with Hangul, for plots."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from redwhale.doctor.finding import Finding

_SECONDS = 3.0
_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts")
_KNOWN = ("nanum", "notosanscjk", "notosanskr", "notoserifcjk", "notoserifkr", "malgun", "undotum", "baekmuk",
          "gulim", "pretendard", "sourcehansans", "d2coding")  # fmt: skip


def check_korean_font() -> Finding:
    """Look for a font that draws Hangul; nothing is imported for it."""
    names = _by_fontconfig()
    if names is None:
        files = (path for folder in _FOLDERS for path in Path(folder).expanduser().rglob("*.[to]t[fc]"))
        names = korean_by_name(path.name for path in files)
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return Finding("korean font", "ok", f"{names[0]}{more}")
    return Finding(
        "korean font", "warn", "none: Hangul in plots would be empty boxes", "apt install fonts-nanum (Debian, Ubuntu)"
    )


def _by_fontconfig() -> list[str] | None:
    """Return the families that fontconfig knows for Korean, None where there is no fontconfig."""
    command = ["fc-list", ":lang=ko", "family"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    return sorted({line.split(",")[0].strip() for line in done.stdout.decode("utf-8", "replace").splitlines() if line})


def korean_by_name(names: Iterable[str]) -> list[str]:
    """Return the font files whose name is that of a known Korean font."""
    return sorted(name for name in names if name.lower().replace("-", "").startswith(_KNOWN))
