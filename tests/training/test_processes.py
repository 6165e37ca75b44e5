"""Two processes under torchrun: the same model as one makes, a stop that loses nothing, a change on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from redwhale.core.artifact import read_manifest
from redwhale.core.recipe.recipe import Recipe
from redwhale.training import packing, step
from redwhale.training.layout import CHECKPOINTS_NAME
from tests.training import stages
from tests.training.stages import QUIET, stage, state_of, write_recipe

pytestmark = pytest.mark.slow

TRAIN = """
import os, signal, sys
from pathlib import Path
import torch
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from redwhale.core.recipe.load import load_recipe
from redwhale.training import data, deepspeed_engine, step
from tests.training.stages import QUIET

def stop_process_0(model, tokenizer, calls=[]):
    calls.append(1)
    if len(calls) == int(sys.argv[2]) and os.environ["RANK"] == "0":
        os.kill(os.getpid(), signal.SIGTERM)

def part_everything(render=deepspeed_engine.render_config):
    # ZeRO-3 keeps tensors below 100,000 elements whole on every process: all of a tiny model
    def rendered(*arguments, **words):
        config = render(*arguments, **words)
        if config["zero_optimization"]["stage"] == 3:
            config["zero_optimization"]["stage3_param_persistence_threshold"] = 0
        return config
    deepspeed_engine.render_config = rendered

def count_exchanges():
    # write down how often DDP exchanges a bucket of gradients
    def hook(state, bucket):
        with open(sys.argv[1] + ".exchanges", "a") as file:
            file.write("1")
        return default_hooks.allreduce_hook(state, bucket)
    initialise = torch.nn.parallel.DistributedDataParallel.__init__
    def hooked(self, *arguments, **words):
        initialise(self, *arguments, **words)
        self.register_comm_hook(None, hook)
    torch.nn.parallel.DistributedDataParallel.__init__ = hooked

def note_blocks(address=data.DataOrder.address):
    # write down what every process reads as which sequence
    def noted(self, index):
        found = address(self, index)
        with open(sys.argv[1] + ".blocks", "a") as file:
            file.write(f"{index} {found[0]}:{found[1]}\\n")
        return found
    data.DataOrder.address = noted

if __name__ == "__main__":
    part_everything()
    count_exchanges()
    note_blocks()
    after = stop_process_0 if len(sys.argv) > 2 else None
    step.run(load_recipe(Path(sys.argv[1])), 0, console=QUIET, after=after)
"""
PARTS = {"embedding": "new", "head": "all", "layers": "odd"}
SETTINGS: dict[str, Any] = {"batch_tokens": 7 * 32, "micro_batch": 3}  # 7 sequences do not come out even


def start(root: Path, **settings: Any) -> Recipe:
    """Make a start with packed tokens and a recipe of 6 steps."""
    recipe = write_recipe(stages.make_start(root), stage(**PARTS), **(SETTINGS | settings))
    packing.run(recipe, console=QUIET)
    return recipe


def train_in_processes(
    recipe: Recipe, *arguments: str, processes: int = 2, fault: str = ""
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run the stage in processes of one thread each, which kill themselves at a fault."""
    script = recipe.file.parent / "train.py"
    script.write_text(TRAIN)
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes),
         str(script), str(recipe.file), *arguments],
        env=os.environ | {
            "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2]), "REDWHALE_FAULT": fault,
        }, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def losses(recipe: Recipe) -> list[float]:
    lines = (recipe.stage_folder(0) / "metrics.jsonl").read_text().splitlines()
    return [row["loss"] for row in map(json.loads, lines) if "loss" in row]


def check_same(one: Recipe, two: Recipe) -> None:
    """Check that both recipes made one model from one course of losses, but for the order of sums."""
    left, right = state_of(one.model_folder(0)), state_of(two.model_folder(0))
    for name, tensor in left.items():
        torch.testing.assert_close(tensor, right[name], rtol=0, atol=1e-5)
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)


