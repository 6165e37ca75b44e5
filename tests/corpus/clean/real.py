"""Real Korean texts for slow tests."""

import gzip
import json
import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("REDWHALE_TEST_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
SOURCES = ("webnews", "wiki", "law", "cppdocs", "reviews")
needs_data = pytest.mark.skipif(not (DATA / "ko").is_dir(), reason=f"no real data in {DATA} (REDWHALE_TEST_DATA)")


def read(name: str) -> list[str]:
    """Return the texts of a source."""
    with gzip.open(DATA / "ko" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]
