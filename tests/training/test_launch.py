"""Signals: the first asks for a stop with a checkpoint, echoes of it change nothing. How processes are started."""

from __future__ import annotations

import os
import signal
import time

import pytest

from redwhale.core.errors import RedwhaleError
from redwhale.core.recipe.recipe import Recipe
from redwhale.training import layout, torchrun
from redwhale.training.launch import stop_signals


def test_echoes_of_a_signal_are_one_wish() -> None:
    with stop_signals() as stopping:
        assert not stopping()
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert stopping()


@pytest.mark.promise("F6")
def test_a_second_ctrl_c_interrupts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with stop_signals():
        os.kill(os.getpid(), signal.SIGINT)
        later = time.monotonic() + 5
        monkeypatch.setattr(time, "monotonic", lambda: later)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def recipe_of(**machine: int) -> Recipe:
    stage = {"name": "a", "train": {"head": "all"}, "tokens": 1, "learning_rate": 1e-3}
    return Recipe.model_validate({"version": 1, "workdir": "run", "machine": machine, "pretrain": {"stages": [stage]}})


def test_the_first_signal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with stop_signals() as stopping:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), signal.SIGTERM)
            assert stopping() == number


def test_the_command_of_all_processes() -> None:
    line = torchrun.command(recipe_of(devices=4), 0, fresh=True)
    assert line == (
        "torchrun --standalone --nproc_per_node=4 --shutdown-timeout=3600 "
        "--signals-to-handle=SIGTERM,SIGHUP,SIGQUIT -m redwhale pretrain --stage 1 "
        "-c redwhale.yaml --fresh"
    )


def test_nodes_meet_where_the_cluster_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RedwhaleError, match="2 nodes cannot meet: MASTER_ADDR names no host") as caught:
        torchrun.command(recipe_of(devices=8, nodes=2), 0)
    assert caught.value.exit_code == 2
    monkeypatch.setenv("MASTER_ADDR", "node7")
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    assert torchrun.options(recipe_of(devices=8, nodes=2).machine) == [
        "--nnodes=2", "--rdzv_backend=c10d", "--rdzv_endpoint=node7:29400", "--rdzv_id=42", "--nproc_per_node=8",
        "--shutdown-timeout=3600", "--signals-to-handle=SIGTERM,SIGHUP,SIGQUIT",
    ]  # fmt: skip


def test_processes_are_started_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    assert layout.starts_processes(recipe_of(devices=2).machine)
    assert not layout.starts_processes(recipe_of().machine)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert not layout.starts_processes(recipe_of(devices=2).machine)
