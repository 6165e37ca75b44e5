"""Checkpoints to resume from: one entry per named tensor, whatever the engine, ZeRO level or process count.

A checkpoint is a folder ``step-000123`` of safetensors files with ``NAME:master``, ``NAME:exp_avg`` and
``NAME:exp_avg_sq`` in float32 for every trained tensor (of moments in 8 bits with the scales of their blocks),
and ``state.json`` with the place in the stage, the identity of the stage that made it, and digests of the files
and of itself. Frozen weights are not in it: they are the parent artifact's.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from redwhale.core.artifact import hash_files, hash_json
from redwhale.core.begun import begun_identity
from redwhale.core.console import Console
from redwhale.core.errors import FAILED, RESOURCES, USAGE, RedwhaleError
from redwhale.core.faults import fault
from redwhale.core.publish import atomic_folder
from redwhale.training.engine import Engine
from redwhale.training.launch import World
from redwhale.training.layout import CHECKPOINT_PREFIX, checkpoint_folders, step_of
from redwhale.training.optimizer import MOMENTS, SCALES
from redwhale.training.partition import TrainedTensor

STATE_NAME = "state.json"
SCHEMA = 2
_FILE_BYTES = 2**28  # small enough that the files of a large model are digested side by side
_SPARE = 1.02  # headers, and what others write meanwhile
_ALWAYS = ("master", *MOMENTS)
_STATE_BYTES = 12  # master and both moments in float32, per element
_NOT_WHOLE = (OSError, ValueError, KeyError, TypeError)


@dataclass
class StageState:
    """Where a stage stands after ``step`` steps.

    ``updates`` are those applied at a learning rate above 0; ``measured`` maps a step to its measurements;
    ``base_english``: the base's bits per byte; ``recent_losses``: those that a spike is judged by;
    ``micro_batch``: sequences per pass, which decide the order of sums; ``seconds``: what the stage took up to here,
    over all processes that went on from one another, in parts as ``Meter.taken`` has them.
    """

    step: int = 0
    updates: int = 0
    skipped: int = 0
    skipped_in_row: int = 0
    adam_steps: int = 0
    valid_tokens: int = 0
    base_english: float | None = None
    recent_losses: list[float] = field(default_factory=list)
    first_loss: float | None = None
    last_loss: float | None = None
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)
    micro_batch: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)


def save(
    folder: Path, state: StageState, *, engine: Engine, trained: Sequence[TrainedTensor], keep: int | None, world: World
) -> None:
    """Write one checkpoint (all processes gather, process 0 writes) and drop all but the newest ``keep``, if any.

    No process returns before it is written: one that ended earlier, being interrupted, would make its
    launcher end process 0 in the middle of writing.
    """
    state.adam_steps = engine.adam_steps()
    target = folder / f"{CHECKPOINT_PREFIX}{state.step:06d}"
    size = size_bytes(trained)
    if world.leads:
        need_disk(folder, size)
    with atomic_folder(target, size_bytes=size) if world.leads else contextlib.nullcontext() as temporary:
        named: dict[Path, list[str]] = {}
        for number, names in enumerate(_share_out(trained)):
            tensors = {}
            for name in names:
                for kind, value in {"master": engine.master(name), **engine.moments(name)}.items():
                    if temporary is not None:
                        tensors[f"{name}:{kind}"] = value.detach().to("cpu", torch.float32).contiguous()
            if temporary is not None:
                path = temporary / f"tensors-{number:05d}.safetensors"
                save_file(tensors, path)
                fault("checkpoint.after_tensors", path)
                named[path] = names
        if temporary is not None:
            digests = hash_files(named)
            content = {
                "schema_version": SCHEMA, "identity": begun_identity(folder.parent), "state": asdict(state),
                "files": {
                    path.name: {"sha256": digest, "tensors": names}
                    for (path, names), digest in zip(named.items(), digests, strict=True)
                },
            }  # fmt: skip
            text = json.dumps(content | {"sha256": hash_json(content)}, indent=1)
            (temporary / STATE_NAME).write_text(text, encoding="utf-8")
    if world.leads:
        fault("checkpoint.before_rotation", target / STATE_NAME)
        _rotate(target, trained=trained, keep=keep)
    world.share(target.name)


def _rotate(newest: Path, *, trained: Sequence[TrainedTensor], keep: int | None) -> None:
    """Remove what the checkpoint just written replaces, once it can be read.

    Those of later steps were passed over as damaged, when the stage went on from an earlier one.
    """
    try:
        open_stored(newest, trained=trained)
    except _NOT_WHOLE as error:
        raise RedwhaleError(
            f"the checkpoint just written cannot be read ({error}); those before it stay", where=str(newest),
            fix="check the disk and run the same command again", exit_code=FAILED,
        ) from error  # fmt: skip
    later = [path for path in checkpoint_folders(newest.parent) if step_of(path) > step_of(newest)]
    for old in later + (checkpoint_folders(newest.parent)[len(later) + keep :] if keep else []):
        shutil.rmtree(old)
        fault("checkpoint.after_removal", newest / STATE_NAME)


def size_bytes(trained: Sequence[TrainedTensor]) -> int:
    """Return the bytes of one checkpoint."""
    return sum(tensor.size for tensor in trained) * _STATE_BYTES


def need_disk(folder: Path, size_bytes: int, *, what: str = "a checkpoint takes") -> None:
    """Raise exit code 4 where so many bytes would not fit; the checkpoints there are stay."""
    free = shutil.disk_usage(folder if folder.exists() else folder.parent).free
    if free < size_bytes * _SPARE:
        raise RedwhaleError(
            f"{what} {_in_gb(size_bytes)}, {_in_gb(free)} are free", where=str(folder),
            fix="make room; the same command goes on from the last checkpoint", exit_code=RESOURCES,
        )  # fmt: skip


def _in_gb(size_bytes: int) -> str:
    """Return a size in GB, in bytes too."""
    return f"{size_bytes / 1e9:.1f} GB ({size_bytes:,} bytes)"


def need_disk_for_stage(
    folder: Path, *, trained: Sequence[TrainedTensor], saves: int, keep: int, model_bytes: int
) -> None:  # fmt: skip
    """Raise exit code 4 where the checkpoints and the model that a stage has yet to write would not fit.

    A checkpoint is written before an old one is removed; the model is, while the last ``keep`` are there.
    """
    there, one = len(checkpoint_folders(folder)), size_bytes(trained)
    most = max(min(there + saves, keep + 1) * one, min(there + saves, keep) * one + model_bytes)
    need_disk(folder, max(most - there * one, 0), what=f"checkpoints of {_in_gb(one)} each and the model take")


def _share_out(trained: Sequence[TrainedTensor]) -> Iterator[list[str]]:
    """Group tensor names so that a file stays near 256 MiB."""
    names: list[str] = []
    size = 0
    for tensor in trained:
        if names and size + tensor.size * _STATE_BYTES > _FILE_BYTES:
            yield names
            names, size = [], 0
        names.append(tensor.name)
        size += tensor.size * _STATE_BYTES
    if names:
        yield names


@dataclass(frozen=True)
class Stored:
    """A checkpoint that was found whole: its state and a way to its tensors."""

    folder: Path
    state: StageState
    files: Mapping[str, str]

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Read ``master``, ``exp_avg``, ``exp_avg_sq`` and scales of one trained tensor, float32 on the CPU."""
        with safe_open(self.folder / self.files[name], framework="pt") as file:
            there = set(file.keys())
            kinds = [*_ALWAYS, *(kind for kind in SCALES if f"{name}:{kind}" in there)]
            return {kind: file.get_tensor(f"{name}:{kind}") for kind in kinds}