@pytest.mark.parametrize("deepspeed", [None, {"zero": 2}, {"zero": 3}], ids=["ddp", "zero-2", "zero-3"])
def test_two_processes_make_the_model_of_one(tmp_path: Path, deepspeed: Any) -> None:
    one = start(tmp_path / "a")
    step.run(one, 0, console=QUIET)
    two = start(tmp_path / "b", deepspeed=deepspeed)
    for _ in range(2):  # the second time all is done
        done = train_in_processes(two)
        assert done.returncode == 0, done.stderr[-3000:]
    check_same(one, two)
    manifest = read_manifest(two.stage_folder(0))
    assert "2 process" in manifest.metrics["engine"]
    exchanges = two.file.with_suffix(".yaml.exchanges")
    steps, processes = manifest.counts["steps"], 2
    assert (len(exchanges.read_text()) if exchanges.exists() else 0) == (0 if deepspeed else steps * processes)
    assert manifest.counts["valid_tokens"] == read_manifest(one.stage_folder(0)).counts["valid_tokens"]


@pytest.mark.promise("F6")
@pytest.mark.fault
def test_stopping_one_process_stops_both_with_a_checkpoint(tmp_path: Path) -> None:
    often = {"measure": {"every": 7 * 32, "documents": 1}}
    one = start(tmp_path / "a", **often)
    step.run(one, 0, console=QUIET)
    two = start(tmp_path / "b", **often)
    stopped = train_in_processes(two, "4")  # at the measurement after step 3, seen in step 4
    assert stopped.returncode != 0
    assert "interrupted after step 4 of 6; a checkpoint is saved" in stopped.stderr
    assert "SIGABRT" not in stopped.stderr
    assert [path.name for path in (two.stage_folder(0) / CHECKPOINTS_NAME).iterdir()] == ["step-000004"]
    done = train_in_processes(two)
    assert done.returncode == 0, done.stderr[-3000:]
    check_same(one, two)


CHANGE_AT, STEPS = 10, 60
FP32_CHANGES: dict[str, tuple[tuple[Any, int], tuple[Any, int]]] = {
    "zero-2-to-zero-3": (({"zero": 2}, 2), ({"zero": 3}, 2)), "1-to-2-processes": ((None, 1), (None, 2)),
    "2-to-1-processes": (({"zero": 2}, 2), ({"zero": 2}, 1)),
}  # fmt: skip


