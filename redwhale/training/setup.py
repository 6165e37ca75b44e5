"""Put a stage together from its recipe and the artifacts before it, and check that they fit each other."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from redwhale.core.console import Console
from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.core.recipe.pretrain import Pretrain
from redwhale.core.recipe.recipe import Recipe
from redwhale.training import attention, checkpoint, export, parent
from redwhale.training.engine import Engine, compute_dtype
from redwhale.training.estimate.cards import own_memory
from redwhale.training.estimate.plan import StagePlan, plan_stage
from redwhale.training.estimate.shape import measure_shape
from redwhale.training.guard import english_over
from redwhale.training.held_out import After, HeldOut
from redwhale.training.launch import World
from redwhale.training.layout import CHECKPOINTS_NAME
from redwhale.training.loop import StageRun
from redwhale.training.model import Prepared, prepare
from redwhale.training.partition import TableRow, TrainedTensor
from redwhale.training.schedule import Course
from redwhale.training.stage_data import StageData


@contextlib.contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Ask for deterministic kernels, and keep libraries' chatter off the console, for the time of a stage."""
    loggers = [logging.getLogger(name) for name in ("accelerate", "torch.distributed", "transformers", "DeepSpeed")]
    levels = [logger.level for logger in loggers]
    strict, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    memory: Any = torch.utils.deterministic
    fills = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False  # costs time; nothing here reads unwritten memory
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=warn_only)
        memory.fill_uninitialized_memory = fills
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def prepare_model(recipe: Recipe, index: int, *, world: World, console: Console) -> Prepared:
    """Load the parent and give it the stage's structure; raise where the sequence does not fit the model."""
    settings: Pretrain = recipe.need("pretrain")
    folder = recipe.model_folder(index - 1)
    prepared = prepare(
        folder, settings.stages[index].train, layer_dtype=compute_dtype(settings.precision),
        seed=recipe.seed + index,
    )  # fmt: skip
    config = prepared.model.config
    if settings.attention == "flex":
        attention.use_flex(prepared.model, device=world.device.type, where=str(folder))
    if settings.documents_attend == "own":
        window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
        attention.refuse_narrow_window(window, settings.sequence_length, where=str(folder))
    context = getattr(config, "max_position_embeddings", None)
    if context is not None and settings.sequence_length > context:
        refuse_learned_positions(prepared.model, context, settings.sequence_length, where=str(folder))
        console.warn(f"`sequence_length` {settings.sequence_length} is beyond the model's context of {context}")
    return prepared


def refuse_learned_positions(model: nn.Module, context: int, sequence_length: int, *, where: str) -> None:
    """Raise exit code 2 where positions are rows of a table (GPT-2, OPT): beyond its end there is none."""
    offsets = (0, 2)  # OPT keeps two rows for padding
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    if any(table.num_embeddings - context in offsets for table in tables):
        raise RedwhaleError(
            f"the model has positions for {context} tokens, `sequence_length` is {sequence_length}", where=where,
            fix=f"set `pretrain.sequence_length` to at most {context}", exit_code=USAGE,
        )  # fmt: skip


def find_checkpoint(
    folder: Path, *, trained: Sequence[TrainedTensor], world: World, console: Console
) -> checkpoint.Stored | None:
    """Return the newest whole checkpoint, the same one on every process."""
    home = folder / CHECKPOINTS_NAME
    found = checkpoint.newest(home, trained=trained, console=console) if world.leads else None
    name = world.share(found.folder.name if found else None)
    if name is None:
        return None
    found = found or checkpoint.open_stored(home / name, trained=trained)
    console.note(f"resuming after step {found.state.step} ({found.folder.name})")
    return found


def check_disk(
    recipe: Recipe, index: int, *, trained: Sequence[TrainedTensor], course: Course, after: int, world: World
) -> None:  # fmt: skip
    """Raise exit code 4, before anything is trained, where the disk has no room for what the stage is to write."""
    if not world.leads:
        return
    settings: Pretrain = recipe.need("pretrain")
    parts = recipe.model_folder(index - 1).glob("*.safetensors")
    checkpoint.need_disk_for_stage(
        recipe.stage_folder(index) / CHECKPOINTS_NAME, trained=trained, keep=settings.checkpoints.keep,
        saves=course.saves(settings.checkpoints.every, after=after),
        model_bytes=sum(path.stat().st_size for path in parts),
    )  # fmt: skip


def plan_loaded(
    settings: Pretrain, index: int, prepared: Prepared, trained: Sequence[TrainedTensor], *,
    table: Sequence[TableRow], world: World,
) -> StagePlan:  # fmt: skip
    """Return the plan of a stage as it is about to run, for its meter; before an engine shards the model."""
    shape = measure_shape(prepared, trained, tuple(table))
    card = own_memory(world.device)
    return plan_stage(settings, index, shape=shape, devices=world.size, card=card)


