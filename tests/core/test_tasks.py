"""Shards in order, bounded in flight, in processes that die with their parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.core.tasks import Workers


@dataclass(frozen=True)
class Number:
    """A shard whose result is a file in a folder."""

    value: int
    folder: Path

    @property
    def done(self) -> Path:
        return self.folder / str(self.value)


def numbers(folder: Path, count: int) -> list[Number]:
    return [Number(value, folder) for value in range(count)]


def slow_square(number: Number) -> None:
    time.sleep(0.02 * (number.value % 3))
    number.done.write_text(str(number.value * number.value))


def fail(number: Number) -> None:
    raise RedwhaleError(f"shard {number.value} is bad", where="here", exit_code=2)


def die(number: Number) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def note_process(number: Number) -> None:
    time.sleep(0.05)
    number.done.write_text(str(os.getpid()))


def must_not_run(number: Number) -> None:
    raise AssertionError(number)


@pytest.mark.parametrize("workers", [1, 3])
def test_shards_come_back_in_their_order_and_done(tmp_path: Path, workers: int) -> None:
    with Workers(workers) as pool:
        results = [int(number.done.read_text()) for number in pool.map_shards(slow_square, numbers(tmp_path, 20))]
    assert results == [n * n for n in range(20)]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_done_is_not_done_again(tmp_path: Path, workers: int) -> None:
    shards = numbers(tmp_path, 6)
    for number in shards:
        number.done.write_text("before")
    shards[4].done.unlink()
    with Workers(workers) as pool:
        assert list(pool.map_shards(slow_square, shards)) == shards
        assert list(pool.map_shards(must_not_run, shards)) == shards
    assert [number.done.read_text() for number in shards] == ["before"] * 4 + ["16", "before"]


@pytest.mark.parametrize(("workers", "at_once"), [(1, 1), (2, 5)])
def test_shards_are_taken_as_they_are_needed(tmp_path: Path, workers: int, at_once: int) -> None:
    taken = []

    def shards() -> Iterator[Number]:
        for number in numbers(tmp_path, 100):
            taken.append(number)
            yield number

    with Workers(workers) as pool:
        results = pool.map_shards(slow_square, shards())
        assert next(results).value == 0 and len(taken) <= at_once
        results.close()
        assert len(taken) <= at_once


def test_processes_stay_for_all_passes(tmp_path: Path) -> None:
    found = []
    with Workers(2) as workers:
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            shards = workers.map_shards(note_process, numbers(tmp_path / name, 8))
            found.append({int(number.done.read_text()) for number in shards})
    assert found[0] == found[1] and len(found[0]) == 2 and os.getpid() not in found[0]


def test_errors_come_through_whole(tmp_path: Path) -> None:
    with pytest.raises(RedwhaleError, match="here: shard 0 is bad") as caught, Workers(2) as workers:
        list(workers.map_shards(fail, numbers(tmp_path, 3)))
    assert caught.value.exit_code == 2


def test_a_killed_worker_is_an_error_of_resources(tmp_path: Path) -> None:
    with (
        pytest.raises(RedwhaleError, match=r"machine\.workers: a worker process was killed") as caught,
        Workers(2) as workers,
    ):
        list(workers.map_shards(die, numbers(tmp_path, 3)))
    assert caught.value.exit_code == 4


SCRIPT = """
import os, sys
from pathlib import Path
from types import SimpleNamespace
from redwhale.core.tasks import Workers
def work(shard):
    import time
    print(os.getpid(), flush=True)
    time.sleep(30)
if __name__ == "__main__":
    with Workers(2) as workers:
        list(workers.map_shards(work, [SimpleNamespace(done=Path("absent")) for _ in range(2)]))
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
