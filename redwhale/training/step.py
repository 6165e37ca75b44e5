"""The ``pretrain`` step: one stage of training, from the parent's weights to a Hugging Face folder."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redwhale.core import artifact
from redwhale.core.artifact import GateRecord, Input, Manifest
from redwhale.core.console import Console
from redwhale.core.errors import FAILED, GATE, USAGE, RedwhaleError
from redwhale.core.recipe.pretrain import Pretrain
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.step import Built, Plan, produce
from redwhale.corpus.reader import corpus_input
from redwhale.training.layout import CHECKPOINTS_NAME, process_count, starts_processes
from redwhale.training.packages import check_packages

if TYPE_CHECKING:
    from redwhale.training.held_out import After
    from redwhale.training.launch import World

STEP = "pretrain"
ALGORITHM = 3  # 3: gradients of head and adapters are summed in another order
TRAIN, UNCHANGED, FAILURE = "train", "unchanged", "failure"
SHARED_FIELDS = (
    "sequence_length", "batch_tokens", "packing", "documents_attend", "precision", "weight_decay", "betas", "clip_norm",
    "spikes",
)  # fmt: skip


def plan(recipe: Recipe, index: int) -> Plan:
    """Return what stage ``index`` (from 0) reads and writes; only what changes the result is in its fields."""
    settings: Pretrain = recipe.need("pretrain")
    stage = settings.stages[index]
    fields = settings.model_dump(mode="json", include=set(SHARED_FIELDS))
    fields |= {"seed": recipe.seed, "mixture": settings.mixture_of(stage)}
    if mixed := settings.mix_languages_of(stage):  # at 0 a stage is what it was before there was this field
        fields["mix_languages"] = mixed
    fields["stage"] = stage.model_dump(mode="json", exclude={"mixture", "mix_languages"})
    return Plan(
        step=STEP, command=recipe.command("pretrain", "--stage", str(index + 1)), folder=recipe.stage_folder(index),
        inputs=(
            Input("parent", parent_folder(recipe, index), recipe.command(*_parent_words(index))),
            Input("tokens", recipe.tokens_folder, recipe.command("pack")), corpus_input(recipe),
        ),
        fields=fields, algorithm=ALGORITHM, gates=partial(_gates, settings),
    )  # fmt: skip


def _gates(settings: Pretrain, counts: dict[str, Any]) -> list[GateRecord]:
    gate, over = settings.gates.english, counts.get("english_over_base")
    if over is None:
        return []
    breached = over > gate.above
    return [GateRecord(name="english_over_base", value=over, above=gate.above, do=gate.do, breached=breached)]


def parent_folder(recipe: Recipe, index: int) -> Path:
    """Return the artifact that a stage starts from: model 0, or the stage before."""
    return recipe.model_0_folder if index == 0 else recipe.stage_folder(index - 1)


def _parent_words(index: int) -> tuple[str, ...]:
    """Return the command that makes what stage ``index`` starts from."""
    return ("pretrain", "--stage", str(index)) if index else ("init-model",)


def run(
    recipe: Recipe, index: int, *, console: Console, fresh: bool = False, verify: bool = False,
    after: After | None = None,
) -> Manifest:  # fmt: skip
    """Train stage ``index`` (from 0), resume it, or say that it is done; packs tokens where that is not done.

    Under a launcher every process calls this; process 0 alone keeps the artifact and returns like the
    others once all are done. ``after(model, tokenizer)`` is called at each measurement.
    """
    from redwhale.training import packing

    check_parent(recipe, index, verify=verify)
    steps = plan(recipe, index)
    trains = fresh or not artifact.is_finished(steps.folder)
    if trains:
        check_packages(recipe.need("pretrain"))
    if trains and starts_processes(recipe.machine):
        return _launch(recipe, index, console=console, fresh=fresh, verify=verify)
    world = _join(recipe) if process_count() > 1 else None
    if world and not world.leads:
        return _follow(recipe, index, world=world, after=after)
    begun: list[str] = []

    def build() -> Built:
        joined = world or _join(recipe)
        begun.append(joined.share(TRAIN))
        return _train(recipe, index, world=joined, console=console, after=after)

    try:
        packed = artifact.is_finished(recipe.tokens_folder)  # then this refuses what another corpus or seed made
        packing.run(recipe, console=Console(quiet=True) if packed else console, verify=verify)
        manifest = produce(steps, build, console=console, fresh=fresh, verify=verify)
    except BaseException:
        if world and not begun:  # once training has begun the others fail by themselves, or their launcher ends them
            world.share(FAILURE)
        raise
    shutil.rmtree(steps.folder / CHECKPOINTS_NAME, ignore_errors=True)
    if world:
        world.share(UNCHANGED)
    return manifest


def _launch(recipe: Recipe, index: int, *, console: Console, fresh: bool, verify: bool) -> Manifest:
    """Start the stage's processes, of which the first packs tokens, and wait for them; raises with their exit code."""
    from redwhale.core.device import check_devices
    from redwhale.training import torchrun

    check_devices(recipe)
    arguments = torchrun.module_arguments(recipe, index, fresh=fresh, verify=verify, quiet=console.quiet)
    code = torchrun.launch(recipe.machine, arguments)
    folder = recipe.stage_folder(index)
    if code and not (code == GATE and artifact.is_finished(folder)):
        raise RedwhaleError(
            f"a process of stage {index + 1} ended with exit code {code}", where=str(folder),
            fix="its message above says why", exit_code=code,
        )  # fmt: skip
    return artifact.read_manifest(folder)


