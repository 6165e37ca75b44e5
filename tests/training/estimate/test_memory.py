"""Memory as planned against what autograd saves and what engines hold; work against a count by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from redwhale.core.recipe.pretrain import Pretrain
from redwhale.core.recipe.recipe import Recipe
from redwhale.core.recipe.stages import Lora
from redwhale.training.adapters import add_adapters
from redwhale.training.attention import own_document_mask
from redwhale.training.engine import recompute_activations
from redwhale.training.estimate.memory import layer_bytes_per_token, memory_of
from redwhale.training.estimate.shape import ShapeReader, StageShape
from redwhale.training.estimate.work import work_of
from tests.training.estimate.configs import write_config

TOKENS = 256


def shape_of(folder: Path, train: Any, **init: Any) -> StageShape:
    write_config(folder)
    stage = {"name": "a", "train": train, "tokens": 1000, "learning_rate": 1e-3}
    recipe = Recipe.model_validate({
        "version": 1, "workdir": str(folder / "run"), "base": {"model": str(folder)}, "init": init,
        "tokenizer": {"new_tokens": 100}, "pretrain": {"sequence_length": 32, "stages": [stage]},
    })  # fmt: skip
    return ShapeReader(recipe).read(0)


def saved_bytes(folder: Path, *, layers: int, train: str, how: str = "none") -> int:
    """Return the bytes that autograd keeps in a forward pass, weights not counted."""
    from transformers import AutoConfig, AutoModelForCausalLM

    write_config(folder, num_hidden_layers=layers)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).to(torch.bfloat16)
    model.requires_grad_(False)
    if train == "layers":
        model.model.layers.requires_grad_(True)
    if train == "lora":
        add_adapters(model, "model.layers", Lora(rank=2), seed=0)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(".lora_" in name)
        model.to(torch.bfloat16)
    recompute_activations(model.train(), how)
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    hidden = torch.randn(1, TOKENS, 64, dtype=torch.bfloat16, requires_grad=True)
    documents = (torch.arange(TOKENS) > 99).int().unsqueeze(0)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.model(
            inputs_embeds=hidden, attention_mask=own_document_mask(documents, dtype=hidden.dtype), use_cache=False
        )
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("train", ["none", "layers", "lora"])
def test_a_layer_keeps_what_was_counted(tmp_path: Path, train: str) -> None:
    words = {"none": {"embedding": "all"}, "layers": {"layers": "all"}, "lora": {"lora": {"rank": 2}}}
    shape = shape_of(tmp_path, words[train])
    counted = layer_bytes_per_token(shape, low=2, trained=train == "layers", inputs=train == "lora")
    two, four = (saved_bytes(tmp_path, layers=layers, train=train) for layers in (2, 4))
    assert (four - two) / 2 / TOKENS == pytest.approx(counted, rel=0.03)


def test_recomputation_keeps_the_input_of_each_layer(tmp_path: Path) -> None:
    two, four = (saved_bytes(tmp_path, layers=layers, train="layers", how="full") for layers in (2, 4))
    assert (four - two) / 2 / TOKENS == 2 * 64


def memory(shape: StageShape, *, devices: int = 1, **settings: Any) -> Any:
    stage = {"name": "a", "train": {"layers": "all"}, "tokens": 1, "learning_rate": 1e-3}
    section = Pretrain.model_validate({"sequence_length": 32, "stages": [stage]} | settings)
    return memory_of(shape, section, devices=devices)


def test_what_engines_hold_by_hand(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, {"layers": "odd"})
    trained, frozen = shape.trained, shape.elements - shape.trained
    plain = memory(shape, deepspeed=None)
    assert (plain.weights, plain.gradients, plain.optimizer) == (2 * frozen + 4 * trained, 4 * trained, 8 * trained)
    full = memory(shape, deepspeed=None, precision="fp32")
    assert full.weights == 4 * shape.elements
    zero = memory(shape, deepspeed={"zero": 2}, devices=2)
    assert (zero.weights, zero.gradients, zero.optimizer) == (2 * shape.elements, 2 * trained, 6 * trained)
    away = memory(shape, deepspeed={"zero": 2, "offload": "optimizer"})
    assert (away.gradients, away.optimizer) == (0, 0)
    assert away.host == 16 * trained + shape.elements * shape.stored_bytes
    assert memory(shape, deepspeed={"zero": 3}, devices=4).weights == -(-2 * shape.elements // 4)
    assert memory(shape, deepspeed={"zero": 3, "offload": "all"}).weights == 0


def test_the_heads_gradient_exists_once_in_a_process_of_its_own(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, {"embedding": "all", "head": "all"})
    matrix = 448 * 64  # 400 rows, padded
    assert shape.trained_head == shape.trained_embedding == matrix
    one, two = memory(shape, deepspeed=None), memory(shape, deepspeed=None, devices=2)
    assert two.logits - one.logits == 4 * matrix
    assert one.step == two.step == 4 * matrix  # a lookup's gradient is as large as the embedding
    assert memory(shape_of(tmp_path, {"layers": "all"}), deepspeed=None).step == 0


def test_recomputation_and_micro_batch_are_worth_something(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, {"layers": "all"})
    kept = [memory(shape, recompute=how).activations for how in ("none", "selective", "full")]
    assert kept == sorted(kept, reverse=True) and kept[0] > 2 * kept[2]
    assert memory(shape, micro_batch=4).activations == 4 * memory(shape).activations
    assert memory(shape_of(tmp_path, {"head": "all"})).activations == 0  # no gradient below the head


def test_trained_elements_rows_and_lowest_layer(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, {"layers": "last:1"}, pad_rows_to=64)
    assert (shape.layers, shape.first_gradient_layer, shape.rows) == (4, 3, 448)  # 300 + 100, padded
    assert shape.layer_matrix == 64 * (64 + 32 + 32 + 64) + 3 * 64 * 160
    assert shape.trained == shape.layer_matrix + 2 * 64
    rows = shape_of(tmp_path, {"embedding": "new", "head": "new"})
    assert rows.trained == rows.trained_embedding + rows.trained_head == 2 * 100 * 64
    added = shape_of(tmp_path, {"layers": "added"}, add_layers={"count": 2, "how": "identity"})
    assert added.layers == 6 and added.trained == 2 * (added.layer_matrix + 2 * 64)


def test_operations_by_hand(tmp_path: Path) -> None:
    attention = 2 * 32 * 64
    for train, inputs, own, first in (
        ({"embedding": "all", "head": "all"}, 4, 0, 0),
        ({"layers": "odd"}, 3, 2, 1),
        ({"layers": "last:1"}, 1, 1, 3),
    ):
        shape = shape_of(tmp_path, train)
        layer, head = 2 * shape.layer_matrix, 2 * shape.head
        work = work_of(shape, sequence_length=32, recompute="full")
        forward = 4 * (layer + attention) + head
        backward = inputs * (layer + 2 * attention) + head + own * layer + (head if "head" in train else 0)
        assert shape.first_gradient_layer == first
        assert work.model_flops == forward + backward
        assert work.recomputed_flops == inputs * (layer + attention)
