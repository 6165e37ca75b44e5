"""A miniature KoBEST in the release's own form, for tests."""

from __future__ import annotations

import json
from pathlib import Path

from redwhale.evaluation.kobest.data import LAYOUTS, read_split, split_file

DEMO = Path(__file__).parents[2] / "redwhale" / "demo_data" / "kobest"


def write_hub_copy(target: Path) -> Path:
    """Write the demo's KoBEST as JSONL with the hub's field names."""
    for task in LAYOUTS:
        for split in ("train", "test"):
            file = target / task / f"{split}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            rows = read_split(split_file(DEMO, task, split), task)
            file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return target
