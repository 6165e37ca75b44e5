"""Names in a stage's folder and a launcher's words, apart so that a finished stage imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redwhale.core.recipe.machine import Machine

CHECKPOINTS_NAME = "checkpoints"
CHECKPOINT_PREFIX = "step-"
METRICS_NAME = "metrics.jsonl"


def trained_parts(train: Mapping[str, Any]) -> str:
    """Return what a stage trains, in the recipe's own words; ``train`` as a manifest has it."""
    words = [f"{part} {how}" for part, how in train.items() if part != "lora" and how not in (None, "none")]
    if lora := train.get("lora"):
        words.append(f"LoRA of rank {lora['rank']}")
    return ", ".join(words)


def process_count() -> int:
    """Return how many processes a launcher such as torchrun started together; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def starts_processes(machine: Machine) -> bool:
    """Tell whether this process is to start those of training: the recipe asks for several and no launcher runs."""
    return machine.processes > 1 and process_count() == 1 and "TORCHELASTIC_RUN_ID" not in os.environ


def rank() -> int:
    """Return this process's number among them; process 0 leads."""
    return int(os.environ.get("RANK", "0"))


def checkpoint_folders(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, newest first."""
    begin = len(CHECKPOINT_PREFIX)
    found = (path for path in folder.glob(f"{CHECKPOINT_PREFIX}*") if path.is_dir() and path.name[begin:].isdecimal())
    return sorted(found, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """Return the step after which a checkpoint was made."""
    return int(checkpoint.name.removeprefix(CHECKPOINT_PREFIX))
