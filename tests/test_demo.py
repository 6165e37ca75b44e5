"""The demo, as `make demo` runs it."""

import itertools
import json
from pathlib import Path

import pytest

from tests.workspace import redwhale

pytestmark = pytest.mark.slow


def test_demo_turns_its_base_korean(tmp_path: Path) -> None:
    done = redwhale("demo", "--out", "demo", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)["steps"]
    korean = [steps[f"bits per byte {m}"]["metrics"]["languages"]["ko"]["bits_per_byte"] for m in ("base", *"01234")]
    assert all(later < earlier for earlier, later in itertools.pairwise(korean)), korean
    assert korean[-1] < 0.75 * korean[0], korean
    assert steps["kobest 4"]["counts"]["questions"] == 50
    assert steps["train-tokenizer"]["metrics"]["verification"]["unreachable"] == 0
    second = redwhale("demo", "--out", "demo", cwd=tmp_path)
    assert second.returncode == 0 and second.stderr.count("unchanged") >= len(steps)
