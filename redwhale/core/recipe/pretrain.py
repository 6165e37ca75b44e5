"""The ``pretrain`` section: the stages of training as data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from redwhale.core.recipe.corpus import Gate
from redwhale.core.recipe.fields import Fraction, Section, Tokens
from redwhale.core.recipe.stages import Stage

_Beta = Annotated[float, Field(ge=0, lt=1)]


def _switched(value: Any) -> Any:
    return {True: "full", False: "none"}[value] if isinstance(value, bool) else value


class DeepSpeed(Section):
    """DeepSpeed's part; it changes memory and speed, never the result's meaning."""

    zero: Literal[0, 1, 2, 3] = 2
    """ZeRO level; 0 means the plain engine (one process, or DDP)."""
    offload: Literal["none", "optimizer", "all"] = "none"
    """What lies in main memory: the `optimizer`'s states, or `all`: the weights too (ZeRO 3)."""

    cpu_adam: bool = True
    """Update offloaded states with DeepSpeed's own Adam, compiled on first use; where that fails, or with `false`,
    torch's fused one runs in its place."""

    @model_validator(mode="after")
    def _offload_needs_zero(self) -> DeepSpeed:
        if self.zero == 0 and self.offload != "none":
            raise ValueError("`offload` needs `zero` 1, 2 or 3; the plain engine (0) has none")
        if self.zero < 3 and self.offload == "all":
            raise ValueError(f"`offload: all` needs `zero: 3`; ZeRO {self.zero} keeps the weights on the device")
        return self


class Checkpoints(Section):
    """What is kept to resume from; never part of the result."""

    every: Tokens = Field(default=100_000_000, ge=1)
    """Tokens between checkpoints."""
    keep: int = Field(default=2, ge=1)
    """How many stay; an old one goes only once the new one is whole."""


class Measure(Section):
    """Bits per byte on held-out text during training; always at the start and the end of a stage."""

    every: Tokens | None = None
    """Tokens between measurements; unset: only at the start and the end."""
    documents: int = Field(default=200, ge=1)
    """Most held-out documents per source."""
    document_bytes: int = Field(default=1024, ge=16)
    """Bytes scored of each document, from its beginning, cut at a character."""
    samples: int = Field(default=1, ge=0)
    """Continuations that the model writes in each language, from the beginnings of held-out documents (samples.jsonl);
    they are drawn from one seed, so that those of two measurements differ by the model alone."""
    sample_tokens: int = Field(default=48, ge=1)
    """Tokens of a continuation."""
    kobest_questions: int = Field(default=0, ge=0)
    """Questions of each KoBEST task asked too, as `evaluate.kobest` says; a coarse curve in metrics.jsonl."""


class Wandb(Section):
    """Weights & Biases; the key is its own affair (`wandb login`, or WANDB_API_KEY)."""

    project: str = Field(min_length=1)
    """Project that the runs belong to: one run a stage, grouped by the recipe's `name`."""
    entity: str | None = None
    """User or team; unset: the account's own."""
    mode: Literal["online", "offline"] = "online"
    """`offline` needs no network: `wandb sync` sends what lies in the stage's folder."""


class Trackers(Section):
    """Where the rows of metrics.jsonl go besides, over the tokens of all stages; never part of the result."""

    tensorboard: bool = False
    """Event files in each stage's folder (`tensorboard --logdir WORKDIR`); needs `redwhale[tensorboard]`."""
    wandb: Wandb | None = None
    """`{project: NAME}` sends them to Weights & Biases; unset: nowhere. Needs `redwhale[wandb]`."""


class Spikes(Section):
    """Skip an update whose loss lies far above the last ones."""

    deviations: float = Field(default=6.0, gt=0)
    """Standard deviations above the mean of the last losses (OLMo-core's value)."""
    window: int = Field(default=128, ge=8)
    """How many last losses; before there are so many nothing is skipped."""


class PretrainGates(Section):
    """Limits checked at each measurement."""

    english: Gate = Gate(above=0.1, do="warn")
    """English forgotten: its bits per byte over the base's, as a share of those. `stop` saves a checkpoint and ends the
    stage with exit code 3; the same command goes on once the gate is raised."""


def _mixture_is_sound(mixture: dict[str, float]) -> None:
    if not mixture or any(weight < 0 for weight in mixture.values()) or sum(mixture.values()) <= 0:
        raise ValueError(f"a mixture needs weights of 0 or more with a positive sum, got {mixture}")


