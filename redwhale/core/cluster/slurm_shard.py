"""What a task of an array job runs: ``python -m redwhale.core.cluster.slurm_shard FOLDER``, its share of the shards."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

from redwhale.core.cluster.shard_files import read_shards
from redwhale.core.errors import DONE, FAILED, RedwhaleError
from redwhale.core.publish import write_json

ERROR_ENDING = ".error.json"


def main(folder: Path) -> int:
    """Run every n-th shard of the list that is not done; the first error is left in the folder for the driver."""
    task, tasks = int(os.environ["SLURM_ARRAY_TASK_ID"]), int(os.environ["SLURM_ARRAY_TASK_COUNT"])
    function, shards = read_shards(folder / "shards.json")
    for number in range(task, len(shards), tasks):
        if shards[number].done.is_file():
            continue
        try:
            function(shards[number])
        except Exception as error:  # whatever it is, the driver waits for word of it
            traceback.print_exc()
            _leave(folder, number, error)
            return FAILED
    return DONE


def _leave(folder: Path, number: int, error: Exception) -> None:
    if isinstance(error, RedwhaleError):
        told = {"what": error.what, "where": error.where, "fix": error.fix, "exit_code": error.exit_code}
    else:
        fix = f"see {folder}/logs; this is a fault of redwhale"
        told = {"what": f"{type(error).__name__}: {error}", "where": "", "fix": fix, "exit_code": FAILED}
    write_json(folder / f"{number:06d}{ERROR_ENDING}", told)


def raised_by(folder: Path, number: int) -> RedwhaleError | None:
    """Return the error that a task left at a shard, None where there is none."""
    path = folder / f"{number:06d}{ERROR_ENDING}"
    if not path.is_file():
        return None
    told = json.loads(path.read_bytes())
    return RedwhaleError(told["what"], where=told["where"], fix=told["fix"], exit_code=told["exit_code"])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
