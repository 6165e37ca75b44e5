"""Shards in order, bounded in flight, in processes that die with their parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.core.tasks import Workers


def slow_square(number: int) -> int:
    time.sleep(0.02 * (number % 3))
    return number * number


def fail(number: int) -> int:
    raise RedwhaleError(f"shard {number} is bad", where="here", exit_code=2)


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 3])
def test_results_keep_the_order_of_the_shards(workers: int) -> None:
    with Workers(workers) as pool:
        assert list(pool.map(slow_square, range(20))) == [n * n for n in range(20)]


def test_shards_are_taken_as_they_are_needed() -> None:
    taken = []

    def shards() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    with Workers(2) as workers:
        results = workers.map(slow_square, shards())
        assert next(results) == 0 and len(taken) <= 5
        results.close()
        assert len(taken) <= 5


def process_of(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def test_processes_stay_for_all_passes() -> None:
    with Workers(2) as workers:
        first, second = (set(workers.map(process_of, range(8))) for _ in range(2))
    assert first == second and len(first) == 2 and os.getpid() not in first


def test_errors_come_through_whole() -> None:
    with pytest.raises(RedwhaleError, match="here: shard 0 is bad") as caught, Workers(2) as workers:
        list(workers.map(fail, range(3)))
    assert caught.value.exit_code == 2


def test_a_killed_worker_is_an_error_of_resources() -> None:
    with (
        pytest.raises(RedwhaleError, match=r"worker process was killed.*machine\.workers") as caught,
        Workers(2) as workers,
    ):
        list(workers.map(die, range(3)))
    assert caught.value.exit_code == 4


SCRIPT = """
import os, sys
from redwhale.core.tasks import Workers
def work(number):
    import time
    print(os.getpid(), flush=True)
    time.sleep(30)
if __name__ == "__main__":
    with Workers(2) as workers:
        list(workers.map(work, range(2)))
"""


@pytest.mark.fault
def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
