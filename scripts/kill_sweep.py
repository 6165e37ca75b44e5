"""Kill every step of a recipe at random moments, run the same command again, and compare digests.

    python scripts/kill_sweep.py RECIPE SCRATCH [--kills 50] [--seed 1] [--steps preprocess,pack] [--rows FILE]

The chain first runs undisturbed with workdir SCRATCH/straight. Then each step runs in SCRATCH/killed from nothing,
until it has been killed ``--kills`` times: SIGKILL to the whole process group at a random moment within the time it
took, and the same command again. Commands are forked from a server that has the libraries loaded. Prints one JSON
line a step, also to ``--rows``, where steps that are there are passed over; exits 1 where a digest differs. Restart
it after an interruption: what is finished stays.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

Row = dict[str, Any]
SERVER = multiprocessing.get_context("forkserver")


def run(recipe: Path, workdir: Path, step: dict[str, str], *, kill_after: float | None) -> bool:
    """Run one step's command; kill it after ``kill_after`` seconds. Tell whether it finished by itself."""
    words = step["command"].split(" -c ")[0].split()[1:]
    words += ["-c", str(recipe), "--set", f"workdir={workdir}", "-q"]
    process = SERVER.Process(target=command, args=(words,))
    process.start()
    assert process.pid is not None
    process.join(kill_after)
    if process.exitcode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
        return False
    if process.exitcode:
        sys.exit(f"redwhale {' '.join(words)} failed with {process.exitcode}")
    return True


def command(words: list[str]) -> None:
    """Be ``redwhale`` with ``words``, in a process group of its own."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.argv = ["redwhale", *words]
    from redwhale.__main__ import main

    main()


def steps(recipe: Path, workdir: Path) -> list[dict[str, str]]:
    """Return the chain's steps as `redwhale status` lists them."""
    command = [sys.executable, "-m", "redwhale", "status", "-c", str(recipe), "--set", f"workdir={workdir}", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["steps"]


def digest(folder: str) -> str:
    """Return a digest of a finished artifact's outputs."""
    outputs = json.loads((Path(folder) / "manifest.json").read_text(encoding="utf-8"))["outputs"]
    return json.dumps([[record["path"], record["sha256"]] for record in outputs])


def try_step(recipe: Path, scratch: Path, step: dict[str, str], folder: str, chance: random.Random, kills: int) -> Row:
    """Run a step once undisturbed, then until it was killed ``kills`` times; leave it finished, and return its row."""
    shutil.rmtree(step["folder"], ignore_errors=True)
    started = time.monotonic()
    run(recipe, scratch / "straight", step, kill_after=None)
    seconds = longest = time.monotonic() - started
    same, tries, moments = 0, 0, []
    while len(moments) < kills:
        shutil.rmtree(folder, ignore_errors=True)
        moment, started = chance.uniform(0.02, 0.98) * longest, time.monotonic()
        if run(recipe, scratch / "killed", step, kill_after=moment):
            longest = time.monotonic() - started  # the machine was busy before, or something was compiled
        else:
            moments.append(round(moment, 2))
        run(recipe, scratch / "killed", step, kill_after=None)
        tries += 1
        same += digest(step["folder"]) == digest(folder)
    return {
        "step": step["step"], "seconds": round(seconds, 2), "tries": tries, "killed": len(moments), "same": same,
        "killed_after_seconds": [min(moments), max(moments)],
    }  # fmt: skip


def main() -> None:
    """Run the sweep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", default="", help="only these, with commas between; the others run undisturbed")
    parser.add_argument("--rows", type=Path)
    arguments = parser.parse_args()
    recipe, scratch = arguments.recipe.resolve(), arguments.scratch.resolve()
    SERVER.set_forkserver_preload(["deepspeed", "redwhale.training.step", "redwhale.evaluation.kobest.step"])
    rows = arguments.rows.read_text().splitlines() if arguments.rows and arguments.rows.exists() else []
    known = {json.loads(row)["step"] for row in rows}
    wanted = set(arguments.steps.split(",")) - {""}
    chance, failed = random.Random(arguments.seed), False
    for step, killed in zip(steps(recipe, scratch / "straight"), steps(recipe, scratch / "killed"), strict=True):
        if step["step"] in known or (wanted and step["step"] not in wanted):
            for workdir in ("straight", "killed"):
                run(recipe, scratch / workdir, step, kill_after=None)
            continue
        row = try_step(recipe, scratch, step, killed["folder"], chance, arguments.kills)
        failed |= row["same"] != row["tries"]
        print(json.dumps(row), flush=True)
        if arguments.rows:
            with arguments.rows.open("a") as file:
                file.write(json.dumps(row) + "\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
