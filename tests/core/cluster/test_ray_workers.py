"""Two nodes of Ray on this machine: results, a lost node, errors. Ray takes seconds to start, so all are slow."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redwhale.core.cluster.ray_workers import RayWorkers
from redwhale.core.errors import RedwhaleError
from tests.core.test_tasks import Number, numbers

SMALL = {"include_dashboard": False, "object_store_memory": 100 << 20}
pytestmark = pytest.mark.slow
pytest.importorskip("ray", reason="the extra ray is not installed")


def note_process(number: Number) -> None:
    time.sleep(0.2)
    with (number.folder / "begun").open("a") as file:
        file.write(f"{number.value}\n")
    time.sleep(0.2)
    number.done.write_text(str(os.getpid()))


def fail(number: Number) -> None:
    raise RedwhaleError(f"shard {number.value} is bad", where="here", fix="mend it", exit_code=3)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two raylets of one CPU each; the head has none, so that it survives what is done to the others."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **SMALL})
    made.nodes = [made.add_node(num_cpus=1, **SMALL) for _ in range(2)]
    yield made
    made.shutdown()


def test_two_nodes_share_the_shards(tmp_path: Path, cluster: Any) -> None:
    shards = numbers(tmp_path, 8)
    shards[5].done.write_text("before")
    with RayWorkers(cluster.address, processes=1) as workers:
        assert list(workers.map_shards(note_process, shards)) == shards
    found = [shard.done.read_text() for shard in shards]
    assert found[5] == "before" and len(set(found)) == 3 and str(os.getpid()) not in found


@pytest.mark.fault
def test_what_a_lost_node_had_is_done_by_another(tmp_path: Path, cluster: Any) -> None:
    shards = numbers(tmp_path, 12)
    with RayWorkers(cluster.address, processes=1) as workers:
        running = workers.map_shards(note_process, shards)
        assert next(running) == shards[0]
        cluster.remove_node(cluster.nodes[0], allow_graceful=False)
        assert list(running) == shards[1:]
    begun = (tmp_path / "begun").read_text().split()
    assert set(begun) == {str(number) for number in range(12)} and all(shard.done.is_file() for shard in shards)


def test_errors_come_through_whole(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    with (
        pytest.raises(RedwhaleError, match="here: shard 0 is bad; mend it") as caught,
        RayWorkers(None, processes=1) as workers,
    ):
        list(workers.map_shards(fail, numbers(tmp_path, 3)))
    assert caught.value.exit_code == 3 and signal.getsignal(signal.SIGTERM) == handler


def test_a_cluster_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(RedwhaleError, match=r"machine\.ray_address: no Ray cluster answers at 127\.0\.0\.1:1") as caught,
        RayWorkers("127.0.0.1:1", processes=1) as workers,
    ):
        list(workers.map_shards(note_process, numbers(tmp_path, 1)))
    assert caught.value.exit_code == 1
