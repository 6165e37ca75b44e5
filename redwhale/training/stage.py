"""Train one stage in this process, from the parent's weights to a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redwhale.core.console import Console
from redwhale.core.recipe.pretrain import Pretrain
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built
from redwhale.training import checkpoint, engine, loop, meter, parent, partition, setup, trackers, trial
from redwhale.training.cautions import cautions
from redwhale.training.checkpoint import StageState
from redwhale.training.estimate.plan import StagePlan
from redwhale.training.estimate.shortage import explain_shortage
from redwhale.training.held_out import After
from redwhale.training.launch import World
from redwhale.training.meter import Meter
from redwhale.training.stage_data import open_data
from redwhale.training.trackers import Tracker


def train_stage(
    recipe: Recipe, index: int, *, command: str, world: World, console: Console, after: After | None
) -> Built:  # fmt: skip
    """Train stage ``index`` (from 0) in its folder, from its newest checkpoint where there is one.

    ``command`` is what resumes it. Raises exit code 4 where memory runs out.
    """
    with (
        setup.deterministic(world.device), explain_shortage(recipe, index, device=world.device),
        engine.explain_compiler(recipe.need("pretrain")),
    ):  # fmt: skip
        sizes = trial.sizes(recipe, index, world=world)
        for size in sizes:
            try:
                return _train_stage(
                    trial.with_micro_batch(recipe, size), index, command=command, world=world, console=console,
                    after=after, rehearse=size != sizes[-1],
                )  # fmt: skip
            except trial.TooLarge:
                console.warn(f"a micro-batch of {size} does not fit, although planned to; trying {size // 2}")
        raise AssertionError("the smallest micro-batch is not rehearsed")


def _train_stage(
    recipe: Recipe, index: int, *, command: str, world: World, console: Console, after: After | None, rehearse: bool
) -> Built:  # fmt: skip
    meter.forget_peak(world.device)
    settings: Pretrain = recipe.need("pretrain")
    stage = settings.stages[index]
    data = open_data(recipe, index, world=world, console=console)
    prepared = setup.prepare_model(recipe, index, world=world, console=console)
    trained = partition.select(prepared, stage)
    table = partition.table(trained, prepared, stage=stage, decay=settings.weight_decay)
    partition.show(table, name=stage.name, console=console)
    planned = setup.plan_loaded(settings, index, prepared, trained, table=table, world=world)
    shares = data.language_shares(data.course.steps)
    for caution in cautions(settings, index, parameters=planned.shape.elements, shares=shares):
        console.warn(caution)
    stored = setup.find_checkpoint(recipe.stage_folder(index), trained=trained, world=world, console=console)
    state = stored.state if stored else StageState(base_english=parent.base_english(recipe, index))
    earlier = state.seconds.get("stage", 0.0)
    setup.check_disk(recipe, index, trained=trained, course=data.course, after=state.step, world=world)
    if stored:
        checkpoint.load_masters(trained, stored.tensors)
    runner = engine.make_engine(
        prepared, trained, settings=settings, micro_batches=data.batcher.micro_batches, world=world
    )
    if rehearse:
        trial.rehearse(runner, settings, world=world)
    for remark in runner.remarks:
        console.warn(f"stage {stage.name}: {remark}")
    if stored:
        runner.restore(stored.tensors, adam_steps=state.adam_steps)
    state.micro_batch = data.batcher.micro_batch
    facts = setup.describe(runner, settings, world=world)
    console.note(f"stage {stage.name}: " + ", ".join(f"{key} {value}" for key, value in facts.items()))
    held_out = setup.open_held_out(recipe, index, world=world, after=after)
    run = setup.stage_run(
        recipe, index, data=data, engine=runner, trained=trained, held_out=held_out, world=world,
        prepared=prepared, console=console, command=command,
    )  # fmt: skip
    with trackers.opened(recipe, index, leads=world.leads, console=console) as takers:
        watch = _watch(recipe, index, planned, state, world=world, takers=takers)
        loop.train(run, state, watch)
    masters = setup.gather_masters(runner, trained, world=world)
    logits = setup.probe_logits(runner, prepared, world=world)
    runner.close()
    if not world.leads:
        return Built(outputs=[])
    files, gap = setup.export_model(recipe, index, masters, logits=logits)
    measured_as = parent.measured_as(settings, world=world)
    facts |= {"planned_peak_bytes": planned.memory.peak, "export_logit_gap": gap, "measured_as": measured_as}
    return Built(
        files, counts=setup.counts(data, state, trained), metrics=_metrics(state, watch, world) | facts,
        earlier_seconds=earlier,
    )  # fmt: skip


def _watch(
    recipe: Recipe, index: int, planned: StagePlan, state: StageState, *, world: World, takers: Sequence[Tracker]
) -> Meter:  # fmt: skip
    return Meter(
        recipe.stage_folder(index) if world.leads else None, resumed_step=state.step, device=world.device,
        work=planned.work, devices=world.size, peak_flops=planned.card.bf16_flops if planned.card else 0.0,
        trackers=takers, before=state.seconds,
    )  # fmt: skip


def _metrics(state: StageState, watch: Meter, world: World) -> dict[str, Any]:
    measured = sorted(state.measured.items(), key=lambda item: int(item[0]))
    return {
        "loss": {"first": state.first_loss, "last": state.last_loss},
        "start": measured[0][1], "end": measured[-1][1], "measured": dict(measured),
        "tokens_per_second": round(watch.tokens_per_second, 1), **watch.utilisation(watch.tokens_per_second),
        "seconds": watch.taken(),
        "peak_memory_bytes": meter.peak_memory_bytes(world.device), "base_english": state.base_english,
    }  # fmt: skip
