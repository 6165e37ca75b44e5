"""The training loop, the same for every stage: what differs is data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from redwhale.core.console import Console
from redwhale.core.errors import INTERRUPTED, RedwhaleError
from redwhale.core.publish import fault
from redwhale.core.recipe.pretrain import Checkpoints
from redwhale.training import checkpoint, guard
from redwhale.training.batch import Batch, Batcher
from redwhale.training.checkpoint import StageState
from redwhale.training.engine import Engine
from redwhale.training.held_out import HeldOut, one_line
from redwhale.training.launch import World, stop_signals
from redwhale.training.layout import CHECKPOINTS_NAME
from redwhale.training.meter import Meter
from redwhale.training.partition import TrainedTensor
from redwhale.training.schedule import Course


@dataclass(frozen=True)
class StageRun:
    """All that the loop works with; ``command`` is what resumes it."""

    name: str
    command: str
    folder: Path
    course: Course
    batcher: Batcher
    engine: Engine
    trained: Sequence[TrainedTensor]
    frozen: Sequence[str]
    held_out: HeldOut
    checkpoints: Checkpoints
    measure_every: int | None
    seed: int
    world: World
    console: Console


def train(run: StageRun, state: StageState, meter: Meter) -> None:
    """Train from where ``state`` stands to the end of the stage; ``state`` is kept up to date.

    Raises exit code 130 after SIGTERM or SIGINT, with a checkpoint saved; 1 where tensors do not move as
    they should or numbers stop being finite.
    """
    course, engine = run.course, run.engine
    movement = None
    if state.updates < guard.UPDATES_BEFORE_CHECK:
        movement = guard.MovementGuard(engine, trained=run.trained, frozen=run.frozen)
    _measure(run, state, meter)
    left = (course.steps - state.step) * course.step_tokens
    with stop_signals() as stopping, run.console.progress(run.name, left, "tokens") as progress:
        meter.restart_clock()
        for step in range(state.step, course.steps):
            torch.manual_seed(_step_seed(run, step))
            rate = course.learning_rate(step)
            batches = run.batcher.step(step)
            (valid,) = run.world.total(sum(batch.valid_tokens for batch in batches))
            loss_sum = _gradient(run, batches, valid_tokens=valid)
            loss, stop = run.world.total(loss_sum / max(valid, 1), float(stopping()))
            update = engine.step(rate, finite=math.isfinite(loss))
            _count(state, update, loss=loss, rate=rate, valid_tokens=int(valid))
            meter.step(
                {"step": state.step, "tokens": state.step * course.step_tokens, "loss": loss, "learning_rate": rate,
                 "gradient_norm": update.gradient_norm, "skipped": not update.applied},
                tokens=course.step_tokens, progress=progress,
            )  # fmt: skip
            if not update.applied:
                run.console.warn(f"{run.name}: update {state.step} was skipped: loss or gradient is not finite")
            guard.refuse_skips(state.skipped_in_row, step=state.step, update=update, loss=loss)
            if movement and update.applied:
                movement.moved_by(rate)
            if movement and state.updates >= guard.UPDATES_BEFORE_CHECK:
                movement.check()
                movement = None
            if state.step == course.steps or course.passes(run.measure_every, step=state.step):
                _measure(run, state, meter)
            if state.step == course.steps or stop or course.passes(run.checkpoints.every, step=state.step):
                _save(run, state)
            if stop and state.step < course.steps:
                raise _interrupted(run, state)
            meter.restart_clock()
            fault("pretrain.after_step")
        (stop,) = run.world.total(float(stopping()))
        if stop:  # it came during the last step, whose checkpoint is saved
            raise _interrupted(run, state)
    if movement:
        movement.check_frozen()


def _step_seed(run: StageRun, step: int) -> int:
    """Return the seed of a step's randomness (dropout, in models that have it): resuming needs no other state."""
    return (run.seed * 1_000_003 + step * run.world.size + run.world.rank) % 2**63


def _gradient(run: StageRun, batches: Sequence[Batch], *, valid_tokens: float) -> float:
    """Accumulate the gradient of the mean loss over all valid tokens of the step; return the local loss sum.

    Engines average over processes, so the sum over micro-batches is scaled by processes / valid tokens.
    """
    scale = run.world.size / max(valid_tokens, 1)
    total = torch.zeros((), dtype=torch.float64, device=run.world.device)
    for number, batch in enumerate(batches):
        last = number == len(batches) - 1
        loss = run.engine.forward(batch.to(run.world.device), last=last)
        run.engine.backward(loss * scale, last=last)
        total += loss.detach()
    return float(total)


def _count(state: StageState, update: guard.Update, *, loss: float, rate: float, valid_tokens: int) -> None:
    state.step += 1
    state.updates += update.applied and rate > 0
    state.skipped += not update.applied
    state.skipped_in_row = 0 if update.applied else state.skipped_in_row + 1
    state.valid_tokens += valid_tokens
    if math.isfinite(loss):
        state.first_loss = loss if state.first_loss is None else state.first_loss
        state.last_loss = loss


def _measure(run: StageRun, state: StageState, meter: Meter) -> None:
    """Measure on held-out text, once per place in the stage."""
    if str(state.step) in state.measured:
        return
    measured = run.held_out.measure(run.engine)
    state.measured[str(state.step)] = measured
    meter.write({"step": state.step, "tokens": state.step * run.course.step_tokens} | measured)
    run.console.note(f"{run.name}: step {state.step} of {run.course.steps}, {one_line(measured)}")


def _save(run: StageRun, state: StageState) -> None:
    checkpoint.save(
        run.folder / CHECKPOINTS_NAME, state, engine=run.engine, trained=run.trained,
        keep=run.checkpoints.keep, world=run.world,
    )  # fmt: skip


def _interrupted(run: StageRun, state: StageState) -> RedwhaleError:
    return RedwhaleError(
        f"interrupted after step {state.step} of {run.course.steps}; a checkpoint is saved", where=run.name,
        fix=f"`{run.command}` goes on from there", exit_code=INTERRUPTED,
    )  # fmt: skip
