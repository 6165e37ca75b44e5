"""The training loop, the same for every stage: what differs is data."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from redwhale.core.console import Console, Progress
from redwhale.core.errors import INTERRUPTED, TERMINATED, RedwhaleError
from redwhale.core.faults import fault
from redwhale.core.recipe.pretrain import Pretrain
from redwhale.training import checkpoint, guard, measuring
from redwhale.training.batch import Batch, Batcher
from redwhale.training.checkpoint import StageState
from redwhale.training.engine import Engine
from redwhale.training.held_out import HeldOut
from redwhale.training.launch import World, stop_signals
from redwhale.training.layout import CHECKPOINTS_NAME
from redwhale.training.meter import METRICS_NAME, Meter
from redwhale.training.partition import TrainedTensor
from redwhale.training.schedule import Course


@dataclass(frozen=True)
class StageRun:
    """All that the loop works with; ``command`` is what resumes it.

    ``languages`` gives their shares after a step, ``blocks`` names what a step reads; ids from ``base_ids`` on are
    not the base's (None in stages that do not start from model 0). ``parent_end``: bits per byte of each source at
    the end of the stage before, where they were measured as here.
    """

    name: str
    command: str
    folder: Path
    course: Course
    batcher: Batcher
    engine: Engine
    trained: Sequence[TrainedTensor]
    frozen: Sequence[str]
    held_out: HeldOut
    languages: Callable[[int], dict[str, float]]
    blocks: Callable[[int], list[str]]
    base_ids: int | None
    parent_end: dict[str, float] | None
    stored_dtype: torch.dtype
    settings: Pretrain
    seed: int
    world: World
    console: Console


def train(run: StageRun, state: StageState, meter: Meter) -> None:
    """Train from where ``state`` stands to the end of the stage; ``state`` is kept up to date.

    Raises exit code 143 after SIGTERM, 130 after SIGINT, with a checkpoint saved; 1 where tensors do not move as
    they should or numbers stop being finite; 3 where English is forgotten and the gate stops.
    """
    course = run.course
    movement = None
    if state.updates < guard.UPDATES_BEFORE_CHECK:
        movement = guard.MovementGuard(run.engine, trained=run.trained, frozen=run.frozen)
    if run.world.leads and state.step == 0:
        measuring.write_first_batch(run)
    with meter.timing("measuring"):
        measuring.measure(run, state, meter)
    measuring.check_start(run, state)
    _stop_at_gate(run, state, meter)
    before = state.step * course.step_tokens
    with stop_signals() as stopping, run.console.progress(run.name, course.tokens, "tokens", before=before) as progress:
        meter.restart_clock()
        while state.step < course.steps:
            share = course.share_of_peak(state.step)
            update, stop = _step(run, state, meter, share=share, stopping=stopping, progress=progress)
            if movement and update.applied:
                movement.moved_by(share)
            if movement and state.updates >= guard.UPDATES_BEFORE_CHECK:
                movement.check()
                movement = None
            _measure_and_save(run, state, meter, stop=any(stop))
            if any(stop) and state.step < course.steps:
                raise _interrupted(run, state, stop)
            meter.restart_clock()
            fault("pretrain.after_step")
        stop = run.world.total(*_wishes(stopping()))
        if any(stop):  # it came during the last step, whose checkpoint is saved
            raise _interrupted(run, state, stop)
    if movement:
        movement.check_frozen()


def _step(
    run: StageRun, state: StageState, meter: Meter, *, share: float, stopping: Callable[[], int], progress: Progress
) -> tuple[guard.Update, list[float]]:  # fmt: skip
    """Do one step at a share of the peak rates; return its update, and what signals any process has had."""
    torch.manual_seed(_step_seed(run, state.step))
    with meter.timing("data"):
        batches = run.batcher.step(state.step)
    (valid,) = run.world.total(sum(batch.valid_tokens for batch in batches))
    share_of_loss, spike = _gradient(run, batches, state, valid_tokens=valid)
    loss, *stop = run.world.total(share_of_loss, *_wishes(stopping()))
    update = run.engine.step(share, finite=math.isfinite(loss) and not spike)
    _count(run, state, update, loss=loss, share=share, valid_tokens=int(valid))
    row = _row(run, state, update, loss=loss, share=share)
    meter.step(row, tokens=run.course.step_tokens, progress=progress)
    if not update.applied:
        reason = f"the loss {loss:.4g} is a spike" if spike else "loss or gradient is not finite"
        read = f"it read {guard.some(row['blocks'])} (`blocks` in {METRICS_NAME})"
        run.console.warn(f"{run.name}: update {state.step} was skipped: {reason}; {read}")
    guard.refuse_skips(state.skipped_in_row, step=state.step, update=update, loss=loss)
    return update, stop


def _measure_and_save(run: StageRun, state: StageState, meter: Meter, *, stop: bool) -> None:
    """Do what is due after a step: measure, judge, keep a checkpoint."""
    ends = state.step == run.course.steps
    if ends or run.course.passes(run.settings.measure.every, step=state.step):
        with meter.timing("measuring"):
            measuring.measure(run, state, meter)
        if not ends:  # the end of a stage is judged with its manifest
            _stop_at_gate(run, state, meter)
    if ends or stop or run.course.passes(run.settings.checkpoints.every, step=state.step):
        with meter.timing("checkpoints"):
            _save(run, state, meter)


def _step_seed(run: StageRun, step: int) -> int:
    """Return the seed of a step's randomness (dropout, in models that have it): resuming needs no other state."""
    return (run.seed * 1_000_003 + step * run.world.size + run.world.rank) % 2**63


