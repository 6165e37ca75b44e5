"""Engines of pico models, and steps with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from redwhale.core.recipe.pretrain import Pretrain
from redwhale.training import launch, partition
from redwhale.training.batch import Batcher
from redwhale.training.checkpoint import load_masters
from redwhale.training.engine import Engine, make_engine
from redwhale.training.model import Prepared, prepare
from redwhale.training.partition import TrainedTensor
from redwhale.training.sequences import Sequence

PEAK_RATE = 1e-3
ALL = {"embedding": "all", "head": "all", "layers": "all", "norms": "final"}
PARTS: dict[str, dict[str, Any]] = {
    "rows": {"embedding": "new", "head": "new"}, "embedding": {"embedding": "all"}, "odd": {"layers": "odd"},
    "lora": {"lora": {"rank": 2}, "head": "all"},
}  # fmt: skip
ENGINES: dict[str, dict[str, Any] | None] = {
    "plain": None, "zero-1": {"zero": 1}, "zero-2": {"zero": 2}, "zero-3": {"zero": 3},
    "zero-2-offload": {"zero": 2, "offload": "optimizer", "cpu_adam": False},
    "zero-3-offload": {"zero": 3, "offload": "all", "cpu_adam": False},
}  # fmt: skip


def sequence(index: int) -> Sequence:
    made = np.random.default_rng(index)
    ids = made.integers(3, 420, 17)
    labels = ids[1:].copy()
    labels[: index % 5] = -100
    documents = (np.arange(16) >= 9).astype(np.int32)
    return Sequence(ids[:-1], labels, documents, np.concatenate([np.arange(9), np.arange(7)]), "news")


def make(
    folder: Path,
    train: dict[str, Any],
    *,
    engine: str = "plain",
    micro_batch: int = 3,
    micro_batches: int | None = None,
    load: Any = None,
    **more: Any,
) -> tuple[Prepared, list[TrainedTensor], Engine, Batcher]:
    settings = Pretrain.model_validate({
        "precision": "fp32", "recompute": False, "deepspeed": ENGINES[engine], "micro_batch": micro_batch,
        "clip_norm": 1000.0, "stages": [{"name": "a", "train": train, "tokens": 1, "learning_rate": PEAK_RATE}],
    } | more)  # fmt: skip
    wanted = settings.stages[0].train
    prepared = prepare(folder, wanted, layer_dtype=torch.bfloat16 if settings.precision == "bf16" else torch.float32)
    trained = partition.select(prepared, settings.stages[0])
    if load:
        load_masters(trained, load)
    batcher = Batcher(sequence, 6, micro_batch, own_documents=True)
    world = launch.join(torch.device("cpu"), group=ENGINES[engine] is not None)
    made = make_engine(
        prepared, trained, settings=settings, micro_batches=micro_batches or batcher.micro_batches, world=world
    )
    return prepared, trained, made, batcher


def one_step(engine: Engine, batcher: Batcher, number: int, *, factor: float = 1.0, rate: float = 1e-3) -> Any:
    batches = batcher.step(number)
    valid = sum(batch.valid_tokens for batch in batches)
    for place, batch in enumerate(batches):
        last = place == len(batches) - 1
        loss = engine.forward(batch, scale=1 / valid, last=last)
        engine.backward(loss if factor == 1 else loss * factor, last=last)
    return engine.step(rate / PEAK_RATE, finite=factor == factor)


def run_steps(runner: Engine, batcher: Batcher, numbers: Iterator[int] | range) -> None:
    for number in numbers:
        one_step(runner, batcher, number)


def masters(runner: Engine, trained: list[TrainedTensor]) -> dict[str, torch.Tensor]:
    return {tensor.name: runner.master(tensor.name).clone() for tensor in trained}
