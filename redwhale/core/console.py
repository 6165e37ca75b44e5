"""What a command says: results on stdout, progress and log on stderr, all of it in ``log.txt``."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SCHEMA = 1
_TABLE_CHARS = 160  # a dozen columns of numbers
_PLAIN_INTERVAL_SECONDS = 30.0
# What follows `token:` is a secret only where it is long enough for one: `token: 8k` is a slip in a recipe.
_SECRET = re.compile(
    r"""(?i)(?:(?-i:hf_)|wandb_v1_|gh[opsu]_|github_pat_|glpat-|sk-)[a-z0-9_-]{8,}|\bAKIA[A-Z0-9]{16}\b"""
    r"""|(?:password|api[_-]?key|secret)\s*[=:]\s*(?:'[^']*'|"[^"]*"|\S+)"""
    r"""|token\s*[=:]\s*(?:'[^']{12,}'|"[^"]{12,}"|[^\s'"]{12,})"""
)
# Of an address: what stands before the host's @, and what is asked behind the path (signatures, tokens, keys).
_IN_ADDRESS = re.compile(
    r"""(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@'"]{1,500}@|\b([a-z][a-z0-9+.-]*://[^\s?'"]{1,2000}\?)[^\s'"]+"""
)
_SECRET_NAME = re.compile(r"(?:TOKEN|SECRET|PASSWORD|API_KEY|ACCESS_KEY|ACCESS_KEY_ID)$")
_SECRET_CHARS = 8  # a shorter value of such a variable could be any word
_CLEAR_LINE = "\r\x1b[2K"


def keep_stdout_for_data() -> None:
    """Send what libraries print to stderr, and silence their routine notes; consoles made before keep stdout.

    DeepSpeed logs to stdout, which would break ``--json``.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8")  # files and pipes hold UTF-8, whatever the locale
    sys.stdout = sys.stderr
    quiet_libraries()


def quiet_libraries() -> None:
    """Silence the bars and routine notes of libraries that are not imported yet; DeepSpeed warns of every CPU."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it misses kernels for CPUs, which nothing here uses
    logging.getLogger("DeepSpeed").addFilter(lambda record: "Setting accelerator to CPU" not in record.getMessage())


def redact(text: str) -> str:
    """Replace what looks like a token, key or password, alone or in an address, and those of the environment."""
    for name, value in os.environ.items():
        if len(value) >= _SECRET_CHARS and _SECRET_NAME.search(name):
            text = text.replace(value, "[redacted]")
    text = _IN_ADDRESS.sub(lambda found: f"{found[1]}[redacted]@" if found[1] else f"{found[2]}[redacted]", text)
    return _SECRET.sub("[redacted]", text)