class Pretrain(Section):
    """Continual pretraining in stages."""

    packed: str | None = None
    """Folder of packed tokens that recipes of one corpus, tokenizer and seed share; unset: this recipe's own."""
    sequence_length: int = Field(default=4096, ge=8)
    """Tokens per sequence."""
    batch_tokens: Tokens = 1_000_000
    """Tokens per optimizer step over all devices; rounded down to whole sequences."""
    micro_batch: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    """Sequences per device and forward pass; gradients are summed up to `batch_tokens`. `auto`: the most that the plan
    says fits, tried once before training by a process alone, and halved where it does not."""
    mixture: dict[str, float] = Field(default={})
    """Share of each source by tokens; empty: in proportion to their size."""
    packing: Literal["best-fit", "concatenate"] = "best-fit"
    """`best-fit`: documents stand whole in a sequence where they fit, longer ones are cut, ends of sequences may be
    padding; `concatenate`: one stream, cut wherever a sequence ends, without padding."""
    most_epochs: float | None = Field(default=None, gt=0)
    """Most times that a stage may have gone through a source, earlier stages counted; unset: a warning above 4."""
    documents_attend: Literal["own", "all"] = "own"
    """`own`: a token sees only its own document in a packed sequence; `all`: the whole sequence before it."""
    attention: Literal["sdpa", "flex"] = "sdpa"
    """Kernel of attention: `sdpa` is torch's, with a dense mask where documents attend to their `own`; `flex` leaves
    out what lies in other documents (FlexAttention, compiled on first use). CUDA only, and not yet tried on one."""
    mix_languages: Fraction = 0.0
    """Share of sequences that hold documents of two languages, which see each other whatever `documents_attend` says
    (XLDA of Trillion-7B); at most twice the share of the rarer language. A stage may have its own."""
    precision: Literal["fp32", "bf16"] = "bf16"
    """Precision of forward and backward passes; master weights and moments are always fp32."""
    optimizer: Literal["adamw", "adamw-8bit"] = "adamw"
    """`adamw-8bit` holds both moments in 8 bits, by blocks of 256 (bitsandbytes, arXiv 2110.02861): 2 bytes a trained
    weight in place of 8. Masters stay float32. Plain engine only: `deepspeed: null`."""
    weight_decay: float = Field(default=0.1, ge=0)
    """AdamW's decay, on matrices of the layers only: never on embeddings, head rows, norms or biases."""
    betas: tuple[_Beta, _Beta] = Field(default=(0.9, 0.95), strict=False)
    """AdamW's moments."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient over all trained parameters."""
    recompute: Annotated[Literal["none", "selective", "full"], BeforeValidator(_switched)] = "full"
    """Make activations again in the backward pass. `full`: all but each layer's input, least memory, about a third
    more work; `selective`: products of matrices and attention are kept, the rest is made again; `none`."""
    compile: Literal["none", "layers"] = "none"
    """Compile each `layers`' kernels (torch.compile) on their first pass; minutes, won back in long stages. Not with
    ZeRO 3."""
    deepspeed: DeepSpeed | None = DeepSpeed()
    """DeepSpeed settings; `null` for the plain engine."""
    spikes: Spikes | None = None
    """Skip updates whose loss jumps; unset: none but those that are not finite."""
    gates: PretrainGates = PretrainGates()
    """Limits that stop or warn."""
    checkpoints: Checkpoints = Checkpoints()
    """What is kept to resume from."""
    measure: Measure = Measure()
    """Measurement during training."""
    trackers: Trackers = Trackers()
    """Curves in TensorBoard and W&B."""
    stages: list[Stage] = Field(min_length=1)
    """The stages in order."""

    @field_validator("stages")
    @classmethod
    def _split(cls, stages: list[Stage]) -> list[Stage]:
        return [part for stage in stages for part in stage.expanded()]

    @model_validator(mode="after")
    def _consistent(self) -> Pretrain:
        if self.optimizer == "adamw-8bit" and self.deepspeed and self.deepspeed.zero:
            raise ValueError("`optimizer: adamw-8bit` runs on the plain engine alone: set `deepspeed: null`")
        if self.compile != "none" and self.deepspeed and self.deepspeed.zero == 3:
            raise ValueError("`compile: layers` does not go with ZeRO 3, which gathers weights between the kernels")
        if self.attention == "flex" and self.documents_attend == "all":
            raise ValueError("`attention: flex` is for `documents_attend: own`; without it SDPA has the faster kernel")
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"stage names must differ; twice: {', '.join(twice)}")
        if self.batch_tokens < self.sequence_length:
            raise ValueError(
                f"`batch_tokens` ({self.batch_tokens}) is below one sequence ({self.sequence_length}); raise it"
            )
        for mixture in [self.mixture or {"": 1.0}, *(s.mixture for s in self.stages if s.mixture is not None)]:
            _mixture_is_sound(mixture)
        return self

    def mixture_of(self, stage: Stage) -> dict[str, float]:
        """Return the mixture that a stage trains on: its own, or the section's."""
        return self.mixture if stage.mixture is None else stage.mixture

    def mix_languages_of(self, stage: Stage) -> float:
        """Return the share of a stage's sequences that hold two languages: its own, or the section's."""
        return self.mix_languages if stage.mix_languages is None else stage.mix_languages