def _join(recipe: Recipe) -> World:
    from redwhale.core.device import choose_device
    from redwhale.training import launch

    deepspeed = recipe.need("pretrain").deepspeed
    return launch.join(choose_device(recipe), group=deepspeed is not None and deepspeed.zero > 0)


def _follow(recipe: Recipe, index: int, *, world: World, after: After | None) -> Manifest:
    """Do what a process other than 0 does: train where process 0 says so, and wait for the artifact."""
    if (word := world.share(None)) == TRAIN:
        _train(recipe, index, world=world, console=Console(quiet=True, json_output=True), after=after)
        word = world.share(None)
    if word == FAILURE:
        raise RedwhaleError(
            f"process 0 of stage {index + 1} failed", where=str(recipe.stage_folder(index)),
            fix="its message says why", exit_code=FAILED,
        )  # fmt: skip
    return artifact.read_manifest(recipe.stage_folder(index))


def _train(recipe: Recipe, index: int, *, world: World, console: Console, after: After | None) -> Built:
    from redwhale.training import stage

    command = plan(recipe, index).command
    return stage.train_stage(recipe, index, command=command, world=world, console=console, after=after)


def check_parent(recipe: Recipe, index: int, *, verify: bool) -> None:
    """Raise where the parent is not finished, was changed, or was trained on another data order than this stage."""
    parent = parent_folder(recipe, index)
    if not artifact.is_finished(parent):
        raise RedwhaleError(
            f"stage out of order: what stage {index + 1} starts from is not finished", where=str(parent),
            fix=f"run `{recipe.command(*_parent_words(index))}` first", exit_code=USAGE,
        )  # fmt: skip
    manifest = artifact.read_manifest(parent)
    artifact.check_outputs(parent, manifest, rehash=verify)
    fields = plan(recipe, index).fields
    goes_on = index and recipe.need("pretrain").stages[index].data == "continue"
    for key in ("seed", "sequence_length", "packing"):  # they decide which blocks the parent's cursor counts
        if goes_on and manifest.fields[key] != fields[key]:
            raise RedwhaleError(
                f"stage {index} was trained with `{key}` {manifest.fields[key]}, stage {index + 1} asks for "
                f"{fields[key]}: its data would not go on where the parent's ended", where=str(parent),
                fix=f"put `{key}` back, set the stage's `data: restart`, or make the stages again with --fresh",
            exit_code=USAGE,
            )  # fmt: skip
