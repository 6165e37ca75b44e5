"""Peak memory belongs to its stage; rows of the log are JSON whatever the numbers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from redwhale.training.meter import METRICS_NAME, Meter

CPU = torch.device("cpu")
BLOCK_BYTES = 300 * 2**20


PEAKS = f"""
import torch
from redwhale.training.meter import forget_peak, peak_memory_bytes
block, cpu = torch.ones({BLOCK_BYTES} // 4), torch.device("cpu")
before = peak_memory_bytes(cpu)
del block
forget_peak(cpu)
print(before, peak_memory_bytes(cpu))
"""


def test_a_peak_is_forgotten() -> None:
    """In a process of its own: one that has run for long may keep for itself what is freed."""
    done = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > BLOCK_BYTES and after < before - BLOCK_BYTES / 2


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    meter = Meter(tmp_path, resumed_step=0, device=CPU)
    meter.write({"step": 1, "loss": float("nan"), "gradient_norm": float("inf"), "skipped": True})
    row = json.loads((tmp_path / METRICS_NAME).read_text(), parse_constant=lambda name: name)
    assert row == {"step": 1, "loss": None, "gradient_norm": None, "skipped": True}


@pytest.mark.promise("F5")
def test_a_log_of_a_million_steps_is_cut_and_not_read(tmp_path: Path) -> None:
    log = tmp_path / METRICS_NAME
    row = '{"step": %d, "tokens": 1, "loss": 2.5, "language_shares": {"ko": 0.75, "en": 0.25}}\n'
    log.write_text("".join(row % number for number in range(1, 1_000_004)) + '{"step": 1000004, "lo')
    started = time.process_time()
    Meter(tmp_path, resumed_step=1_000_000, device=CPU)
    assert time.process_time() - started < 0.5
    with log.open() as kept:
        assert [json.loads(line)["step"] for line in kept] == list(range(1, 1_000_001))


def test_rows_are_cut_where_the_stage_goes_on(tmp_path: Path) -> None:
    log = tmp_path / METRICS_NAME
    rows = ['{"step": 0}', '{"step": 1}', '{"step": 2}', '{"step": 2}', '{"step": 3}']
    for resumed, kept in ((3, 5), (2, 4), (1, 2), (0, 0)):
        log.write_text("\n".join(rows))
        Meter(tmp_path, resumed_step=resumed, device=CPU)
        assert log.read_text().splitlines() == rows[: min(kept, 4)]  # the last has no end of line: it may be cut off
