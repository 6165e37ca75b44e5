"""Names in a stage's folder and a launcher's words, apart so that a finished stage imports nothing heavy."""

from __future__ import annotations

import os

from redwhale.core.recipe.machine import Machine

CHECKPOINTS_NAME = "checkpoints"


def process_count() -> int:
    """Return how many processes a launcher such as torchrun started together; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def starts_processes(machine: Machine) -> bool:
    """Tell whether this process is to start those of training: the recipe asks for several and no launcher runs."""
    return machine.processes > 1 and process_count() == 1 and "TORCHELASTIC_RUN_ID" not in os.environ


def rank() -> int:
    """Return this process's number among them; process 0 leads."""
    return int(os.environ.get("RANK", "0"))
