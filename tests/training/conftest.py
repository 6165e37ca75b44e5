"""Starts of stages, made once per module."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.training import stages
from tests.training.stages import QUIET, stage, write_recipe


@pytest.fixture(scope="module", autouse=True)
def own_linear() -> Iterator[None]:
    """Take back the linear map that ZeRO-3 puts into torch, where a test leaves its engine open."""
    from torch.nn import functional

    kept = functional.linear
    yield
    functional.linear = kept


@pytest.fixture(scope="module")
def deterministic() -> Iterator[None]:
    """Let torch's kernels give the same bits each time, as a stage does."""
    import torch

    from redwhale.training import setup

    with setup.deterministic(torch.device("cpu")):
        yield


@pytest.fixture(scope="module")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a model of two layers with a head of its own."""
    return stages.make_start(tmp_path_factory.mktemp("start"), layers=2) / "run" / "model-0"


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make each kind of start once, tokens packed, and copy it for every test."""
    made: dict[str, Path] = {}

    def start(tmp_path: Path, *, tied: bool = False, dtype: str = "float32") -> Path:
        key = f"{tied}-{dtype}"
        if key not in made:
            from redwhale.training import packing

            made[key] = stages.make_start(tmp_path_factory.mktemp("start"), tied=tied, dtype=dtype)
            packing.run(write_recipe(made[key], stage(layers="all")), console=QUIET)
        shutil.copytree(made[key], tmp_path / "work")
        return tmp_path / "work"

    return start
