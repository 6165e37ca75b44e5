"""The chunked loss against the obvious one: value, gradients, ignored labels, split heads, low precision."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from redwhale.training.loss import FEWEST_POSITIONS, positions_at_once, summed_cross_entropy


def naive(hidden: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """All logits at once."""
    return functional.cross_entropy((hidden @ weight.t()).float(), labels, ignore_index=-100, reduction="sum")


def make(positions: int, vocabulary: int, width: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    hidden = torch.randn(positions, width, requires_grad=True)
    weight = torch.randn(vocabulary, width, requires_grad=True)
    labels = torch.randint(0, vocabulary, (positions,))
    labels[::3] = -100
    return hidden, labels, weight


def test_by_hand() -> None:
    hidden = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    weight = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]])
    # Position 0 has logits 0 and ln 3, so probabilities 1/4 and 3/4; position 1 has 1/2 and 1/2.
    assert float(summed_cross_entropy(hidden, torch.tensor([1, 0]), [weight])) == pytest.approx(math.log(8 / 3))
    assert float(summed_cross_entropy(hidden, torch.tensor([-100, 0]), [weight])) == pytest.approx(math.log(2))


@pytest.mark.parametrize("cuts", [(11,), (7, 4), (5, 4, 2)])
@pytest.mark.parametrize("chunk", [1, 4, 13, 100])
def test_value_and_gradients_are_the_naive_ones(cuts: tuple[int, ...], chunk: int) -> None:
    hidden, labels, weight = make(13, 11)
    expected = naive(hidden, labels, weight) * 0.3
    gradients = torch.autograd.grad(expected, [hidden, weight])
    blocks = [block.detach().requires_grad_() for block in weight.split(cuts)]
    loss = summed_cross_entropy(hidden, labels, blocks, chunk_positions=chunk) * 0.3
    found = torch.autograd.grad(loss, [hidden, *blocks])
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(found[0], gradients[0])
    torch.testing.assert_close(torch.cat(found[1:]), gradients[1])


def test_only_what_trains_gets_a_gradient() -> None:
    hidden, labels, weight = make(9, 10)
    old, new = weight.detach()[:6], weight.detach()[6:].requires_grad_()
    summed_cross_entropy(hidden.detach(), labels, [old, new]).backward()
    expected = torch.autograd.grad(naive(hidden, labels, weight), weight)[0]
    torch.testing.assert_close(new.grad, expected[6:])
    assert old.grad is None


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_a_factor_scales_loss_and_gradients(scale: float) -> None:
    hidden, labels, weight = make(13, 11)
    expected = naive(hidden, labels, weight) * scale
    gradients = torch.autograd.grad(expected, [hidden, weight])
    loss = summed_cross_entropy(hidden, labels, [weight], scale=scale, chunk_positions=4)
    torch.testing.assert_close(loss, expected)
    for found, wanted in zip(torch.autograd.grad(loss, [hidden, weight]), gradients, strict=True):
        torch.testing.assert_close(found, wanted)


def test_gradients_add_up_in_the_one_tensor_that_holds_them() -> None:
    hidden, labels, weight = make(13, 11)
    blocks = [weight.detach()[:4], weight.detach()[4:].requires_grad_()]
    for _ in range(3):
        summed_cross_entropy(hidden, labels, blocks, scale=0.5).backward()
    expected, inputs = blocks[1].grad, hidden.grad
    blocks[1].grad = hidden.grad = None
    places = set()
    for _ in range(3):
        loss = summed_cross_entropy(hidden, labels, blocks, scale=0.5, accumulate=True)
        assert blocks[1].grad is None, "there is no second gradient at any time"
        loss.backward()
        assert blocks[1].grad is not None
        places.add(blocks[1].grad.data_ptr())
    torch.testing.assert_close(blocks[1].grad, expected)
    torch.testing.assert_close(hidden.grad, inputs)
    assert len(places) == 1 and blocks[0].grad is None


def test_a_tied_matrix_keeps_what_other_uses_add() -> None:
    hidden, labels, weight = make(13, 11)
    for accumulate in (False, True):
        matrix = weight.detach().clone().requires_grad_()
        for _ in range(2):
            (
                summed_cross_entropy(hidden, labels, [matrix], accumulate=accumulate) + matrix[:3].square().sum()
            ).backward()
        if not accumulate:
            expected = matrix.grad
    torch.testing.assert_close(matrix.grad, expected)


def test_without_autograd_only_the_logits_are_computed() -> None:
    hidden, labels, weight = make(64, 50)

    def products(run: Callable[[], Tensor]) -> int:
        with profile(activities=[ProfilerActivity.CPU]) as trace:
            run()
        return sum(event.count for event in trace.key_averages() if event.key in ("aten::mm", "aten::addmm_"))

    with torch.no_grad():
        torch.testing.assert_close(summed_cross_entropy(hidden, labels, [weight]), naive(hidden, labels, weight))
        assert products(lambda: summed_cross_entropy(hidden, labels, [weight])) == 1
    assert products(lambda: summed_cross_entropy(hidden, labels, [weight])) == 3
    assert products(lambda: summed_cross_entropy(hidden, labels, [weight.detach()])) == 2


def test_no_valid_label_gives_zero_and_zero_gradients() -> None:
    hidden, labels, weight = make(5, 10)
    loss = summed_cross_entropy(hidden, torch.full_like(labels, -100), [weight])
    loss.backward()
    assert float(loss.detach()) == 0
    assert hidden.grad is not None and weight.grad is not None
    assert not hidden.grad.any() and not weight.grad.any()


def test_huge_logits_stay_finite() -> None:
    hidden, labels, weight = make(9, 10)
    loss = summed_cross_entropy(hidden * 1e4, labels, [weight])
    torch.testing.assert_close(loss, naive(hidden * 1e4, labels, weight))
    assert torch.isfinite(torch.autograd.grad(loss, weight)[0]).all()


def test_bf16_products_keep_a_float32_softmax_and_sum() -> None:
    torch.manual_seed(1)
    hidden = torch.randn(600, 32).bfloat16().requires_grad_()
    weight = (torch.randn(500, 32) * 0.3).bfloat16().requires_grad_()
    labels = torch.randint(0, 500, (600,))
    loss = summed_cross_entropy(hidden, labels, [weight], chunk_positions=16)
    exact_hidden, exact_weight = hidden.detach().double().requires_grad_(), weight.detach().double().requires_grad_()
    exact = functional.cross_entropy(exact_hidden @ exact_weight.t(), labels, reduction="sum")
    assert float(loss.detach()) == pytest.approx(float(exact.detach()), rel=1e-3)
    found = torch.autograd.grad(loss, [hidden, weight])
    expected = torch.autograd.grad(exact, [exact_hidden, exact_weight])
    for made, true in zip(found, expected, strict=True):
        assert made.dtype == torch.bfloat16
        assert float((made.double() - true).norm() / true.norm()) < 0.01


def test_a_float32_head_under_bf16_gets_a_float32_gradient() -> None:
    hidden, labels, weight = make(9, 10)
    summed_cross_entropy(hidden.bfloat16(), labels, [weight]).backward()
    assert weight.grad is not None and weight.grad.dtype == torch.float32


def test_a_chunk_of_logits_never_outweighs_the_head_of_a_narrow_model() -> None:
    assert positions_at_once(36_000, 256) == 256
    assert positions_at_once(128_256, 4096) == 64 * 2**20 // (4 * 128_256) == 130
    assert positions_at_once(1_000_000, 4096) == FEWEST_POSITIONS == 64
    assert positions_at_once(420, 32) == 64