def describe(engine: Engine, settings: Pretrain, *, world: World) -> dict[str, Any]:
    """Return what really runs, for the start-up line and the manifest."""
    return {
        "engine": engine.name,
        "attention": attention.describe(settings.documents_attend, world.device.type, kernel=settings.attention),
        "loss_kernel": "chunked cross entropy, gradients made with the logits",
        "optimizer": engine.optimizer_name,
        "precision": settings.precision,
        "recompute": settings.recompute,
        "compile": settings.compile,
        "micro_batch": settings.micro_batch,
        "device": str(world.device),
        "threads": torch.get_num_threads(),
    }


def open_held_out(recipe: Recipe, index: int, *, world: World, after: After | None) -> HeldOut:
    """Read the held-out texts that the stage is measured on."""
    settings: Pretrain = recipe.need("pretrain")
    return HeldOut.read(
        recipe.corpus_folder, model=recipe.model_folder(index - 1), settings=settings.measure,
        context_tokens=settings.sequence_length, device=world.device, after=after,
        base_tokenizer=None if index else parent.base_tokenizer(recipe),
        repeats_layers=not index and parent.has_repeated_layers(recipe),
    )  # fmt: skip


def stage_run(
    recipe: Recipe, index: int, *, data: StageData, engine: Engine, trained: Sequence[TrainedTensor],
    held_out: HeldOut, prepared: Prepared, world: World, console: Console, command: str,
) -> StageRun:  # fmt: skip
    """Gather what the loop works with."""
    settings: Pretrain = recipe.need("pretrain")
    names = {tensor.name for tensor in trained}
    return StageRun(
        name=f"stage {index + 1} {settings.stages[index].name}", command=command, folder=recipe.stage_folder(index),
        course=data.course, batcher=data.batcher, engine=engine, trained=trained, languages=data.language_shares,
        frozen=[name for name, _ in prepared.model.named_parameters() if name not in names], held_out=held_out,
        blocks=data.blocks, base_ids=None if index else prepared.module.layout.first_new_row, settings=settings,
        parent_end=parent.parent_end(recipe, index, world=world), stored_dtype=prepared.stored_dtype,
        seed=recipe.seed + index, world=world, console=console,
    )  # fmt: skip


def gather_masters(engine: Engine, trained: Sequence[TrainedTensor], *, world: World) -> dict[str, Tensor]:
    """Return every trained tensor on the CPU of process 0 (empty elsewhere), float32."""
    masters = {}
    for tensor in trained:
        master = engine.master(tensor.name)
        if world.leads:
            masters[tensor.name] = master.to("cpu", torch.float32, copy=True)
    return masters


def probe_logits(engine: Engine, prepared: Prepared, *, world: World) -> Tensor:
    """Return the trained model's logits ``(1, 32, V)`` on the export's probe, float32 on the CPU."""
    ids = export.probe_ids(prepared.module.layout.vocabulary).to(world.device)
    return engine.predict(ids, torch.ones_like(ids), use_cache=False).logits.float().cpu()


def export_model(
    recipe: Recipe, index: int, masters: dict[str, Tensor], *, logits: Tensor
) -> tuple[list[Path], float]:  # fmt: skip
    """Write the stage's model and prove it; return its files, and the gap of logits to the trained model."""
    settings: Pretrain = recipe.need("pretrain")
    parent_folder, folder = recipe.model_folder(index - 1), recipe.stage_folder(index) / export.MODEL_NAME
    rebuilt = export.rebuild(parent_folder, settings.stages[index].train, masters)
    files = export.write(folder, parent=parent_folder, rebuilt=rebuilt)
    trained_in = compute_dtype(settings.precision)
    return files, export.verify(folder, rebuilt=rebuilt, trained_logits=logits, trained_in=trained_in)


def counts(data: StageData, state: checkpoint.StageState, trained: Sequence[TrainedTensor]) -> dict[str, Any]:
    """Return the manifest's counts; the next stage starts at ``cursor``."""
    sequences = data.course.sequences
    return {
        "tokens": data.course.tokens, "valid_tokens": state.valid_tokens, "steps": state.step, "sequences": sequences,
        "cursor": data.order.cursor_after(sequences), "realised_mixture": data.order.realised(sequences),
        "mixed_sequences": data.order.mixed(sequences),
        "trainable_parameters": sum(tensor.size for tensor in trained), "skipped_updates": state.skipped,
        "english_over_base": english_over(state.measured[str(state.step)], state.base_english),
    }  # fmt: skip
