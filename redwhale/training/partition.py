"""What a stage trains: tensors selected by name, shown before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from redwhale.core.console import Console
from redwhale.core.errors import FAILED, USAGE, RedwhaleError
from redwhale.core.recipe.stages import LAYER_SHARE, LAYER_WORDS, Part, Stage, Train
from redwhale.training.model import Prepared, decoder_layers

FINAL_NORM_NAMES = ("norm", "final_layernorm", "final_layer_norm", "ln_f", "model_norm")
_WHERE = "pretrain.stages.train"


@dataclass(frozen=True)
class TrainedTensor:
    """One trainable Parameter under its name in the Hugging Face model; ``size`` is its number of elements.

    ``part`` is the recipe's word for what it belongs to, ``learning_rate`` its peak.
    """

    name: str
    part: Part
    group: str
    parameter: nn.Parameter
    size: int
    decays: bool
    learning_rate: float


def chosen_layers(layers: str | list[int], count: int, *, added: Sequence[int] = ()) -> list[int]:
    """Return the layer numbers, from 0, that the recipe's word or list means in a model of ``count`` layers.

    Raises exit code 2 for a layer that does not exist, and for words that mean no layer or, without saying
    so, all of them.
    """
    if isinstance(layers, list):
        chosen = layers
    else:
        share = LAYER_SHARE.fullmatch(layers)
        chosen = _layers_of(share["layers"] if share else layers, count, added)
        if share:
            number, of = int(share["number"]), int(share["of"])
            chosen = chosen[len(chosen) * (number - 1) // of : len(chosen) * number // of]
    if missing := [number for number in chosen if number >= count]:
        raise _unfit(
            f"layer {missing[0]} does not exist: the model has {count}, numbered from 0",
            f"use numbers up to {count - 1}",
        )
    if not chosen and layers != "none":
        raise _unfit(f"`{layers}` means no layer of this model, which has {count}", "name layers that it has")
    return chosen


def _layers_of(word: str, count: int, added: Sequence[int]) -> list[int]:
    found = LAYER_WORDS.fullmatch(word)
    assert found is not None, word  # the recipe refuses other words
    if found["end"]:
        ends = int(found["count"])
        if ends * (1 + (found["end"] == "first-last")) >= count:
            raise _unfit(f"`{word}` means all {count} layers of this model", "say `all` where you mean that")
        first, last = list(range(ends)), list(range(count - ends, count))
        return {"first": first, "last": last, "first-last": first + last}[found["end"]]
    if found["step"]:
        return list(range(int(found["start"]), count, int(found["step"])))
    if word == "added" and not added:
        raise _unfit("no layers were added to this model", "set `init.add_layers`, or name other layers")
    every = {"none": range(0), "all": range(count), "odd": range(1, count, 2), "even": range(0, count, 2)}
    return sorted(added) if word == "added" else list(every[word])


def _unfit(what: str, fix: str) -> RedwhaleError:
    return RedwhaleError(what, where=f"{_WHERE}.layers", fix=fix, exit_code=USAGE)


def select(prepared: Prepared, stage: Stage) -> list[TrainedTensor]:
    """Mark what the stage trains as trainable and return it in the model's order.

    Decay is for matrices of the layers only: never embeddings, head rows, norms, biases or adapters.
    Raises exit code 2 where nothing or a layer that does not exist is selected.
    """
    model = prepared.model
    groups: dict[str, tuple[Part, str]] = {}
    for name, part, group in _named_groups(prepared, stage.train):
        groups.setdefault(name, (part, group))  # a norm of a trained layer belongs to the layer
    trained = []
    for name, parameter in model.named_parameters():
        if name not in groups:
            continue
        part, group = groups[name]
        parameter.requires_grad_(True)
        decays = part == "layers" and parameter.ndim >= 2
        rate = stage.learning_rates.get(part, stage.learning_rate)
        trained.append(TrainedTensor(name, part, group, parameter, parameter.numel(), decays, rate))
    if not trained:
        raise RedwhaleError(
            "the stage selects no tensor of this model", where=_WHERE, fix="name a part that the model has",
            exit_code=USAGE,
        )  # fmt: skip
    lost = groups.keys() - {tensor.name for tensor in trained}
    if lost:
        raise RedwhaleError(
            f"selected tensors are not in the model: {', '.join(sorted(lost))}", where=_WHERE,
            fix="this is a fault of redwhale; please report it with the model's config.json", exit_code=FAILED,
        )  # fmt: skip
    return trained


def _named_groups(prepared: Prepared, train: Train) -> Iterator[tuple[str, Part, str]]:
    """Yield name, part and group of every selected tensor; a tied head goes by the embedding's name."""
    model, module = prepared.model, prepared.module
    block = {"new": "new", "all": "weight"}
    if train.embedding != "none":
        group = f"{train.embedding} rows of " + ("embedding and head" if module.layout.tied else "embedding")
        yield f"{module.embedding_name}.{block[train.embedding]}", "embedding", group
    if train.head != "none" and not module.layout.tied:
        yield f"{module.head_name}.{block[train.head]}", "head", f"{train.head} rows of head"
    prefix, layers = decoder_layers(model)
    for number in chosen_layers(train.layers, len(layers), added=prepared.added_layers):
        for name, _ in layers[number].named_parameters():
            yield f"{prefix}.{number}.{name}", "layers", "layers"
    if train.norms != "none":
        yield from ((name, "norms", "final norm") for name in _final_norm(model, prefix))
    if train.norms == "all":
        for number, layer in enumerate(layers):
            for name, parameter in layer.named_parameters():
                if parameter.ndim == 1 and "norm" in name.rpartition(".")[0].rpartition(".")[2].replace("ln_", "norm"):
                    yield f"{prefix}.{number}.{name}", "norms", "norms of layers"
    if train.lora:
        for name, _ in model.named_parameters():
            if ".lora_A." in name or ".lora_B." in name:
                yield name, "lora", "adapters"


