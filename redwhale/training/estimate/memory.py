"""Bytes that a stage takes on each device, in main memory and on disk.

What is held all the time (weights, gradients, optimizer states) follows from the engine; activations are what
the layers of today's transformers keep for the backward pass in bf16, counted tensor by tensor (the tests
compare them with what autograd really saves).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from redwhale.core.recipe.pretrain import Pretrain
from redwhale.training.estimate.shape import StageShape
from redwhale.training.loss import positions_at_once

ADAM_BYTES = 12
"""Master and two moments in float32, per trained weight."""
MOMENTS_BYTES = {"adamw": 8.0, "adamw-8bit": 2 + 8 / 256}
"""Two moments per trained weight: float32, or a byte each and a float32 scale for every 256."""
BUCKET_ELEMENTS = 50_000_000
LIVE_ELEMENTS = 1_000_000_000
"""Most weights that ZeRO-3 keeps gathered (DeepSpeed's default of ``stage3_max_live_parameters``)."""


@dataclass(frozen=True)
class Memory:
    """Bytes by category; ``step`` is what the embedding's gradient or the update needs, activations and logits gone.

    ``host``: main memory of one device's process, ``disk``: checkpoints and result of the stage.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    buffers: int
    step: int
    host: int
    disk: int

    @property
    def peak(self) -> int:
        """Return the most that a device holds at once: in the backward pass or in the update."""
        held = self.weights + self.gradients + self.optimizer + self.buffers
        return held + max(self.activations + self.logits, self.step)

    def as_dict(self) -> dict[str, int]:
        """Return every category and the peak."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"peak": self.peak}


def memory_of(shape: StageShape, settings: Pretrain, *, devices: int) -> Memory:
    """Return the bytes of a stage on each of ``devices`` devices."""
    low = 2 if settings.precision == "bf16" else 4
    zero = settings.deepspeed.zero if settings.deepspeed else 0
    assert settings.micro_batch != "auto", "the plan resolves it first"
    positions = settings.micro_batch * settings.sequence_length
    held = _held_by_zero if zero else _held_plain
    weights, gradients, optimizer, buffers, step, host = held(shape, settings, low=low, devices=devices)
    pairs = settings.micro_batch * settings.sequence_length**2 if settings.documents_attend == "own" else 0
    return Memory(
        weights=weights, gradients=gradients, optimizer=optimizer,
        activations=_activations(shape, settings, positions=positions, low=low),
        logits=_logits(shape, positions=positions, low=low, plain=not zero, devices=devices),
        buffers=buffers + (low + 2) * pairs, step=max(step, (low if zero else 4) * shape.trained_embedding),
        host=host + shape.elements * shape.stored_bytes,
        disk=shape.trained * ADAM_BYTES * (settings.checkpoints.keep + 1) + shape.elements * shape.stored_bytes,
    )  # fmt: skip


def _held_plain(shape: StageShape, settings: Pretrain, *, low: int, devices: int) -> tuple[int, ...]:
    """Return weights, gradients, optimizer, buffers, step, host: trained weights are float32, frozen ones low."""
    frozen = shape.elements - shape.trained
    cast = low * shape.trained if low < 4 else 0  # autocast keeps the low copies until the pass ends
    buckets = 4 * shape.trained if devices > 1 else 0  # DDP's own copy of the gradients
    moments = round(MOMENTS_BYTES[settings.optimizer] * shape.trained)
    return low * frozen + 4 * shape.trained, 4 * shape.trained, moments, cast + buckets, 0, 0


def _held_by_zero(shape: StageShape, settings: Pretrain, *, low: int, devices: int) -> tuple[int, ...]:
    """Return weights, gradients, optimizer, buffers, step, host under ZeRO.

    Gradients are summed in float32: whole in ZeRO-1, the device's share above. The update makes one flat
    float32 copy of the share. Offloaded states and sums lie in main memory.
    """
    assert settings.deepspeed is not None
    zero, offload = settings.deepspeed.zero, settings.deepspeed.offload
    share = -(-shape.trained // devices)
    sums = 4 * (shape.trained if zero == 1 else share)
    states, gathered = ADAM_BYTES * share, 0
    weights = low * shape.elements
    if zero == 3:
        gathered = low * min(shape.elements, LIVE_ELEMENTS)
        weights = 0 if offload == "all" else -(-weights // devices)
    buckets = 2 * (4 + low) * min(BUCKET_ELEMENTS, shape.trained)
    if offload == "none":
        return weights, sums, states, buckets + gathered, 4 * share, 0
    kept = low * -(-shape.elements // devices) if offload == "all" else 0
    return weights, 0, 0, buckets + gathered, low * min(BUCKET_ELEMENTS, shape.trained), states + 4 * share + kept


def layer_bytes_per_token(shape: StageShape, *, low: int, trained: bool, inputs: bool) -> int:
    """Return what one layer keeps for its backward pass, per token.

    Norms keep their input in float32; attention its queries, repeated keys and
    values, and its output; the gated map its gate, its activation and its other factor. Trained matrices, those with
    adapters and all under ZeRO-3 keep their ``inputs``, trained norms their factors.
    """
    d, a, f = shape.hidden, shape.attention_width, shape.intermediate
    kept = 2 * 4 * d + low * (4 * a + 3 * f)
    if trained or inputs:
        kept += low * (2 * d + f)
    if trained:
        kept += low * 2 * d
    return kept


def _activations(shape: StageShape, settings: Pretrain, *, positions: int, low: int) -> int:
    above = shape.gradient_layers
    if not above:
        return 0
    sharded = settings.deepspeed is not None and settings.deepspeed.zero == 3
    whole = positions * layer_bytes_per_token(
        shape, low=low, trained=shape.trained_layer_matrix > shape.adapters, inputs=bool(shape.adapters) or sharded
    )
    border = positions * shape.hidden * low
    if settings.recompute == "full":
        return above * border + 2 * whole  # of one layer, and the gradients that flow through it
    if settings.recompute == "selective":
        outputs = 2 * shape.attention_width + 2 * shape.key_value_width + 2 * shape.intermediate + 2 * shape.hidden
        return above * (border + positions * low * outputs) + 2 * whole
    return above * whole + whole


def _logits(shape: StageShape, *, positions: int, low: int, plain: bool, devices: int) -> int:
    """Return what the loss takes: a chunk of logits in float32 and low, its gradients, the head's copy.

    One process of the plain engine adds the head's gradient to the one that is held.
    """
    chunk = min(positions_at_once(shape.rows, shape.hidden), positions)
    hidden = 2 * positions * shape.hidden * low
    head_gradient = (0 if plain and devices == 1 else 4 if plain else 4 + low) * shape.trained_head
    copy = low * shape.trained_head if plain and low < 4 else 0
    return chunk * shape.rows * (4 if low == 4 else 4 + 2 * low) + hidden + head_gradient + copy
