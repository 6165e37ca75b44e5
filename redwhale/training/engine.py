"""Two engines behind one small interface: plain (one process, or DDP through Accelerate) and DeepSpeed.

An engine owns precision, placement, gradient reduction and the optimizer. The loop owns the order of
things, the learning rate and the scale of the loss. Trainable tensors go by name; whatever the engine does
with them, ``master``, ``moments`` and ``restore`` speak of whole tensors in float32.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import create_selective_checkpoint_contexts

from redwhale.core.errors import FAILED, RedwhaleError, first_line
from redwhale.core.recipe.pretrain import Pretrain
from redwhale.training.batch import Batch, blank_batch
from redwhale.training.launch import World
from redwhale.training.low_rank import LOW_RANK_LINEAR
from redwhale.training.model import Prepared, decoder_layers
from redwhale.training.optimizer import (
    adam_steps_of,
    check_groups,
    make_optimizer,
    moments_of,
    optimizer_in_words,
    set_moments,
    set_rates,
)
from redwhale.training.partition import TrainedTensor

# What selective recomputation keeps: what costs most to make again.
_ATEN: Any = torch.ops.aten
_KEPT_OPERATIONS = (
    _ATEN.mm.default, _ATEN.addmm.default, _ATEN.bmm.default,
    _ATEN._scaled_dot_product_flash_attention.default,
    _ATEN._scaled_dot_product_flash_attention_for_cpu.default,
    _ATEN._scaled_dot_product_efficient_attention.default,
    _ATEN._scaled_dot_product_cudnn_attention.default,
    LOW_RANK_LINEAR,
)  # fmt: skip


@dataclass(frozen=True)
class Update:
    """What one optimizer step came to: the gradient's norm before clipping, and whether it was applied."""

    gradient_norm: float
    applied: bool


class Engine(Protocol):
    """What the loop needs; every method is collective over the processes.

    ``remarks``: what it does otherwise than asked for, and why.
    """

    name: str
    optimizer_name: str
    remarks: list[str]

    def forward(self, batch: Batch, *, scale: float, last: bool) -> Tensor:
        """Return ``scale`` times the summed loss of a micro-batch, a float32 scalar; ``last`` marks the step's last."""

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Accumulate the gradients of a loss as ``forward`` returned it, or of a NaN in its place."""

    def step(self, share: float, *, finite: bool) -> Update:
        """Clip and update at a ``share`` of each group's peak rate, or skip where loss or gradient is not finite."""

    def predict(self, input_ids: Tensor, attention_mask: Tensor, *, use_cache: bool, logits_to_keep: int = 0) -> Any:
        """Return an output with ``logits`` for measuring: no gradient, evaluation mode."""

    def master(self, name: str) -> Tensor:
        """Return a trainable tensor, whole, in float32."""

    def frozen(self, name: str) -> Tensor:
        """Return a frozen tensor, whole, in its own dtype."""

    def moments(self, name: str) -> dict[str, Tensor]:
        """Return both Adam moments of a trainable tensor, whole, in float32 (zeros before the first update).

        What an optimizer holds beside them to find its own form again comes with them.
        """

    def adam_steps(self) -> int:
        """Return how many updates Adam has applied."""

    def restore(self, state: Callable[[str], Mapping[str, Tensor]], *, adam_steps: int) -> None:
        """Set master and moments of every trainable tensor; the weights must stand in the model already."""

    def rehearse(self, rows: int, tokens: int) -> None:
        """Do a whole step on ``(rows, tokens)`` without labels at a rate of 0: all memory is used, nothing changes."""

    def close(self) -> None:
        """Give the memory of gradients and optimizer states back; the engine is not used after it."""


def make_engine(
    prepared: Prepared, trained: Sequence[TrainedTensor], *, settings: Pretrain, micro_batches: int, world: World
) -> Engine:
    """Make the engine that the recipe asks for and assert that it is the one."""
    recompute_activations(prepared.model, settings.recompute)
    if settings.compile == "layers":
        for layer in decoder_layers(prepared.model)[1]:
            layer.compile()
    if settings.deepspeed is None or settings.deepspeed.zero == 0:
        return PlainEngine(prepared, trained, settings=settings, world=world)
    from redwhale.training.deepspeed_engine import DeepSpeedEngine

    return DeepSpeedEngine(prepared, trained, settings=settings, micro_batches=micro_batches, world=world)


@contextlib.contextmanager
def explain_compiler(settings: Pretrain) -> Iterator[None]:
    """Turn a failure to compile the layers, which comes with their first pass, into an error that says the way out."""
    if settings.compile == "none":
        yield
        return
    from torch._dynamo.exc import TorchDynamoException

    try:
        yield
    except TorchDynamoException as error:
        reason = first_line(error)
        raise RedwhaleError(
            f"the layers cannot be compiled ({reason})", where="pretrain.compile", exit_code=FAILED,
            fix="set `compile: none`; the same command then goes on from the last checkpoint",
        ) from error  # fmt: skip


def recompute_activations(model: Any, how: str) -> None:
    """Switch recomputation on: ``full`` keeps the layers' inputs alone, ``selective`` matrix products as well."""
    if how == "none":
        return
    options: dict[str, Any] = {"use_reentrant": False}  # reentrant gives no gradient above frozen embeddings
    if how == "selective":
        options["context_fn"] = partial(create_selective_checkpoint_contexts, list(_KEPT_OPERATIONS))
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)