def newest(folder: Path, *, trained: Sequence[TrainedTensor], console: Console) -> Stored | None:
    """Return the newest checkpoint whose files match their digests; say which ones do not.

    Raises exit code 2 where it is another stage's, or was made from other settings or inputs.
    """
    for path in (stored := checkpoint_folders(folder)):
        try:
            return open_stored(path, trained=trained, digests=True)
        except _NOT_WHOLE as error:
            before = "the stage starts from its beginning" if path == stored[-1] else "trying the one before"
            console.warn(f"{path} is damaged ({error}); {before}")
    return None


def recorded_micro_batch(folder: Path) -> int | None:
    """Return the micro-batch that the newest readable checkpoint was made with, None where there is none."""
    for path in checkpoint_folders(folder):
        with contextlib.suppress(*_NOT_WHOLE):
            size = json.loads((path / STATE_NAME).read_text(encoding="utf-8"))["state"]["micro_batch"]
            return None if size is None else int(size)
    return None


def open_stored(path: Path, *, trained: Sequence[TrainedTensor], digests: bool = False) -> Stored:
    """Open one checkpoint; raise an error of ``_NOT_WHOLE`` where it is not whole, exit code 2 where foreign."""
    raw = json.loads((path / STATE_NAME).read_text(encoding="utf-8"))
    if raw["schema_version"] != SCHEMA:
        raise ValueError(f"schema {raw['schema_version']}, this version reads {SCHEMA}")
    if raw.pop("sha256") != hash_json(raw):
        raise ValueError(f"{STATE_NAME} does not match its digest")
    if raw["identity"] != begun_identity(path.parent.parent):
        raise RedwhaleError(
            "the checkpoint is of another stage, or was made from other settings or inputs", where=str(path),
            fix="remove it, or make the stage again with --fresh", exit_code=USAGE,
        )  # fmt: skip
    records: dict[str, dict[str, Any]] = raw["files"]
    if outside := [name for name in records if Path(name).name != name]:
        raise ValueError(f"a file outside the checkpoint: {outside[0]}")
    found = hash_files(path / name for name in records) if digests else [one["sha256"] for one in records.values()]
    if flawed := [name for name, digest in zip(records, found, strict=True) if records[name]["sha256"] != digest]:
        raise ValueError(f"{flawed[0]} does not match its digest")
    for name in records:
        _check_header(path / name)
    files = {tensor: name for name, record in records.items() for tensor in record["tensors"]}
    if missing := [tensor.name for tensor in trained if tensor.name not in files]:
        raise ValueError(f"{missing[0]} is not in it")
    return Stored(path, StageState(**raw["state"]), files)


def _check_header(path: Path) -> None:
    """Raise where a file is not as long as its own header has it, as on a disk that has lost what it took."""
    try:
        with safe_open(path, framework="pt"):
            pass
    except SafetensorError as error:
        raise ValueError(f"{path.name}: {error}") from error


@torch.no_grad()
def load_masters(trained: Sequence[TrainedTensor], tensors: Callable[[str], Mapping[str, Tensor]]) -> None:
    """Put the masters into the model, before an engine takes it over."""
    for tensor in trained:
        tensor.parameter.copy_(tensors(tensor.name)["master"])
