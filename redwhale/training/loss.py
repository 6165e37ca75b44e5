"""Cross entropy over a large vocabulary without keeping the logits.

For logits z = h W^T and target y the loss of one position is logsumexp(z) - z_y, and its gradient with
respect to z is softmax(z) - onehot(y). Both are made in one pass over chunks of positions, in which the
gradients with respect to h and W are formed at once: logits are computed a single time and only one chunk
of them exists at any moment. The backward pass then merely hands on what is already there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

IGNORED_LABEL = -100
CHUNK_BYTES = 64 * 2**20
FEWEST_POSITIONS = 64


def positions_at_once(vocabulary: int, width: int) -> int:
    """Return how many positions' logits exist at a time: 64 MiB of them, in narrow models no more than the head takes.

    So they never outweigh the head's gradient, which has ``width`` values for each of the vocabulary.
    """
    return max(min(CHUNK_BYTES // (4 * vocabulary), width), FEWEST_POSITIONS)


def summed_cross_entropy(
    hidden: Tensor, labels: Tensor, weights: Sequence[Tensor], *, scale: float = 1.0, accumulate: bool = False,
    chunk_positions: int | None = None,
) -> Tensor:  # fmt: skip
    """Return ``scale`` times the sum of -log p(label) over positions whose label is not -100, a scalar in float32.

    ``hidden: (N, d)``; ``labels: (N,) int64``, in the numbering of all rows together; ``weights``: blocks of
    head rows ``(rows, d)``, together ``(V, d)``, never joined. Products are taken in the dtype of ``hidden``,
    softmax and loss in float32, the sum in float64. Without autograd only the loss is computed.

    ``accumulate`` adds to the gradients that float32 leaves among the weights have, instead of beside them, which
    spares one more gradient of the head: they are without one until the backward pass, which must begin with this very
    loss (gradient 1).
    """
    vocabulary = sum(weight.shape[0] for weight in weights)
    chunk = chunk_positions or positions_at_once(vocabulary, hidden.shape[-1])
    # ctx.needs_input_grad is true under no_grad as well; asking here spares measurements the gradients.
    wanted = [tensor.requires_grad and torch.is_grad_enabled() for tensor in (hidden, *weights)]
    sums: list[Tensor | None] = [None] * len(weights)
    if accumulate:
        assert all(weight.dtype == torch.float32 for weight, want in zip(weights, wanted[1:], strict=True) if want)
        sums = [weight.grad if want else None for weight, want in zip(weights, wanted[1:], strict=True)]
        for weight, want in zip(weights, wanted[1:], strict=True):
            weight.grad = None if want else weight.grad
    return _SummedCrossEntropy.apply(hidden, labels, _Course(chunk, scale, accumulate, wanted, sums), *weights)


@dataclass
class _Course:
    """How a pass goes: positions at once, factor of the loss, whose gradients are wanted, and sums to add them to."""

    chunk: int
    scale: float
    accumulate: bool
    wanted: Sequence[bool]
    sums: list[Tensor | None]


class _SummedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, labels: Tensor, course: _Course, *weights: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            total, ctx.gradients = _loss_and_gradients(hidden, labels, weights, course)
        ctx.accumulate = course.accumulate
        return total.float()

    @staticmethod
    def backward(ctx: Any, *output: Tensor) -> tuple[Tensor | None, ...]:
        hidden, *weights = ctx.gradients
        ctx.gradients = None
        if hidden is not None:
            hidden.mul_(output[0])
        if not ctx.accumulate:
            weights = [None if made is None else made.mul_(output[0]) for made in weights]
        return (hidden, None, None, *weights)


def _loss_and_gradients(
    hidden: Tensor, labels: Tensor, weights: Sequence[Tensor], course: _Course
) -> tuple[Tensor, list[Tensor | None]]:
    blocks = [weight.detach().to(hidden.dtype) for weight in weights]
    hidden_gradient = torch.empty_like(hidden) if course.wanted[0] else None
    # Sums over all positions are kept in float32 whatever the products are in.
    weight_gradients = [
        (torch.zeros(block.shape, dtype=torch.float32, device=block.device) if so_far is None else so_far)
        if want else None
        for block, want, so_far in zip(blocks, course.wanted[1:], course.sums, strict=True)
    ]  # fmt: skip
    course.sums = []  # autograd takes a gradient as it is only where nobody else holds it
    total = torch.zeros((), dtype=torch.float64, device=hidden.device)
    chunk = course.chunk
    logits = torch.empty(min(chunk, len(hidden)), sum(map(len, blocks)), dtype=hidden.dtype, device=hidden.device)
    for start in range(0, len(hidden), chunk):
        rows, targets = hidden[start : start + chunk].detach(), labels[start : start + chunk]
        loss, exponentials, inverse = _softmax_chunk(rows, targets, blocks, out=logits[: len(rows)])
        total += loss
        if any(course.wanted):
            part = hidden_gradient[start : start + chunk] if hidden_gradient is not None else None
            _add_gradients(
                rows, exponentials, inverse * course.scale, blocks=blocks, hidden_out=part,
                weights_out=weight_gradients,
            )  # fmt: skip
    return total * course.scale, [
        None if made is None else made.to(source.dtype)
        for made, source in zip([hidden_gradient, *weight_gradients], [hidden, *weights], strict=True)
    ]


def _softmax_chunk(
    rows: Tensor, targets: Tensor, blocks: Sequence[Tensor], *, out: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the chunk's loss, e^(z - max) with the target's share taken off, and 1 / sum (0 where ignored)."""
    end = 0
    for block in blocks:
        begin, end = end, end + len(block)
        torch.mm(rows, block.t(), out=out[:, begin:end])
    logits = out if out.dtype == torch.float32 else out.float()
    counted = targets != IGNORED_LABEL
    target = targets.clamp(min=0).unsqueeze(1)
    logits.sub_(logits.amax(dim=1, keepdim=True))
    target_logits = logits.gather(1, target).squeeze(1)
    sums = logits.exp_().sum(dim=1)
    losses = torch.where(counted, sums.log() - target_logits, 0)
    logits.scatter_add_(1, target, -sums.unsqueeze(1))
    return losses.sum(dtype=torch.float64), logits, torch.where(counted, 1 / sums, 0)


def _add_gradients(
    rows: Tensor, exponentials: Tensor, inverse: Tensor, *, blocks: Sequence[Tensor],
    hidden_out: Tensor | None, weights_out: Sequence[Tensor | None],
) -> None:  # fmt: skip
    """Add the chunk's gradients; the division by the sum is done on the narrow side, (c, d) and not (c, V)."""
    scaled = (rows * inverse.unsqueeze(1)).to(rows.dtype)
    low = exponentials.to(rows.dtype)
    end = 0
    for number, (block, weight_out) in enumerate(zip(blocks, weights_out, strict=True)):
        begin, end = end, end + len(block)
        share = low[:, begin:end]
        if weight_out is not None and weight_out.dtype == rows.dtype:
            weight_out.addmm_(share.t(), scaled)
        elif weight_out is not None:
            weight_out += share.t() @ scaled
        if hidden_out is not None and number == 0:
            torch.mm(share, block, out=hidden_out)
        elif hidden_out is not None:
            hidden_out.addmm_(share, block)
    if hidden_out is not None:
        hidden_out.mul_(inverse.unsqueeze(1))
