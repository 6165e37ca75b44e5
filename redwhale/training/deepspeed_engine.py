"""The DeepSpeed engine: ZeRO 1 to 3 straight through ``deepspeed.initialize``.

Not through Accelerate: on a CPU it would silently become DDP, and its ``backward`` also steps.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from redwhale.core.errors import FAILED, RedwhaleError
from redwhale.core.recipe.pretrain import Pretrain
from redwhale.training.batch import Batch, blank_batch
from redwhale.training.engine import Update, compute_dtype, evaluating, release_memory
from redwhale.training.host_adam import compile_host_adam
from redwhale.training.launch import World
from redwhale.training.model import Prepared
from redwhale.training.optimizer import (
    MOMENTS,
    adam_steps_of,
    check_groups,
    make_optimizer,
    optimizer_in_words,
    set_rates,
)
from redwhale.training.partition import TrainedTensor

_NEVER = 2**31 - 1
_BUCKET_ELEMENTS = 50_000_000  # the default of ten times as much is 2 GB of buffer, whatever the model
_REHEARSAL_TOKENS = 8


def render_config(settings: Pretrain, *, micro_batches: int) -> dict[str, Any]:
    """Return the DeepSpeed configuration of a recipe; nothing in it is left to "auto"."""
    deepspeed = settings.deepspeed
    assert deepspeed is not None
    zero: dict[str, Any] = {"stage": deepspeed.zero, "contiguous_gradients": True, "overlap_comm": False}
    zero["reduce_bucket_size"] = _BUCKET_ELEMENTS
    if deepspeed.zero < 3:
        zero["allgather_bucket_size"] = _BUCKET_ELEMENTS
    if deepspeed.offload != "none":
        zero["offload_optimizer"] = {"device": "cpu"}
    if deepspeed.offload == "all":
        zero["offload_param"] = {"device": "cpu"}
    bf16 = settings.precision == "bf16"
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": settings.micro_batch,
        "gradient_accumulation_steps": micro_batches,
        "gradient_clipping": settings.clip_norm,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,  # where its own Adam cannot be compiled, torch's does the work
        "bf16": {"enabled": bf16},
        "steps_per_print": _NEVER,
        "wall_clock_breakdown": False,
    }
    if bf16:  # hundreds of micro-batches summed in bf16 would lose the later ones
        config["data_types"] = {"grad_accum_dtype": "fp32"}
    return config


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Let nothing be printed: DeepSpeed asks the linker for libraries, which complains aloud, and reports memory."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _initialize(module: nn.Module, optimizer: Any, config: dict[str, Any], *, world: World) -> Any:
    if world.device.type == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    with _unheard():
        import deepspeed

        logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
        if world.device.type == "cpu":
            # Starting up on a CPU compiles a shared-memory operator (over a minute, and it needs a compiler);
            # a compilation that was killed makes every later start hang. Gloo does the same work.
            deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        return deepspeed.initialize(model=module, optimizer=optimizer, model_parameters=parameters, config=config)[0]


class DeepSpeedEngine:
    """ZeRO; masters and moments are float32, spread over the processes."""

    def __init__(
        self, prepared: Prepared, trained: Sequence[TrainedTensor], *, settings: Pretrain, micro_batches: int,
        world: World,
    ) -> None:  # fmt: skip
        assert settings.deepspeed is not None
        self.world, self.settings, self.micro_batches = world, settings, micro_batches
        self.zero = settings.deepspeed.zero
        self.remarks: list[str] = []
        self._linked = False
        self._linear = nn.functional.linear
        dtype = compute_dtype(settings.precision)
        module = prepared.module
        self.trained = {tensor.name: tensor.parameter for tensor in trained}
        self.parameters: dict[str, nn.Parameter] = dict(prepared.model.named_parameters())
        exact = {name: p.detach().float().clone() for name, p in self.trained.items() if p.dtype != dtype}
        if dtype == torch.float32:  # to bf16 DeepSpeed casts by itself
            module.to(dtype)
        buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
        config = render_config(settings, micro_batches=micro_batches)
        self.offloaded = settings.deepspeed.offload != "none"
        host_adam = self.offloaded and settings.deepspeed.cpu_adam
        if host_adam and (reason := compile_host_adam(world)):
            self.remarks.append(f"DeepSpeed's Adam cannot be compiled ({reason}): torch's fused one runs in its place")
            host_adam = False
        optimizer = make_optimizer(trained, settings, host_adam=host_adam)
        self.engine = _initialize(module, optimizer, config, world=world)
        _restore_buffers(self.engine.module, buffers)
        self._check(trained)
        if dtype != torch.float32:
            for name, value in exact.items():  # start from the stored float32 values, not from their bf16 rounding
                self._set_master(name, value)
        where = {"none": "", "optimizer": ", states in main memory", "all": ", states and weights in main memory"}[
            settings.deepspeed.offload
        ]
        self.name = f"DeepSpeed ZeRO-{self.zero} over {world.size} process{'es' if world.size > 1 else ''}"
        self.optimizer_name = optimizer_in_words(self.engine.optimizer.optimizer, where=where)
        self.engine.train()

    def _check(self, trained: Sequence[TrainedTensor]) -> None:
        """Assert that DeepSpeed runs the level that was asked for, with all parameter groups."""
        import deepspeed

        level = self.engine.zero_optimization_stage()
        if not isinstance(self.engine, deepspeed.DeepSpeedEngine) or level != self.zero:
            raise RedwhaleError(
                f"asked for ZeRO-{self.zero}, got {type(self.engine).__name__} of level {level}",
                where="pretrain.deepspeed.zero", exit_code=FAILED,
                fix="install the versions of constraints.txt, or set `deepspeed: null`",
            )  # fmt: skip
        check_groups(self.engine.optimizer, trained, self.settings)

    def forward(self, batch: Batch, *, scale: float, last: bool) -> Tensor:
        """Return ``scale`` times the summed loss of a micro-batch, a float32 scalar."""
        return self.engine(
            batch.input_ids, labels=batch.labels, positions=batch.positions, documents=batch.documents, scale=scale
        )

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Accumulate gradients; ``step`` of the engine only counts until the last micro-batch."""
        self.engine.backward(loss, scale_wrt_gas=False)
        if not last:
            self.engine.step()

    def step(self, share: float, *, finite: bool) -> Update:
        """Clip and update at a share of each peak rate; ZeRO itself skips an update whose gradient is not finite."""
        skipped_before = self.engine.skipped_steps
        set_rates(self.engine.optimizer, share)
        self.engine.step()
        applied = self.engine.skipped_steps == skipped_before
        if not applied:
            self._drop_gradients()
        norm = self.engine.get_global_grad_norm() if applied else float("nan")
        if applied and not finite:
            raise RedwhaleError(
                "DeepSpeed applied an update although the loss is not finite", where="pretrain.deepspeed",
                fix="resume from the last checkpoint with `deepspeed: null`", exit_code=FAILED,
            )  # fmt: skip
        return Update(float("nan") if norm is None else float(norm), applied)

    def _drop_gradients(self) -> None:
        """Drop what a skipped update leaves behind.

        With an offloaded optimizer ZeRO-1 and 2 (DeepSpeed 0.19.8) keep the bf16 engine's sums of gradients, and
        every later gradient would be added to the one that was not finite.
        """
        if self.offloaded and self.zero < 3:
            sums = self.engine.optimizer.averaged_gradients
            for group in sums:
                sums[group] = None

    def predict(self, input_ids: Tensor, attention_mask: Tensor, *, use_cache: bool, logits_to_keep: int = 0) -> Any:
        """Return an output with ``logits`` for measuring: no gradient, evaluation mode."""
        with evaluating(self.engine):
            return self.engine(input_ids, attention_mask=attention_mask, logits_to_keep=logits_to_keep)

    def master(self, name: str) -> Tensor:
        """Return a trainable tensor, gathered, in float32."""
        from deepspeed.utils import safe_get_full_fp32_param

        value = safe_get_full_fp32_param(self.trained[name])
        assert value is not None
        return value.detach()

    def _set_master(self, name: str, value: Tensor) -> None:
        from deepspeed.utils import safe_set_full_fp32_param

        safe_set_full_fp32_param(self.trained[name], value.to(self.world.device))

    def frozen(self, name: str) -> Tensor:
        """Return a frozen tensor, gathered, in its own dtype."""
        import deepspeed

        parameter = self.parameters[name]
        if self.zero < 3:
            return parameter.detach()
        with deepspeed.zero.GatheredParameters([parameter]):
            return parameter.detach().clone()

    def moments(self, name: str) -> dict[str, Tensor]:
        """Return both Adam moments of a trainable tensor, gathered; zeros before the first update."""
        from deepspeed.utils import safe_get_full_optimizer_state

        if not self.adam_steps():
            return {key: torch.zeros_like(self.master(name)) for key in MOMENTS}
        self._link_moments()
        return {key: safe_get_full_optimizer_state(self.trained[name], key) for key in MOMENTS}

    def _link_moments(self) -> None:
        """Link every group's moments to its tensors once they exist.

        ZeRO-1 and 2 do this after the first group's first step, when the second group has no state yet, and
        never again (DeepSpeed 0.19.8): with two groups the second one's moments could not be read.
        """
        if not self._linked and self.zero < 3:
            self.engine.optimizer._hp_optimizer_states_linked = False
            self.engine.optimizer._lazy_init_hp_params_optimizer_state()
            self._linked = True

    def _adam_states(self) -> list[dict[str, Any]]:
        return [state for state in self.engine.optimizer.optimizer.state.values() if "step" in state]

    def adam_steps(self) -> int:
        """Return how many updates Adam has applied."""
        return adam_steps_of(self.engine.optimizer.optimizer)

    def restore(self, state: Callable[[str], Mapping[str, Tensor]], *, adam_steps: int) -> None:
        """Set master and moments of every trainable tensor; the weights must have stood in the model before.

        Moments do not exist before a first step, so one is taken at learning rate 0 with no labels: it
        changes nothing. The low-precision weights follow a master only at a step, hence the condition.
        """
        from deepspeed.utils import safe_set_full_optimizer_state

        self.rehearse(1, _REHEARSAL_TOKENS)
        self._link_moments()
        for name, parameter in self.trained.items():
            stored = state(name)
            self._set_master(name, stored["master"])
            for key in MOMENTS:
                safe_set_full_optimizer_state(parameter, stored[key].to(self.world.device), key)
        self._set_adam_steps(adam_steps)

    def rehearse(self, rows: int, tokens: int) -> None:
        """Do a whole step without labels at a rate of 0, each pass as large as given."""
        batch = blank_batch(rows, tokens, own_documents=self.settings.documents_attend == "own").to(self.world.device)
        for number in range(self.micro_batches):
            last = number == self.micro_batches - 1
            self.backward(self.forward(batch, scale=1.0, last=last), last=last)
        self.step(0.0, finite=True)
        self._set_adam_steps(0)

    def _set_adam_steps(self, adam_steps: int) -> None:
        for each in self._adam_states():
            step = each["step"]  # DeepSpeed's own Adam counts in a plain number
            each["step"] = torch.full_like(step, float(adam_steps)) if torch.is_tensor(step) else adam_steps

    def close(self) -> None:
        """Give the memory of gradients and optimizer states back."""
        self.engine.destroy()
        nn.functional.linear = self._linear  # ZeRO-3 puts its own there, which keeps the inputs of frozen maps too
        release_memory()


@torch.no_grad()
def _restore_buffers(module: nn.Module, buffers: Mapping[str, Tensor]) -> None:
    """Undo the cast of buffers: rotary frequencies in bf16 misplace distant tokens."""
    for name, buffer in module.named_buffers():
        buffer.data = buffers[name].to(buffer.device)