def _final_norm(model: Any, layers: str) -> list[str]:
    """Return the names of the tensors of the norm after the layers, a sibling of their list."""
    parent = layers.rpartition(".")[0]
    for norm in FINAL_NORM_NAMES:
        start = f"{parent}.{norm}." if parent else f"{norm}."
        if found := [name for name, _ in model.named_parameters() if name.startswith(start)]:
            return found
    raise RedwhaleError(
        "the model has no final norm under a known name", where=f"{_WHERE}.norms", fix="set `norms: none`",
        exit_code=USAGE,
    )  # fmt: skip


@dataclass(frozen=True)
class TableRow:
    """One line of the table of what trains; ``learning_rate`` is the peak."""

    what: str
    tensors: int
    parameters: int
    learning_rate: float | None
    decay: float | None


def table(trained: Sequence[TrainedTensor], prepared: Prepared, *, stage: Stage, decay: float) -> list[TableRow]:
    """Return what trains, by group, learning rate and decay, and what stays frozen."""
    sizes: dict[tuple[str, float, float], list[int]] = {}
    for tensor in trained:
        what = tensor.group
        if tensor.part == "layers":
            what = f"layers {stage.train.layers} ({'matrices' if tensor.decays else 'norms, biases'})"
        sizes.setdefault((what, tensor.learning_rate, decay if tensor.decays else 0.0), []).append(tensor.size)
    names = {tensor.name for tensor in trained}
    frozen = [parameter.numel() for name, parameter in prepared.model.named_parameters() if name not in names]
    return [
        *(TableRow(what, len(group), sum(group), rate, own) for (what, rate, own), group in sizes.items()),
        TableRow("frozen", len(frozen), sum(frozen), None, None),
    ]


def show(rows: Sequence[TableRow], *, name: str, console: Console) -> None:
    """Print the table of what trains and what stays frozen."""
    console.note_table(
        f"stage {name}: what trains", ("group", "tensors", "parameters", "learning rate", "decay"),
        [(row.what, row.tensors, f"{row.parameters:,}", _shown(row.learning_rate), _shown(row.decay)) for row in rows],
    )  # fmt: skip


def _shown(number: float | None) -> str:
    return "-" if number is None else f"{number:g}"