def blocks_read(recipe: Recipe) -> list[str]:
    """Return what was read as each sequence after the change, in order."""
    lines = set(Path(f"{recipe.file}.blocks").read_text().splitlines())
    numbered = sorted((int(index), block) for index, block in (line.split() for line in lines))
    first = CHANGE_AT * SETTINGS["batch_tokens"] // 32
    assert [index for index, _ in numbered if index >= first] == list(range(first, STEPS * first // CHANGE_AT))
    return [block for index, block in numbered if index >= first]


def train_with_change(root: Path, ways: tuple[tuple[Any, int], tuple[Any, int]], **settings: Any) -> Recipe:
    """Kill the stage after step 10 of 60 and go on with another engine or number of processes."""
    entry = stage(**PARTS, learning_rate=1e-4) | {"tokens": STEPS * SETTINGS["batch_tokens"]}
    every = {"checkpoints": {"every": CHANGE_AT * SETTINGS["batch_tokens"]}, "measure": {"documents": 1, "samples": 0}}
    stages.make_start(root)
    for (deepspeed, processes), fault in zip(ways, (f"pretrain.after_step:kill@{CHANGE_AT}", ""), strict=True):
        recipe = write_recipe(root, entry, **(SETTINGS | every | settings | {"deepspeed": deepspeed}))
        Path(f"{recipe.file}.blocks").unlink(missing_ok=True)
        done = train_in_processes(recipe, processes=processes, fault=fault)
        assert (done.returncode == 0) == (not fault), done.stderr[-3000:]
    assert "resuming after step 10 " in (recipe.stage_folder(0) / "log.txt").read_text()
    assert len(losses(recipe)) == STEPS
    assert (f"ZeRO-{deepspeed['zero']}" if deepspeed else "plain" if processes == 1 else "DDP") in read_manifest(
        recipe.stage_folder(0)
    ).metrics["engine"]
    return recipe


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return train_with_change(tmp_path_factory.mktemp("unchanged"), ((None, 1), (None, 1)))


def gap(changed: Recipe, unchanged: Recipe, record_property: Callable[[str, object], None]) -> float:
    """Return the largest difference of losses, shown with `-s` and kept in a report."""
    assert blocks_read(changed) == blocks_read(unchanged)
    found = max(abs(one - two) for one, two in zip(losses(changed), losses(unchanged), strict=True))
    record_property("largest difference of losses", found)
    print(f"largest difference of losses: {found:.2g}")
    return found


@pytest.mark.promise("F14")
@pytest.mark.fault
@pytest.mark.parametrize("change", FP32_CHANGES)
def test_another_engine_or_number_of_processes_goes_on_alike(
    tmp_path: Path, unchanged: Recipe, change: str, record_property: Callable[[str, object], None]
) -> None:
    assert gap(train_with_change(tmp_path, FP32_CHANGES[change]), unchanged, record_property) < 1e-5


@pytest.mark.fault
def test_how_far_a_change_moves_bf16(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """A loose bound: sums in another order round otherwise in bf16, by up to 2^-8 of an activation."""
    unchanged = train_with_change(tmp_path / "a", ((None, 1), (None, 1)), precision="bf16")
    changed = train_with_change(tmp_path / "b", (({"zero": 2}, 2), ({"zero": 3}, 2)), precision="bf16")
    assert gap(changed, unchanged, record_property) < 0.03


def pretrain(recipe: Recipe, *arguments: str) -> subprocess.Popen[str]:
    """Start ``redwhale pretrain`` with two devices, which starts the processes itself."""
    words = ["pretrain", "--stage", "1", "-c", str(recipe.file), "--set", "machine.devices=2", *arguments]
    environment = {key: value for key, value in os.environ.items() if key not in ("WORLD_SIZE", "RANK", "LOCAL_RANK")}
    return subprocess.Popen(
        [sys.executable, "-m", "redwhale", *words], env=environment | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_pretrain_starts_the_processes_that_the_recipe_asks_for(tmp_path: Path) -> None:
    one = start(tmp_path / "a")
    step.run(one, 0, console=QUIET)
    two = start(tmp_path / "b")
    started = pretrain(two, "--json")
    out, errors = started.communicate(timeout=300)
    assert started.returncode == 0, errors
    assert json.loads(out)["counts"]["steps"] == 6
    assert "Traceback" not in errors and "torch" not in errors.replace("torch AdamW", ""), errors
    check_same(one, two)
    assert "2 processes" in read_manifest(two.stage_folder(0)).metrics["engine"]


@pytest.mark.promise("F6")
@pytest.mark.fault
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_the_command_saves_and_the_command_goes_on(tmp_path: Path, number: int, code: int) -> None:
    two = write_recipe(stages.make_start(tmp_path), stage(**PARTS) | {"tokens": 7 * 32 * 3000}, **SETTINGS)
    started = pretrain(two)
    assert started.stderr is not None
    for line in started.stderr:
        if "step 0 of" in line:
            break
    time.sleep(2)
    started.send_signal(number)
    errors = started.stderr.read()
    assert started.wait(timeout=120) == code, errors
    assert "a checkpoint is saved" in errors and "Traceback" not in errors
    assert len(list((two.stage_folder(0) / CHECKPOINTS_NAME).iterdir())) == 1


@pytest.mark.promise("F6")
@pytest.mark.fault
def test_a_second_ctrl_c_ends_all_processes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = write_recipe(stages.make_start(tmp_path), stage(**PARTS), **SETTINGS)
    monkeypatch.setenv("REDWHALE_FAULT", "pretrain.after_step:sleep@2")  # a minute, in every process
    started = pretrain(two)
    metrics = two.stage_folder(0) / "metrics.jsonl"
    while not (metrics.exists() and '"step": 2, ' in metrics.read_text()):
        assert started.poll() is None
        time.sleep(0.1)
    processes = psutil.Process(started.pid).children()
    started.send_signal(signal.SIGINT)
    time.sleep(2)
    assert started.poll() is None  # the first one waits for the step that is under way
    again = time.monotonic()
    started.send_signal(signal.SIGINT)
    _, errors = started.communicate(timeout=50)
    assert started.returncode == 130 and time.monotonic() - again < 30
    assert "interrupted; run the same command again to go on" in errors and "Traceback" not in errors
    assert len(processes) >= 2 and not any(process.is_running() for process in processes)


def test_the_code_of_a_process_that_fails_is_the_command_s(tmp_path: Path) -> None:
    two = start(tmp_path)
    started = pretrain(two, "--set", "pretrain.mixture={}", "--set", "pretrain.stages.0.train.layers=[9]")
    _, errors = started.communicate(timeout=300)
    assert started.returncode == 2, errors
    assert "layer 9 does not exist" in errors and "Traceback" not in errors
