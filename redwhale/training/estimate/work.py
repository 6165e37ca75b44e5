"""Floating-point operations per token of a stage, and what they come to in time.

A matrix of N weights takes 2N operations a token forward, 2N for the gradient of its input, 2N for its own
(Kaplan et al., arXiv 2001.08361). Frozen weights need no gradient of their own, and layers below the lowest
trained one none at all. Attention over an average of T/2 earlier tokens takes 2 T w forward for width w, and
twice that backward.
"""

from __future__ import annotations

from dataclasses import dataclass

from redwhale.training.estimate.shape import StageShape


@dataclass(frozen=True)
class Work:
    """Operations per token: of the model (for MFU), and those done again to save memory (HFU counts both)."""

    model_flops: float
    recomputed_flops: float

    @property
    def hardware_flops(self) -> float:
        """Return all operations that the hardware does."""
        return self.model_flops + self.recomputed_flops


def work_of(shape: StageShape, *, sequence_length: int, recompute: str) -> Work:
    """Return the operations per token of a stage; ``recompute`` is the recipe's word."""
    attention = 2.0 * sequence_length * shape.attention_width
    layer_forward = 2.0 * shape.layer_matrix + attention
    adapters = 2.0 * shape.adapters
    forward = shape.layers * layer_forward + adapters + 2.0 * shape.head
    above = shape.gradient_layers
    reaches_hidden = above > 0 or shape.trained_embedding > 0
    input_gradients = (
        above * (2.0 * shape.layer_matrix + 2.0 * attention) + adapters + 2.0 * shape.head * reaches_hidden
    )
    weight_gradients = 2.0 * (shape.trained_layer_matrix + shape.trained_head)
    again = {"none": 0.0, "selective": 0.0, "full": above * layer_forward + adapters}[recompute]
    return Work(forward + input_gradients + weight_gradients, again)
