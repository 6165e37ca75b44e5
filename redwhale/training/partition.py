"""What a stage trains: tensors selected by name, shown before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from redwhale.core.console import Console
from redwhale.core.errors import FAILED, USAGE, RedwhaleError
from redwhale.core.recipe.pretrain import Stage, Train
from redwhale.training.model import Prepared, decoder_layers

FINAL_NORM_NAMES = ("norm", "final_layernorm", "final_layer_norm", "ln_f", "model_norm")


@dataclass(frozen=True)
class TrainedTensor:
    """One trainable Parameter under its name in the Hugging Face model; ``size`` is its number of elements."""

    name: str
    group: str
    parameter: nn.Parameter
    size: int
    decays: bool


def chosen_layers(layers: str | list[int], count: int) -> list[int]:
    """Return the layer numbers, from 0, that ``none``, ``all``, ``odd``, ``even`` or a list means.

    Raises exit code 2 for a layer that does not exist.
    """
    if isinstance(layers, list):
        missing = [number for number in layers if number >= count]
        if missing:
            raise RedwhaleError(
                f"layer {missing[0]} does not exist: the model has {count}, numbered from 0",
                where="pretrain.stages.train.layers", fix=f"use numbers up to {count - 1}", exit_code=USAGE,
            )  # fmt: skip
        return layers
    return list({"none": range(0), "all": range(count), "odd": range(1, count, 2), "even": range(0, count, 2)}[layers])


def select(prepared: Prepared, train: Train) -> list[TrainedTensor]:
    """Mark what ``train`` names as trainable and return it in the model's order.

    Decay is for matrices of the layers only: never embeddings, head rows, norms, biases or adapters.
    Raises exit code 2 where nothing or a layer that does not exist is selected.
    """
    model = prepared.model
    groups = dict(_named_groups(prepared, train))
    trained = []
    for name, parameter in model.named_parameters():
        if name not in groups:
            continue
        parameter.requires_grad_(True)
        decays = groups[name].startswith("layers") and parameter.ndim >= 2
        trained.append(TrainedTensor(name, groups[name], parameter, parameter.numel(), decays))
    if not trained:
        raise RedwhaleError(
            "the stage selects no tensor of this model", where="pretrain.stages.train",
            fix="name a part that the model has", exit_code=USAGE,
        )  # fmt: skip
    lost = groups.keys() - {tensor.name for tensor in trained}
    if lost:
        raise RedwhaleError(f"selected tensors are not in the model: {', '.join(sorted(lost))}", exit_code=FAILED)
    return trained


def _named_groups(prepared: Prepared, train: Train) -> Iterator[tuple[str, str]]:
    """Yield name and group of every selected tensor; a tied head goes by the embedding's name."""
    model, module = prepared.model, prepared.module
    block = {"new": "new", "all": "weight"}
    if train.embedding != "none":
        group = f"{train.embedding} rows of " + ("embedding and head" if module.layout.tied else "embedding")
        yield f"{module.embedding_name}.{block[train.embedding]}", group
    if train.head != "none" and not module.layout.tied:
        yield f"{module.head_name}.{block[train.head]}", f"{train.head} rows of head"
    prefix, layers = decoder_layers(model)
    for number in chosen_layers(train.layers, len(layers)):
        for name, _ in layers[number].named_parameters():
            yield f"{prefix}.{number}.{name}", "layers"
    if train.norm:
        yield from ((name, "final norm") for name in _final_norm(model, prefix))
    if train.lora:
        for name, _ in model.named_parameters():
            if ".lora_A." in name or ".lora_B." in name:
                yield name, "adapters"


def _final_norm(model: Any, layers: str) -> list[str]:
    """Return the names of the tensors of the norm after the layers, a sibling of their list."""
    parent = layers.rpartition(".")[0]
    for norm in FINAL_NORM_NAMES:
        start = f"{parent}.{norm}." if parent else f"{norm}."
        if found := [name for name, _ in model.named_parameters() if name.startswith(start)]:
            return found
    raise RedwhaleError(
        "the model has no final norm under a known name", where="pretrain.stages.train.norm",
        fix="set `norm: false`", exit_code=USAGE,
    )  # fmt: skip


def show(trained: list[TrainedTensor], prepared: Prepared, *, stage: Stage, decay: float, console: Console) -> None:
    """Print the table of what trains and what stays frozen."""
    rows: dict[tuple[str, float], list[int]] = {}
    for tensor in trained:
        what = f"{tensor.group} (matrices)" if tensor.decays else tensor.group
        what = f"{what} (norms, biases)" if tensor.group == "layers" and not tensor.decays else what
        what = what.replace("layers", f"layers {stage.train.layers}") if tensor.group == "layers" else what
        rows.setdefault((what, decay if tensor.decays else 0.0), []).append(tensor.size)
    names = {tensor.name for tensor in trained}
    frozen = [parameter.numel() for name, parameter in prepared.model.named_parameters() if name not in names]
    console.note_table(
        f"stage {stage.name}: what trains", ("group", "tensors", "parameters", "learning rate", "decay"),
        [(what, len(sizes), f"{sum(sizes):,}", f"{stage.learning_rate:g}", f"{rate:g}")
         for (what, rate), sizes in rows.items()]
        + [("frozen", len(frozen), f"{sum(frozen):,}", "-", "-")],
    )  # fmt: skip
