"""Names in a stage's folder, apart so that asking for a finished stage imports nothing heavy."""

from __future__ import annotations

import os

CHECKPOINTS_NAME = "checkpoints"


def process_count() -> int:
    """Return how many processes a launcher such as torchrun started together; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))
