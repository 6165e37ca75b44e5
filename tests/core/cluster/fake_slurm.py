"""Stands in for `sbatch`, `squeue` and `scancel`: array jobs run as processes of this machine, two tasks at a time."""

import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

STATE = "FAKE_SLURM_STATE"


def install(folder: Path) -> dict[str, str]:
    """Put the commands into a folder; return the environment in which they are found."""
    folder.mkdir()
    for name in ("sbatch", "squeue", "scancel"):
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} {name} "$@"\n')
        command.chmod(command.stat().st_mode | stat.S_IEXEC)
    (folder / "state").mkdir()
    return {"PATH": f"{folder}:{os.environ['PATH']}", STATE: str(folder / "state")}


def submitted(folder: Path) -> list[list[str]]:
    """Return the words of every `sbatch` so far."""
    return [path.read_text().splitlines() for path in sorted((folder / "state").glob("*.command"))]


def sbatch(words: list[str]) -> None:
    state = Path(os.environ[STATE])
    number = 100 + len(list(state.glob("*.command")))
    (state / f"{number}.command").write_text("\n".join(words))
    null = subprocess.DEVNULL
    runner = [sys.executable, __file__, "run", str(number), *words]
    subprocess.Popen(runner, start_new_session=True, stdin=null, stdout=null, stderr=null)
    while not (state / f"{number}.pid").exists():
        time.sleep(0.01)
    print(number)


def run(number: str, words: list[str]) -> None:
    state = Path(os.environ[STATE])
    mark = state / f"{number}.pid"
    mark.with_suffix(".new").write_text(str(os.getpid()))
    mark.with_suffix(".new").rename(mark)
    options = dict(word[2:].split("=", 1) for word in words if word.startswith("--") and "=" in word)
    command = ["bash", *(word for word in words if not word.startswith("--"))]
    last = int(options["array"].partition("%")[0].partition("-")[2])

    def task(index: int) -> None:
        environment = {
            **os.environ, "SLURM_JOB_ID": number, "SLURM_ARRAY_TASK_ID": str(index),
            "SLURM_ARRAY_TASK_COUNT": str(last + 1),
        }  # fmt: skip
        log = Path(options["output"].replace("%A", number).replace("%a", str(index)))
        with log.open("w") as out:
            subprocess.run(command, env=environment, stdout=out, stderr=out)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(task, range(last + 1)))


def squeue(words: list[str]) -> None:
    number = words[words.index("--jobs") + 1]
    try:
        os.kill(int((Path(os.environ[STATE]) / f"{number}.pid").read_text()), 0)
        print("RUNNING")
    except ProcessLookupError:
        pass


def scancel(words: list[str]) -> None:
    os.killpg(int((Path(os.environ[STATE]) / f"{words[0]}.pid").read_text()), signal.SIGKILL)


if __name__ == "__main__":
    name, rest = sys.argv[1], sys.argv[2:]
    if name == "run":
        run(rest[0], rest[1:])
    else:
        {"sbatch": sbatch, "squeue": squeue, "scancel": scancel}[name](rest)
