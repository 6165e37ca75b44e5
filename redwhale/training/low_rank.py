"""A frozen linear map with a low-rank term, ``x W^T + b + s (x A^T) B^T``, as one operation.

Made of plain operations, the term passes memory four times: a product as large as the output, its scaling, its
addition, and in the backward pass the sum of two gradients of x. Beside a product of rank 16 that costs more than the
product. Here the matrix products add to what is there. The forward pass is an operator of its own, so that selective
recomputation can keep its result: of the products inside, the second changes what the first has made.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_LIBRARY = torch.library.Library("redwhale", "DEF")
_LIBRARY.define(
    "low_rank_linear(Tensor x, Tensor weight, Tensor? bias, Tensor a, Tensor b, float scale) -> (Tensor, Tensor)"
)
LOW_RANK_LINEAR: Any = torch.ops.redwhale.low_rank_linear.default


@torch.library.impl(_LIBRARY, "low_rank_linear", "CompositeExplicitAutograd")
def _forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float
) -> tuple[Tensor, Tensor]:  # fmt: skip
    inner = torch.mm(x, a.t()).mul_(scale)
    result = torch.mm(x, weight.t()) if bias is None else torch.addmm(bias, x, weight.t())
    return result.addmm_(inner, b.t()), inner


@torch.library.register_fake("redwhale::low_rank_linear", lib=_LIBRARY)
def _shapes(
    x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float
) -> tuple[Tensor, Tensor]:  # fmt: skip
    return x.new_empty(x.shape[0], weight.shape[0]), x.new_empty(x.shape[0], a.shape[0])


class _LowRankLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float
    ) -> Tensor:  # fmt: skip
        result, inner = LOW_RANK_LINEAR(x, weight, bias, a, b, scale)
        ctx.save_for_backward(x, weight, a, b, inner)
        ctx.scale = scale
        return result

    @staticmethod
    def backward(ctx: Any, *output: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = output
        x, weight, a, b, inner = ctx.saved_tensors
        inner_gradient = torch.mm(gradient, b).mul_(ctx.scale)
        x_gradient = torch.mm(gradient, weight).addmm_(inner_gradient, a) if ctx.needs_input_grad[0] else None
        a_gradient = torch.mm(inner_gradient.t(), x)
        b_gradient = torch.mm(inner.t(), gradient).t()  # the quicker order on a CPU
        return x_gradient, None, None, a_gradient, b_gradient, None


def low_rank_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float
) -> Tensor:  # fmt: skip
    """Return ``x W^T + b + s (x A^T) B^T``, ``(N, out)``; all tensors are of one dtype.

    ``x: (N, in)``, ``weight: (out, in)`` and ``bias: (out)``, which get no gradient, ``a: (r, in)``, ``b: (out, r)``.
    """
    return _LowRankLinear.apply(x, weight, bias, a, b, scale)
