"""Feed a target with made-up inputs until a time is over; the shortest input of each failure is kept.

``REDWHALE_FUZZ_SECONDS`` (30) is that time, ``REDWHALE_FUZZ_SEED`` (1) where the inputs start from: the same seed
gives the same inputs in the same order. ``REDWHALE_FUZZ_CRASHES`` names a folder for inputs that failed, beside a
line of JSON for each target; ``scripts/fuzz.py`` sets all three. Without it a failure shows its input and no more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, errors, given, seed, settings
from hypothesis import strategies as st

SECONDS, SEED, CRASHES = "REDWHALE_FUZZ_SECONDS", "REDWHALE_FUZZ_SEED", "REDWHALE_FUZZ_CRASHES"
_ROUND = 200  # inputs; a failure ends its round, the next one starts from another seed
_MOST_FAILURES = 20
_SPLICES = st.sampled_from([
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r\n", b"\n", b'"', b"'", b"{", b"}", b"[", b"]", b"<", b">", b"&#", b"%",
    b"\\", b"\\ud800", b"NaN", b"1e999", b"-1", b"9" * 40, b"null", b"\xed\xa0\x80", b"\xb0\xa1", "각".encode(), 
    b"\x00" * 64, b"[" * 3000, b'{"a":' * 2000, b"\xff" * 8, b"\x7f\xff\xff\xff", b"..", b"/",
])  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One input: the bytes, the name of the file that holds them, and what else there is to say of it."""

    name: str
    data: bytes
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """One thing that happens to a file's bytes at a place, given as a share of its length."""

    kind: str
    place: float
    length: float
    bytes: bytes
    bit: int

    def of(self, data: bytes) -> bytes:
        """Return ``data`` after the change."""
        at, other = int(self.place * len(data)), int(self.length * len(data))
        if self.kind == "flip" and data:
            at = min(at, len(data) - 1)
            return data[:at] + bytes([data[at] ^ (1 << self.bit)]) + data[at + 1 :]
        if self.kind == "cut":
            return data[:at]
        if self.kind == "drop":
            return data[:at] + data[at + 1 + other // 8 :]
        if self.kind == "repeat":
            return data[:at] + data[at : at + 1 + other // 8] * 2 + data[at + 1 + other // 8 :]
        if self.kind == "move":
            return data[:at] + data[other : other + 40] + data[at:]
        if self.kind == "overwrite":
            return data[:at] + self.bytes + data[at + len(self.bytes) :]
        return data[:at] + self.bytes + data[at:]


_SHARES = st.floats(0, 1, exclude_max=True)
_KINDS = st.sampled_from(["flip", "insert", "overwrite", "cut", "drop", "repeat", "move"])
CHANGES = st.lists(
    st.builds(Change, _KINDS, _SHARES, _SHARES, st.one_of(_SPLICES, st.binary(max_size=8)), st.integers(0, 7)),
    max_size=4,
)


def changed(data: bytes, changes: list[Change]) -> bytes:
    """Return ``data`` after all changes."""
    for change in changes:
        data = change.of(data)
    return data


def fuzz(target: str, inputs: st.SearchStrategy[Case], check: Callable[[Case], object]) -> None:
    """Call ``check`` with inputs until the time is over; fail with every kind of failure that was seen."""
    campaign = _Campaign(check, time.monotonic() + float(os.environ.get(SECONDS, "30")))
    first = int(os.environ.get(SEED, "1"))
    rounds = 0
    while time.monotonic() < campaign.end and len(campaign.failures) < _MOST_FAILURES:
        campaign.round(inputs, first + rounds)
        rounds += 1
    report = campaign.report(target, first, os.environ.get(CRASHES))
    assert not campaign.failures, report


class _Campaign:
    """What was tried so far, and the shortest input of each failure."""

    def __init__(self, check: Callable[[Case], object], end: float) -> None:
        self.check, self.end, self.started = check, end, time.monotonic()
        self.inputs = 0
        self.failures: dict[str, tuple[Case, str]] = {}

    def round(self, inputs: st.SearchStrategy[Case], number: int) -> None:
        """Try one seed's inputs; hypothesis makes the first that fails shorter."""
        attempt = settings(
            max_examples=_ROUND, database=None, deadline=None, report_multiple_bugs=False,
            phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
        )(given(inputs)(self._attempt))  # fmt: skip
        try:
            seed(number)(attempt)()
        except (errors.Flaky, errors.FlakyFailure):
            pass  # over its time or memory once only: noted when it happened
        except Exception as error:
            if _kind(error) not in self.failures:
                raise

    def _attempt(self, case: Case) -> None:
        if time.monotonic() > self.end:
            return
        self.inputs += 1
        try:
            with contextlib.suppress(OverBoundsError):
                self.check(case)
                return
            self.check(case)  # again: the first time pays for what is imported and compiled on the way
        except Exception as error:
            kind = _kind(error)
            known = self.failures.get(kind)
            if known is None or len(case.data) < len(known[0].data):
                self.failures[kind] = (case, "".join(traceback.format_exception(error)))
            raise

    def report(self, target: str, first: int, folder: str | None) -> str:
        """Return what was seen as a line of JSON, and keep it with the failing inputs in ``folder``."""
        seconds = round(time.monotonic() - self.started, 1)
        crashes = []
        for kind, (case, trace) in self.failures.items():
            crash = {
                "error": kind,
                "name": case.name,
                "keys": dict(case.keys),
                "bytes": len(case.data),
                "begins": repr(case.data[:200]),
            }
            if folder:
                path = Path(folder) / f"{target}-{hashlib.sha256(case.data).hexdigest()[:12]}-{case.name}"
                path.write_bytes(case.data)
                path.with_name(path.name + ".txt").write_text(trace, encoding="utf-8")
                crash["file"] = str(path)
            crashes.append(crash)
        line = json.dumps(
            {"target": target, "seed": first, "inputs": self.inputs, "seconds": seconds, "crashes": crashes},
            ensure_ascii=False,
        )
        if folder:
            (Path(folder) / f"{target}.json").write_text(line + "\n", encoding="utf-8")
        traces = "\n".join(trace for _, trace in self.failures.values())
        return f"{line}\n{traces}"


def _kind(error: BaseException) -> str:
    """Return an error's type and the line of the package that it comes from: one kind of failure."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/redwhale/" in frame.filename] or frames
    return f"{type(error).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}"


class OverBoundsError(AssertionError):
    """An input took more than it may."""


class Bounds:
    """Refuses an input that takes more CPU seconds or memory than it may."""

    def __init__(self, *, seconds: float, megabytes: int) -> None:
        self._seconds, self._bytes = seconds, megabytes << 20

    def __enter__(self) -> None:
        self._resident = _memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak
        self._started = time.process_time()

    def __exit__(self, kind: object, *rest: object) -> None:
        taken, grown = time.process_time() - self._started, _memory("VmHWM") - self._resident
        if kind is None and (taken > self._seconds or grown > self._bytes):
            raise OverBoundsError(f"{taken:.1f} s of CPU and {grown >> 20} MiB for one input")


def _memory(field: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) << 10
