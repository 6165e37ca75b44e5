"""Text steps by every executor, and with a node of Ray killed in the middle: the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests import pico
from tests.core.cluster.fake_slurm import install, submitted
from tests.workspace import make_workspace

pytestmark = pytest.mark.slow
SMALL = {"include_dashboard": False, "object_store_memory": 100 << 20}
STEPS = (["preprocess"], ["train-tokenizer"], ["pack"])
# Small parts, and processes for little text: every pass has several shards.
DRIVER = """
from redwhale.corpus import making, parts
from redwhale.tokenizer import step
parts._PART_BYTES, making._BYTES_PER_WORKER, step._BYTES_PER_WORKER = 20_000, 1000, 1000
from redwhale.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with enough Korean text for the perplexity filter."""
    folder = make_workspace(tmp_path_factory.mktemp("executors"))
    rows = [json.dumps({"text": text}, ensure_ascii=False) for text in pico.korean_documents(700)]
    (folder / "ko.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return folder


def digests(workspace: Path, workdir: str, *machine: str, env: dict[str, str] | None = None) -> dict[str, str]:
    """Run the text steps; return the digest of each."""
    changes = [f"workdir={workdir}", "preprocess.perplexity={}", "preprocess.shard_bytes=20KiB", *machine]
    options = [word for change in changes for word in ("--set", change)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"} | (env or {})
    found = {}
    for step in STEPS:
        command = [sys.executable, "-c", DRIVER, *step, "--json", *options]
        done = subprocess.run(command, cwd=workspace, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found[step[0]] = json.loads(done.stdout)["digest"]
    return found


@pytest.fixture(scope="module")
def expected(workspace: Path) -> dict[str, str]:
    return digests(workspace, "one", "machine.workers=1")


@pytest.mark.promise("F14")
def test_two_processes(workspace: Path, expected: dict[str, str]) -> None:
    assert digests(workspace, "two", "machine.workers=2") == expected


def test_array_jobs_of_slurm(workspace: Path, expected: dict[str, str]) -> None:
    environment = install(workspace / "bin")
    machine = "machine={executor: slurm, slurm: {lag_seconds: 0, array_tasks: 3}}"
    assert digests(workspace, "slurm", machine, env=environment) == expected
    names = [
        next(word for word in command if word.startswith("--job-name=")) for command in submitted(workspace / "bin")
    ]
    passes = ("clean_part", "train_fold", "score_part", "write_shard", "measure_parts", "count_parts", "encode_file")
    assert names == [f"--job-name=redwhale-{name}" for name in passes]


@pytest.fixture
def cluster() -> Any:
    """Two raylets of one CPU each beside the head, which has none."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **SMALL})
    made.nodes = [made.add_node(num_cpus=1, **SMALL) for _ in range(2)]
    yield made
    made.shutdown()


def test_two_nodes_of_ray(workspace: Path, expected: dict[str, str], cluster: Any) -> None:
    machine = f"machine={{executor: ray, ray_address: '{cluster.address}'}}"
    assert digests(workspace, "ray", machine) == expected


@pytest.mark.fault
def test_a_node_of_ray_is_lost_in_the_middle(workspace: Path, expected: dict[str, str], cluster: Any) -> None:
    """As soon as the first part is cleaned."""
    parts = workspace / "lost" / "corpus" / "scratch" / "parts"
    lost: list[int] = []

    def lose() -> None:
        while not (done := list(parts.glob("*.json"))):
            time.sleep(0.02)
        cluster.remove_node(cluster.nodes[0], allow_graceful=False)
        lost.append(len(done))

    thread = threading.Thread(target=lose, daemon=True)
    thread.start()
    machine = f"machine={{executor: ray, ray_address: '{cluster.address}'}}"
    assert digests(workspace, "lost", machine) == expected
    thread.join(5)
    assert lost
