"""Fuzz for longer than the tests do, each target in turn, and keep the inputs that fail.

    python scripts/fuzz.py [TARGET ...] [--minutes 5] [--seed 1] [--crashes runs/fuzz]

Targets are the modules of tests/fuzz (readers, cleaning, masking, recipes, headers), which say what must hold.
Prints one JSON line a target: inputs tried, seconds, and each kind of failure with the file of its shortest input
and, beside that, its traceback. Exits 1 where anything failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGETS = sorted(path.stem.removeprefix("test_") for path in (ROOT / "tests" / "fuzz").glob("test_*.py"))


def fuzz(target: str, *, seconds: float, seed: int, crashes: Path) -> dict[str, object]:
    """Run one target as a process of its own and return what it reports."""
    report = crashes / f"{target}.json"
    report.unlink(missing_ok=True)
    asked = {
        "REDWHALE_FUZZ_SECONDS": str(seconds), "REDWHALE_FUZZ_SEED": str(seed), "REDWHALE_FUZZ_CRASHES": str(crashes),
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-q", "-m", "fuzz", f"tests/fuzz/test_{target}.py"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | asked, capture_output=True, text=True)
    if not report.is_file():  # the process itself died, which no input may bring about
        return {
            "target": target,
            "seed": seed,
            "died": done.returncode,
            "output": done.stdout[-2000:] + done.stderr[-2000:],
        }
    return json.loads(report.read_text(encoding="utf-8"))


def main() -> None:
    """Run the targets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of: {' '.join(TARGETS)} (all)")
    parser.add_argument("--minutes", type=float, default=5, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--crashes", type=Path, default=Path("runs/fuzz"), help="folder for inputs that fail")
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(TARGETS):
        parser.error(f"no such target: {' '.join(sorted(unknown))}; there are: {' '.join(TARGETS)}")
    crashes = arguments.crashes.resolve()
    crashes.mkdir(parents=True, exist_ok=True)
    failed = False
    for target in arguments.targets or TARGETS:
        report = fuzz(target, seconds=60 * arguments.minutes, seed=arguments.seed, crashes=crashes)
        failed |= bool(report.get("crashes") or "died" in report)
        print(json.dumps(report, ensure_ascii=False), flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