class Console:
    """The voice of one command; passed down, never global.

    ``json_output`` keeps stdout for one JSON document; ``quiet`` silences notes and progress, never
    warnings or errors.
    """

    def __init__(self, *, json_output: bool = False, quiet: bool = False) -> None:
        self.json_output, self.quiet = json_output, quiet
        self._out = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115  (closed by the caller: >&-)
        self._log: Path | None = None
        self._drawn = False

    def log_to(self, path: Path) -> None:
        """Append all further lines to ``path`` as well."""
        self._log = path

    def _line(self, text: str, *, shown: bool) -> None:
        text = redact(text)
        if shown:
            self.clear_progress()
            print(text, file=sys.stderr, flush=True)
        if self._log is not None:
            with contextlib.suppress(OSError), self._log.open("a", encoding="utf-8") as log:
                log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}\n")

    def draw_progress(self, line: str) -> None:
        """Put ``line`` in place of the last one on the terminal, cut to its width so that it never wraps."""
        width = shutil.get_terminal_size().columns - 1
        print(_CLEAR_LINE + line[:width], end="", file=sys.stderr, flush=True)
        self._drawn = True

    def clear_progress(self) -> None:
        """Take a drawn line of progress away."""
        if self._drawn:
            print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)
            self._drawn = False

    def note(self, text: str) -> None:
        """Say a line of progress on stderr."""
        self._line(text, shown=not self.quiet)

    def warn(self, text: str) -> None:
        """Say a warning on stderr, also when quiet."""
        self._line(f"warning: {text}", shown=True)

    def error(self, text: str) -> None:
        """Say an error on stderr."""
        self._line(f"error: {text}", shown=True)

    def result(self, command: str, value: dict[str, Any]) -> bool:
        """Print the command's one JSON document on stdout where ``--json`` asked for it; return whether it did.

        Nothing that may fail comes after it.
        """
        if self.json_output:
            self.data(json.dumps({"schema": SCHEMA, "command": command, **value}, ensure_ascii=False, default=str))
        return self.json_output

    def errors(self, lines: Sequence[str], exit_code: int) -> None:
        """Print what went wrong as the one JSON document, where there is no result."""
        if self.json_output:
            document = {"schema": SCHEMA, "errors": list(lines), "exit_code": exit_code}
            self.data(json.dumps(document, ensure_ascii=False))

    def data(self, text: str) -> None:
        """Print ``text`` on the stdout that stood when this console was made."""
        print(text, file=self._out, flush=True)

    @property
    def width(self) -> int:
        """Return how many characters a line of stdout may have: those of the terminal, elsewhere enough for a table."""
        return shutil.get_terminal_size().columns if self._out.isatty() else _TABLE_CHARS

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print a table on stdout; with ``--json`` nothing (the document holds the numbers)."""
        if not self.json_output:
            self.data(_render_table(title, columns, rows, width=self.width))

    def note_table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Say a table of progress on stderr and in the log."""
        for line in _render_table(title, columns, rows, width=_TABLE_CHARS).splitlines():
            self.note(line)

    @contextlib.contextmanager
    def progress(self, label: str, total: float, unit: str, *, before: float = 0) -> Iterator[Progress]:
        """Show rate and time left: a bar on a terminal, elsewhere a line every 30 s.

        ``before`` of ``total`` was done by an earlier run.
        """
        progress = Progress(self, label=label, total=total, unit=unit, before=before)
        try:
            yield progress
        finally:
            progress.close()


class Progress:
    """Counts work done; ``advance`` is cheap enough for every batch."""

    def __init__(self, console: Console, *, label: str, total: float, unit: str, before: float = 0) -> None:
        self._console, self._label, self._total, self._unit, self._before = console, label, total, unit, before
        self._done, self._started = 0.0, time.monotonic()
        self._shown = self._started
        self._terminal = sys.stderr.isatty() and not console.quiet
        self._interval = 0.2 if self._terminal else _PLAIN_INTERVAL_SECONDS

    def advance(self, amount: float = 1, extra: str = "") -> None:
        """Add finished work; ``extra`` stands at the end of the line."""
        self._done += amount
        now = time.monotonic()
        if now - self._shown < self._interval:
            return
        self._shown = now
        line = self._describe(now, extra)
        if self._terminal:
            self._console.draw_progress(line)
        else:
            self._console.note(line)

    def _describe(self, now: float, extra: str) -> str:
        rate = self._done / max(now - self._started, 1e-9)
        there = self._before + self._done
        share = f"{100 * there / self._total:.0f} %" if self._total else ""
        left = f"{duration(max(self._total - there, 0) / rate)} left" if rate and self._total else ""
        parts = (share, f"{quantity(rate)} {self._unit}/s", left, extra)
        return f"{self._label}: " + ", ".join(part for part in parts if part)

    def close(self) -> None:
        """Take the line away from a terminal."""
        self._console.clear_progress()


def duration(seconds: float) -> str:
    """Return a duration as people read it: ``42s``, ``3m05s``, ``2h10m``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def quantity(value: float) -> str:
    """Return a number with a decimal unit prefix: ``1.2k``, ``3.4M``."""
    for factor, prefix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{prefix}"
    return f"{value:.3g}"


def data_size(size_bytes: float) -> str:
    """Return a size with a binary unit: ``512 B``, ``3.4 MiB``, ``120 GiB``."""
    size, unit = float(size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1023.5:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "B" or size >= 99.95 else f"{size:.1f} {unit}"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _render_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, width: int) -> str:
    from rich.console import Console as RichConsole
    from rich.table import Table

    table = Table(title=title or None, title_justify="left")
    for index, column in enumerate(columns):
        words = index == 0 or any(isinstance(row[index], str) for row in rows)
        table.add_column(column, justify="left" if words else "right", overflow="fold")
    for row in rows:
        table.add_row(*[_cell(value) for value in row])
    rich = RichConsole(width=width, color_system=None, highlight=False)
    with rich.capture() as capture:
        rich.print(table)
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())
