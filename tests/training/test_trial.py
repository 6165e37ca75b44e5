"""``micro_batch: auto``: the plan chooses, a rehearsal tries, a checkpoint holds on to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from redwhale.training import trial
from redwhale.training.checkpoint import STATE_NAME, recorded_micro_batch
from redwhale.training.engine import PlainEngine
from redwhale.training.estimate import micro_batch
from redwhale.training.estimate.cards import RESERVED_BYTES, Card
from redwhale.training.estimate.memory import memory_of
from redwhale.training.estimate.shape import ShapeReader
from redwhale.training.launch import World
from tests.training.stages import run, stage, write_recipe

ALONE = World(0, 1, torch.device("cpu"))
Starts = Callable[..., Path]


def test_the_largest_power_of_two_that_the_card_holds(tmp_path: Path, starts: Starts) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers="all"), micro_batch="auto")
    settings = recipe.need("pretrain")
    shape = ShapeReader(recipe).read(0)

    def sizes(card: Card | None, devices: int = 1) -> list[int]:
        return micro_batch.fitting(settings, 0, shape=shape, devices=devices, card=card)

    assert sizes(None) == [8, 4, 2, 1]  # a step has 8 sequences
    assert sizes(None, devices=3) == [2, 1]  # three of them on the first of three devices
    two = memory_of(shape, micro_batch.with_size(settings, 2), devices=1).peak
    assert sizes(Card("two", two + RESERVED_BYTES, 1e12)) == [2, 1]
    assert sizes(Card("none", RESERVED_BYTES, 1e12)) == [1]


def test_a_pass_never_has_more_tokens_than_make_it_faster(tmp_path: Path, starts: Starts) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers="all"), micro_batch="auto", batch_tokens=1_000_000)
    shape = ShapeReader(recipe).read(0)
    largest = micro_batch.fitting(recipe.need("pretrain"), 0, shape=shape, devices=1, card=None)[0]
    assert largest * 32 == micro_batch.MOST_TOKENS


def test_half_is_tried_where_memory_runs_out(tmp_path: Path, starts: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    whole = PlainEngine.rehearse

    def rehearse(self: PlainEngine, rows: int, tokens: int) -> None:
        tried.append((rows, tokens))
        if rows > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        whole(self, rows, tokens)

    monkeypatch.setattr(PlainEngine, "rehearse", rehearse)
    root = starts(tmp_path)
    manifest = run(write_recipe(root, stage(layers="all"), micro_batch="auto"))
    assert tried == [(8, 32), (4, 32)] and manifest.metrics["micro_batch"] == 4
    other = run(write_recipe(root, stage(layers="all"), micro_batch=4), fresh=True)
    assert other.digest == manifest.digest  # a fixed micro-batch of 4 makes the same bits


def test_another_error_than_memory_is_no_reason_to_halve(tmp_path: Path, starts: Starts) -> None:
    recipe = trial.with_micro_batch(write_recipe(starts(tmp_path), stage(layers="all")), 2)

    class Broken:
        def rehearse(self, rows: int, tokens: int) -> None:
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        trial.rehearse(Broken(), recipe.need("pretrain"), world=ALONE)  # type: ignore[arg-type]


def test_going_on_keeps_the_micro_batch_of_the_checkpoint(tmp_path: Path, starts: Starts) -> None:
    recipe = write_recipe(starts(tmp_path), stage(layers="all"), micro_batch="auto")
    assert trial.sizes(recipe, 0, world=ALONE) == [8, 4, 2, 1]
    folder = recipe.stage_folder(0) / "checkpoints"
    for step, text in (("000002", '{"state": {"micro_batch": 2}}'), ("000003", "damaged")):
        (folder / f"step-{step}").mkdir(parents=True)
        (folder / f"step-{step}" / STATE_NAME).write_text(text)
    assert recorded_micro_batch(folder) == 2
    assert trial.sizes(recipe, 0, world=ALONE) == [2]
