"""Peak memory belongs to its stage; rows of the log are JSON whatever the numbers."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from redwhale.training.meter import METRICS_NAME, Meter, forget_peak, peak_memory_bytes

CPU = torch.device("cpu")
BLOCK_BYTES = 300 * 2**20


def test_a_peak_is_forgotten() -> None:
    block = torch.ones(BLOCK_BYTES // 4)
    before = peak_memory_bytes(CPU)
    assert before > BLOCK_BYTES
    del block
    forget_peak(CPU)
    assert peak_memory_bytes(CPU) < before - BLOCK_BYTES / 2


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    meter = Meter(tmp_path, resumed_step=0, device=CPU)
    meter.write({"step": 1, "loss": float("nan"), "gradient_norm": float("inf"), "skipped": True})
    row = json.loads((tmp_path / METRICS_NAME).read_text(), parse_constant=lambda name: name)
    assert row == {"step": 1, "loss": None, "gradient_norm": None, "skipped": True}
