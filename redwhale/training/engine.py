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

from redwhale.core.errors import FAILED, RedwhaleError
from redwhale.core.recipe.pretrain import Pretrain
from redwhale.training.batch import Batch
from redwhale.training.launch import World
from redwhale.training.model import Prepared
from redwhale.training.partition import TrainedTensor

ADAM_EPSILON = 1e-8
# What selective recomputation keeps: what costs most to make again.
_ATEN: Any = torch.ops.aten
_KEPT_OPERATIONS = (
    _ATEN.mm.default, _ATEN.addmm.default, _ATEN.bmm.default,
    _ATEN._scaled_dot_product_flash_attention.default,
    _ATEN._scaled_dot_product_flash_attention_for_cpu.default,
    _ATEN._scaled_dot_product_efficient_attention.default,
    _ATEN._scaled_dot_product_cudnn_attention.default,
)  # fmt: skip
PEAK = "peak_learning_rate"
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Update:
    """What one optimizer step came to: the gradient's norm before clipping, and whether it was applied."""

    gradient_norm: float
    applied: bool


class Engine(Protocol):
    """What the loop needs; every method is collective over the processes."""

    name: str
    optimizer_name: str

    def forward(self, batch: Batch, *, last: bool) -> Tensor:
        """Return the summed loss of a micro-batch, a float32 scalar; ``last`` marks the last one of the step."""

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Accumulate gradients."""

    def step(self, share: float, *, finite: bool) -> Update:
        """Clip and update at a ``share`` of each group's peak rate, or skip where loss or gradient is not finite."""

    def predict(self, input_ids: Tensor, attention_mask: Tensor, *, use_cache: bool, logits_to_keep: int = 0) -> Any:
        """Return an output with ``logits`` for measuring: no gradient, evaluation mode."""

    def master(self, name: str) -> Tensor:
        """Return a trainable tensor, whole, in float32."""

    def frozen(self, name: str) -> Tensor:
        """Return a frozen tensor, whole, in its own dtype."""

    def moments(self, name: str) -> dict[str, Tensor]:
        """Return both Adam moments of a trainable tensor, whole, in float32 (zeros before the first update)."""

    def adam_steps(self) -> int:
        """Return how many updates Adam has applied."""

    def restore(self, state: Callable[[str], Mapping[str, Tensor]], *, adam_steps: int) -> None:
        """Set master and moments of every trainable tensor; the weights must stand in the model already."""

    def close(self) -> None:
        """Give the memory of gradients and optimizer states back; the engine is not used after it."""


def make_engine(
    prepared: Prepared, trained: Sequence[TrainedTensor], *, settings: Pretrain, micro_batches: int, world: World
) -> Engine:
    """Make the engine that the recipe asks for and assert that it is the one."""
    recompute_activations(prepared.model, settings.recompute)
    if settings.deepspeed is None or settings.deepspeed.zero == 0:
        return PlainEngine(prepared, trained, settings=settings, world=world)
    from redwhale.training.deepspeed_engine import DeepSpeedEngine

    return DeepSpeedEngine(prepared, trained, settings=settings, micro_batches=micro_batches, world=world)


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


def make_optimizer(trained: Sequence[TrainedTensor], settings: Pretrain) -> torch.optim.AdamW:
    """Return AdamW over one group for each peak learning rate and decay, each rate 0 as yet."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for tensor in trained:
        groups.setdefault(_group_of(tensor, settings), []).append(tensor.parameter)
    listed = [{"params": chosen, "weight_decay": decay, PEAK: peak} for (peak, decay), chosen in groups.items()]
    return torch.optim.AdamW(listed, lr=0.0, betas=settings.betas, eps=ADAM_EPSILON, fused=True)


def check_groups(optimizer: Any, trained: Sequence[TrainedTensor], settings: Pretrain) -> None:
    """Raise where an engine has lost parameter groups: peak rate and decay are what tells them apart."""
    expected = sorted({_group_of(tensor, settings) for tensor in trained})
    found = sorted({(float(group[PEAK]), float(group["weight_decay"])) for group in optimizer.param_groups})
    if expected != found:
        raise RedwhaleError(
            f"the engine has groups with (learning rate, decay) {found}, asked for {expected}", exit_code=FAILED
        )


def _group_of(tensor: TrainedTensor, settings: Pretrain) -> tuple[float, float]:
    return tensor.learning_rate, settings.weight_decay if tensor.decays else 0.0


def set_rates(optimizer: Any, share: float) -> None:
    """Set every group's learning rate to a share of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group[PEAK] * share


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
        several = isinstance(self.module, nn.parallel.DistributedDataParallel)
        if self.accelerator.num_processes != world.size or several != (world.size > 1):
            raise RedwhaleError(
                f"asked for {world.size} processes, got {self.accelerator.num_processes} "
                f"({self.accelerator.distributed_type})", exit_code=FAILED,
            )  # fmt: skip
        check_groups(self.optimizer, trained, settings)
        self.name = "plain" if not several else f"DDP over {world.size} processes (Accelerate)"
        self.optimizer_name = f"torch AdamW, {len(self.optimizer.param_groups)} groups, float32 states"
        self.module.train()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.world.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def _exchanging(self, last: bool) -> contextlib.AbstractContextManager[None]:
        """Let processes exchange gradients at the last micro-batch only; DDP decides that in the forward pass."""
        return contextlib.nullcontext() if last else self.accelerator.no_sync(self.module)

    def forward(self, batch: Batch, *, last: bool) -> Tensor:
        """Return the summed loss of a micro-batch, a float32 scalar."""
        with self._exchanging(last), self._autocast():
            return self.module(
                batch.input_ids, labels=batch.labels, positions=batch.positions, documents=batch.documents
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
        state = self.optimizer.state.get(self.trained[name], {})
        return {key: state[key] if key in state else torch.zeros_like(self.trained[name]) for key in MOMENTS}

    def adam_steps(self) -> int:
        """Return how many updates Adam has applied."""
        return max((int(state["step"]) for state in self.optimizer.state.values()), default=0)

    @torch.no_grad()
    def restore(self, state: Callable[[str], Mapping[str, Tensor]], *, adam_steps: int) -> None:
        """Set master and moments of every trainable tensor."""
        for name, parameter in self.trained.items():
            stored = state(name)
            parameter.copy_(stored["master"])
            if adam_steps:
                device = parameter.device
                self.optimizer.state[parameter] = {
                    "step": torch.tensor(float(adam_steps), device=device),
                    **{key: stored[key].to(device) for key in MOMENTS},
                }

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
