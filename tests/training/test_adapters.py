"""Adapters computed in one operation: peft's values, gradients and merged weights, and how they pass the engines."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from redwhale.core.recipe.stages import Lora
from redwhale.training.adapters import ADAPTER, AdaptedLinear, add_adapters, merge_adapters
from redwhale.training.low_rank import LOW_RANK_LINEAR, low_rank_linear

RANK, ALPHA = 3, 5


def maps(*, bias: bool, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return two linear maps in a row, with random weights."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(8, 12, bias=bias), nn.Linear(12, 6, bias=bias)).to(dtype)
    return nn.ModuleDict({"layers": layers})


def adapted(model: nn.Module, *, by_peft: bool) -> nn.Module:
    """Return a copy with the same random adapters, ours or peft's own."""
    model = copy.deepcopy(model)
    if by_peft:
        config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["layers.0", "layers.1"])
        inject_adapter_in_model(config, model, adapter_name=ADAPTER)
    else:
        add_adapters(model, "layers", Lora(rank=RANK, alpha=ALPHA), seed=1)
    generator = torch.Generator().manual_seed(2)
    for name, parameter in model.named_parameters():
        is_adapter = ".lora_" in name
        parameter.requires_grad_(is_adapter)
        if is_adapter:
            parameter.data = torch.randn(parameter.shape, generator=generator)
    return model


def run(model: Any, x: Tensor, *, autocast: bool = False) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the output and all gradients, the input's as ``x``."""
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        output = model["layers"](x)
    output.float().square().sum().backward()
    gradients = {name: p.grad for name, p in model["layers"].named_parameters() if p.grad is not None}
    assert x.grad is not None
    return output.detach(), gradients | {"x": x.grad}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("dtype", "autocast", "tolerance"),
    [(torch.float32, False, 1e-5), (torch.float32, True, 3e-2), (torch.bfloat16, True, 3e-2)],
)
def test_values_and_gradients_are_those_of_peft(
    bias: bool, dtype: torch.dtype, autocast: bool, tolerance: float
) -> None:
    base = maps(bias=bias, dtype=dtype)
    x = torch.randn(4, 5, 8, dtype=dtype)
    expected, wanted = run(adapted(base, by_peft=True), x, autocast=autocast)
    found, gradients = run(adapted(base, by_peft=False), x, autocast=autocast)
    assert found.dtype == expected.dtype and gradients.keys() == wanted.keys() and len(wanted) == 5
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()
    for name, gradient in gradients.items():
        assert gradient.dtype == wanted[name].dtype and gradient.shape == wanted[name].shape, name
        assert (gradient - wanted[name]).abs().max() <= tolerance * wanted[name].abs().max(), name


def test_double_precision_gradients_are_the_derivative() -> None:
    torch.manual_seed(0)
    x, weight, bias, a, b = (
        torch.randn(*shape, dtype=torch.float64) for shape in ((4, 5), (6, 5), (6,), (2, 5), (6, 2))
    )
    assert torch.autograd.gradcheck(
        lambda x, a, b: low_rank_linear(x, weight, bias, a, b, 0.7),
        [t.requires_grad_() for t in (x, a, b)],
    )


def test_operator_keeps_its_contract() -> None:
    x, weight, bias, a, b = (torch.randn(*shape) for shape in ((4, 5), (6, 5), (6,), (2, 5), (6, 2)))
    for given in (None, bias):
        torch.library.opcheck(LOW_RANK_LINEAR, (x, weight, given, a, b, 0.5))


def test_the_compiler_takes_it_whole() -> None:
    model = adapted(maps(bias=False), by_peft=False)
    x = torch.randn(4, 8)
    expected, wanted = run(model, x)
    for parameter in model.parameters():
        parameter.grad = None
    torch._dynamo.reset()
    layers: Any = model["layers"]  # type: ignore[index]
    compiled = torch.compile(layers, backend="aot_eager", fullgraph=True)
    found, gradients = run({"layers": compiled}, x)
    torch.testing.assert_close(found, expected)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted[name.removeprefix("_orig_mod.")])


def test_an_input_without_gradient_gets_none() -> None:
    model = adapted(maps(bias=False), by_peft=False)
    x = torch.randn(3, 8)
    model["layers"](x).sum().backward()  # type: ignore[index]
    assert x.grad is None and all(p.grad is not None for n, p in model.named_parameters() if ".lora_" in n)


def test_merging_gives_the_same_map_in_plain_modules() -> None:
    model = adapted(maps(bias=True), by_peft=False)
    assert sum(isinstance(module, AdaptedLinear) for module in model.modules()) == 2
    x = torch.randn(7, 8)
    expected = model["layers"](x)  # type: ignore[index]
    merge_adapters(model)
    assert not any(isinstance(module, LoraLayer) for module in model.modules())
    assert torch.allclose(model["layers"](x), expected, atol=1e-5)  # type: ignore[index]


def test_selective_recomputation_does_not_redo_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

    from redwhale.training.engine import _KEPT_OPERATIONS

    calls: list[Any] = []

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            calls.append(function)
            return function(*args, **(kwargs or {}))

    model: Any = adapted(maps(bias=False), by_peft=False)
    x = torch.randn(3, 8, requires_grad=True)
    with Count():
        output = checkpoint(
            lambda x: model["layers"](x).exp(), x, use_reentrant=False,
            context_fn=lambda: create_selective_checkpoint_contexts(list(_KEPT_OPERATIONS)),
        )  # fmt: skip
        output.sum().backward()
    assert calls.count(LOW_RANK_LINEAR) == 2, "once in the forward pass for each of two maps"
    assert calls.count(torch.ops.aten.exp.default) == 2, "what is not kept is done again"