def _gradient(
    run: StageRun, batches: Sequence[Batch], state: StageState, *, valid_tokens: float
) -> tuple[float, bool]:  # fmt: skip
    """Accumulate the gradient of the mean loss over all valid tokens of the step.

    Returns this process's share of the mean loss, and whether the mean over all processes is a spike. Engines average
    over processes, so the sum over micro-batches is scaled by processes / valid tokens. A spike is known before the
    last backward pass, which then makes a gradient that is not finite: all engines drop that.
    """
    size = run.world.size
    total = torch.zeros((), dtype=torch.float64, device=run.world.device)
    spike = False
    for number, batch in enumerate(batches):
        last = number == len(batches) - 1
        loss = run.engine.forward(batch.to(run.world.device), scale=size / max(valid_tokens, 1), last=last)
        total += loss.detach()
        if last and run.settings.spikes:
            (mean,) = run.world.total(float(total) / size)
            spike = guard.is_spike(mean, state.recent_losses, run.settings.spikes)
        run.engine.backward(loss * math.nan if spike else loss, last=last)
    return float(total) / size, spike


def _row(run: StageRun, state: StageState, update: guard.Update, *, loss: float, share: float) -> dict[str, Any]:
    """Return a step's row of metrics; what a skipped step read is named, to be looked at."""
    row = {
        "step": state.step, "tokens": state.step * run.course.step_tokens, "loss": loss,
        "learning_rate": _rates(run, share), "gradient_norm": update.gradient_norm, "skipped": not update.applied,
        "language_shares": run.languages(state.step),
    }  # fmt: skip
    return row if update.applied else row | {"blocks": run.blocks(state.step - 1)}


def _count(
    run: StageRun, state: StageState, update: guard.Update, *, loss: float, share: float, valid_tokens: int
) -> None:  # fmt: skip
    state.step += 1
    state.updates += update.applied and share > 0
    state.skipped += not update.applied
    state.skipped_in_row = 0 if update.applied else state.skipped_in_row + 1
    state.valid_tokens += valid_tokens
    if update.applied and run.settings.spikes:
        state.recent_losses = [*state.recent_losses, loss][-run.settings.spikes.window :]
    if math.isfinite(loss):
        state.first_loss = loss if state.first_loss is None else state.first_loss
        state.last_loss = loss


def _rates(run: StageRun, share: float) -> dict[str, float]:
    """Return the learning rate of each part that trains."""
    return {tensor.part: tensor.learning_rate * share for tensor in run.trained}


def _stop_at_gate(run: StageRun, state: StageState, meter: Meter) -> None:
    error = measuring.english_gate(run, state)
    if error is not None:
        if state.step:
            _save(run, state, meter)
        raise error


def _save(run: StageRun, state: StageState, meter: Meter) -> None:
    """Keep a checkpoint; while updates are skipped none is removed for it: one of before that must stay."""
    keep = None if state.skipped_in_row else run.settings.checkpoints.keep
    state.seconds = meter.taken()
    checkpoint.save(
        run.folder / CHECKPOINTS_NAME, state, engine=run.engine, trained=run.trained, keep=keep, world=run.world
    )


def _wishes(number: int) -> list[float]:
    """Return what a signal asks for: to terminate (SIGTERM), to interrupt (SIGINT)."""
    return [float(number == signal.SIGTERM), float(number == signal.SIGINT)]


def _interrupted(run: StageRun, state: StageState, wishes: Sequence[float]) -> RedwhaleError:
    return RedwhaleError(
        f"interrupted after step {state.step} of {run.course.steps}; a checkpoint is saved", where=run.name,
        fix=f"`{run.command}` goes on from there", exit_code=TERMINATED if wishes[0] else INTERRUPTED,
    )  # fmt: skip
