"""Speed, memory and loss of every step: one progress line, and ``metrics.jsonl`` with one row a step."""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from redwhale.core.console import Progress
from redwhale.core.publish import write_bytes
from redwhale.training.layout import METRICS_NAME

if TYPE_CHECKING:
    from redwhale.training.estimate.work import Work
    from redwhale.training.trackers import Tracker


def forget_peak(device: torch.device) -> None:
    """Begin a new peak of memory here, so that a stage's is its own."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM (proc(5)); elsewhere it stays the process's


def peak_memory_bytes(device: torch.device) -> int:
    """Return the most memory used since the last ``forget_peak``: allocated on the GPU, else the resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Meter:
    """Write rows of ``metrics.jsonl``; silent on processes that do not lead (``folder`` unset).

    ``work`` are the operations of a token, ``devices`` share them, ``peak_flops`` is what one could do a second
    (0 where that is not known, as of a CPU). ``trackers`` get every row too, those kept of an earlier run first.
    ``before``: what earlier processes took for the steps that are kept (``taken``).
    """

    def __init__(
        self, folder: Path | None, *, resumed_step: int, device: torch.device, work: Work | None = None,
        devices: int = 1, peak_flops: float = 0.0, trackers: Sequence[Tracker] = (),
        before: Mapping[str, float] | None = None,
    ) -> None:  # fmt: skip
        self._path = folder / METRICS_NAME if folder is not None else None
        self._device, self._trackers = device, trackers
        self._work, self._devices, self._peak_flops = work, devices, peak_flops
        self._seconds, self._tokens = 0.0, 0
        self.seconds = {"stage": 0.0, "data": 0.0, "checkpoints": 0.0, "measuring": 0.0} | dict(before or {})
        self._last = self._counted = time.perf_counter()
        self._data_before = self.seconds["data"]
        if self._path is not None:
            _cut_rows(self._path, resumed_step)
            if trackers:
                with self._path.open(encoding="utf-8") as kept:
                    for line in kept:
                        self._track(json.loads(line))

    @contextlib.contextmanager
    def timing(self, part: str) -> Iterator[None]:
        """Add the time taken to ``seconds``: ``data``, ``checkpoints`` or ``measuring``."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - started

    def taken(self) -> dict[str, float]:
        """Return the stage's seconds up to now: ``stage`` in all, of these ``data``, ``checkpoints``, ``measuring``."""
        now = time.perf_counter()
        self.seconds["stage"] += now - self._counted
        self._counted = now
        return {part: round(seconds, 3) for part, seconds in self.seconds.items()}

    def restart_clock(self) -> None:
        """Begin timing here: what came before (measuring, saving) is not part of the next step."""
        self._last = time.perf_counter()
        self._data_before = self.seconds["data"]

    def step(self, row: dict[str, Any], *, tokens: int, progress: Progress) -> None:
        """Add a finished step to the log and the progress line."""
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        self._seconds += seconds
        self._tokens += tokens
        peak = peak_memory_bytes(self._device)
        used = self.utilisation(tokens / seconds)
        self.write(row | used | {
            "seconds": round(seconds, 4), "data_seconds": round(self.seconds["data"] - self._data_before, 6),
            "tokens_per_second": round(tokens / seconds, 1), "peak_memory_bytes": peak,
        })  # fmt: skip
        shares = " ".join(f"{name} {share:.0%}" for name, share in row.get("language_shares", {}).items())
        words = [
            f"step {row['step']}", f"loss {row['loss']:.4f}", f"lr {_rates_in_words(row['learning_rate'])}",
            f"norm {row['gradient_norm']:.3g}", _used_in_words(used), f"peak {peak / 2**30:.2f} GiB", shares,
        ]  # fmt: skip
        progress.advance(tokens, ", ".join(word for word in words if word))

    def utilisation(self, tokens_per_second: float) -> dict[str, float]:
        """Return TFLOP/s of a device, work done again counted in, and shares of its peak where that is known.

        ``mfu`` counts the model's operations alone, ``hfu`` those done again to save memory as well.
        """
        if self._work is None:
            return {}
        model, hardware = (
            flops * tokens_per_second / self._devices for flops in (self._work.model_flops, self._work.hardware_flops)
        )
        found = {"tflops": round(hardware / 1e12, 4)}
        if self._peak_flops:
            found |= {"mfu": round(model / self._peak_flops, 4), "hfu": round(hardware / self._peak_flops, 4)}
        return found

    def write(self, row: dict[str, Any]) -> None:
        """Append one row; what is not finite is null, as JSON has no word for it."""
        if self._path is not None:
            row = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            self._track(row)

    def _track(self, row: dict[str, Any]) -> None:
        for tracker in self._trackers:
            tracker.write(row)

    @property
    def tokens_per_second(self) -> float:
        """Return tokens over the time of training steps, of this run alone."""
        return self._tokens / self._seconds if self._seconds else 0.0


def _rates_in_words(rates: dict[str, float]) -> str:
    """Return one rate where all parts have the same, else each with its part."""
    if len(set(rates.values())) == 1:
        return f"{next(iter(rates.values())):.2e}"
    return " ".join(f"{part} {rate:.2e}" for part, rate in rates.items())


def _used_in_words(used: dict[str, float]) -> str:
    if "mfu" in used:
        return f"MFU {used['mfu']:.1%} HFU {used['hfu']:.1%}"
    return f"{used['tflops']:.3g} TFLOP/s" if used else ""


def _cut_rows(path: Path, step: int) -> None:
    """Cut rows of steps after ``step``, and half a row, off the end, so that no step stands twice after a resume.

    What stays is not read: of a million steps it would be hundreds of MB.
    """
    if not path.is_file() or not step or not (end := path.stat().st_size):
        write_bytes(path, b"")
        return
    with path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0) as text:
            while end and not _is_row_up_to(text[text.rfind(b"\n", 0, end - 1) + 1 : end], step):
                end = text.rfind(b"\n", 0, end - 1) + 1
        file.truncate(end)


def _is_row_up_to(line: bytes, step: int) -> bool:
    try:
        return line.endswith(b"\n") and json.loads(line)["step"] <= step
    except (ValueError, KeyError, TypeError):
        return False