def compute_dtype(precision: str) -> torch.dtype:
    """Return the dtype of forward and backward passes."""
    return torch.bfloat16 if precision == "bf16" else torch.float32


class PlainEngine:
    """One process, or DDP where there are several; trainable tensors in float32, frozen ones as computed in."""

    def __init__(
        self, prepared: Prepared, trained: Sequence[TrainedTensor], *, settings: Pretrain, world: World
    ) -> None:
        from accelerate import Accelerator

        self.world, self.settings = world, settings
        self.dtype = compute_dtype(settings.precision)
        self.parameters: dict[str, nn.Parameter] = dict(prepared.model.named_parameters())
        self.trained = {tensor.name: tensor.parameter for tensor in trained}
        for name, parameter in self.parameters.items():
            parameter.data = parameter.data.to(world.device, torch.float32 if name in self.trained else self.dtype)
        self.accelerator = Accelerator(cpu=world.device.type == "cpu", mixed_precision="no")
        self.bare = prepared.module.to(world.device)
        self.optimizer = make_optimizer(trained, settings)
        self.module: nn.Module = self.accelerator.prepare_model(self.bare) if world.size > 1 else self.bare
        head: Any = prepared.model.get_submodule(prepared.module.head_name)
        head.accumulates = world.size == 1  # DDP takes gradients away one by one
        several = isinstance(self.module, nn.parallel.DistributedDataParallel)
        if self.accelerator.num_processes != world.size or several != (world.size > 1):
            raise RedwhaleError(
                f"asked for {world.size} processes, got {self.accelerator.num_processes} "
                f"({self.accelerator.distributed_type})", where="machine.devices",
                fix="see what your launcher sets (WORLD_SIZE, RANK), or let `redwhale pretrain` start the processes",
                exit_code=FAILED,
            )  # fmt: skip
        check_groups(self.optimizer, trained, settings)
        self.name = "plain" if not several else f"DDP over {world.size} processes (Accelerate)"
        self.optimizer_name = optimizer_in_words(self.optimizer)
        self.remarks: list[str] = []
        self.module.train()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.world.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def _exchanging(self, last: bool) -> contextlib.AbstractContextManager[None]:
        """Let processes exchange gradients at the last micro-batch only; DDP decides that in the forward pass."""
        return contextlib.nullcontext() if last else self.accelerator.no_sync(self.module)

    def forward(self, batch: Batch, *, scale: float, last: bool) -> Tensor:
        """Return ``scale`` times the summed loss of a micro-batch, a float32 scalar."""
        with self._exchanging(last), self._autocast():
            return self.module(
                batch.input_ids, labels=batch.labels, positions=batch.positions, documents=batch.documents, scale=scale
            )

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Accumulate gradients."""
        with self._exchanging(last):
            self.accelerator.backward(loss)

    def step(self, share: float, *, finite: bool) -> Update:
        """Clip and update, or drop the gradients where loss or gradient is not finite."""
        norm = nn.utils.clip_grad_norm_(self.trained.values(), self.settings.clip_norm)
        applied = finite and bool(torch.isfinite(norm))
        if applied:
            set_rates(self.optimizer, share)
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return Update(float(norm), applied)

    def predict(self, input_ids: Tensor, attention_mask: Tensor, *, use_cache: bool, logits_to_keep: int = 0) -> Any:
        """Return an output with ``logits`` for measuring: no gradient, evaluation mode."""
        with evaluating(self.bare), self._autocast():
            return self.bare(input_ids, attention_mask=attention_mask, logits_to_keep=logits_to_keep)

    def master(self, name: str) -> Tensor:
        """Return a trainable tensor in float32."""
        return self.trained[name].detach()

    def frozen(self, name: str) -> Tensor:
        """Return a frozen tensor in its own dtype."""
        return self.parameters[name].detach()

    def moments(self, name: str) -> dict[str, Tensor]:
        """Return both Adam moments of a trainable tensor."""
        return moments_of(self.optimizer, self.trained[name])

    def adam_steps(self) -> int:
        """Return how many updates Adam has applied."""
        return adam_steps_of(self.optimizer)

    @torch.no_grad()
    def restore(self, state: Callable[[str], Mapping[str, Tensor]], *, adam_steps: int) -> None:
        """Set master and moments of every trainable tensor."""
        for name, parameter in self.trained.items():
            stored = state(name)
            parameter.copy_(stored["master"])
            if adam_steps:
                set_moments(self.optimizer, parameter, stored, adam_steps=adam_steps)

    def rehearse(self, rows: int, tokens: int) -> None:
        """Do a whole step without labels at a rate of 0."""
        batch = blank_batch(rows, tokens, own_documents=self.settings.documents_attend == "own")
        self.backward(self.forward(batch.to(self.world.device), scale=1.0, last=True), last=True)
        self.step(0.0, finite=True)
        self.optimizer.state.clear()

    def close(self) -> None:
        """Give the memory of gradients and optimizer states back."""
        self.optimizer.state.clear()
        release_memory()


def release_memory() -> None:
    """Collect what engines leave in reference cycles, and return it to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode without gradients, and back."""
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train()
