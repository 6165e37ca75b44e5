"""Kill every step of a recipe in the middle, run the same command again, and compare digests.

    python scripts/kill_sweep.py RECIPE SCRATCH [--kills 3] [--seed 1]

The chain first runs undisturbed with workdir SCRATCH/straight. Then each step runs in SCRATCH/killed and is
killed (SIGKILL, the whole process group) at random times within the time it took, ``--kills`` times, before
it may finish. Prints one JSON line a step; exits 1 where a digest differs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path


def run(recipe: Path, workdir: Path, step: dict[str, str], *, kill_after: float | None) -> bool:
    """Run one step's command; kill it after ``kill_after`` seconds. Tell whether it finished by itself."""
    words = step["command"].split(" -c ")[0].split()[1:]
    command = [sys.executable, "-m", "redwhale", *words, "-c", str(recipe), "--set", f"workdir={workdir}", "-q"]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        code = process.wait(kill_after)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False
    if code:
        sys.exit(f"{' '.join(command)} failed with {code}")
    return True


def steps(recipe: Path, workdir: Path) -> list[dict[str, str]]:
    """Return the chain's steps as `redwhale status` lists them."""
    command = [sys.executable, "-m", "redwhale", "status", "-c", str(recipe), "--set", f"workdir={workdir}", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["steps"]


def digest(folder: str) -> str:
    """Return a digest of a finished artifact's outputs."""
    outputs = json.loads((Path(folder) / "manifest.json").read_text(encoding="utf-8"))["outputs"]
    return json.dumps([[record["path"], record["sha256"]] for record in outputs])


def main() -> None:
    """Run the sweep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    recipe, scratch = arguments.recipe.resolve(), arguments.scratch.resolve()
    chance, failed = random.Random(arguments.seed), False
    straight = steps(recipe, scratch / "straight")
    for undisturbed, disturbed in zip(straight, steps(recipe, scratch / "killed"), strict=True):
        started = time.monotonic()
        run(recipe, scratch / "straight", undisturbed, kill_after=None)
        seconds = time.monotonic() - started
        kills = []
        for _ in range(arguments.kills):
            moment = chance.uniform(0.05, 0.98) * seconds
            if run(recipe, scratch / "killed", disturbed, kill_after=moment):
                break
            kills.append(round(moment, 2))
        run(recipe, scratch / "killed", disturbed, kill_after=None)
        same = digest(undisturbed["folder"]) == digest(disturbed["folder"])
        failed |= not same
        print(json.dumps({
            "step": undisturbed["step"], "seconds": round(seconds, 2), "killed_after_seconds": kills, "same": same,
        }), flush=True)  # fmt: skip
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
