"""The ``pretrain`` section: the stages of training as data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from redwhale.core.recipe.fields import Fraction, Section, Tokens

Rows = Literal["none", "new", "all"]


def _layers(value: Any) -> Any:
    if value in ("none", "all", "odd", "even"):
        return value
    if isinstance(value, list) and value and all(isinstance(i, int) and i >= 0 for i in value):
        return sorted(set(value))
    raise ValueError(f"expected none, all, odd, even or a list of layer numbers from 0, got {value!r}")


Layers = Annotated[str | list[int], BeforeValidator(_layers)]


class Lora(Section):
    """Low-rank adapters on every linear map of the layers, merged into the weights at the end."""

    rank: int = Field(default=16, ge=1)
    """Rank of the update."""
    alpha: float | None = None
    """Scale of the update is alpha / rank; unset: alpha = rank."""


class Train(Section):
    """What a stage trains; everything else is frozen."""

    embedding: Rows = "none"
    """Rows of the input embedding: `none`, the `new` ones, or `all`."""
    head: Rows = "none"
    """Rows of the output head, likewise; a tied model needs the same word for both."""
    layers: Layers = "none"
    """`none`, `all`, `odd`, `even` or a list; layers count from 0, so `even` holds layer 0."""
    norm: bool = False
    """The final norm."""
    lora: Lora | None = None
    """Train adapters instead of the layers themselves."""

    @model_validator(mode="after")
    def _something(self) -> Train:
        if (self.embedding, self.head, self.layers, self.norm) == ("none", "none", "none", False) and not self.lora:
            raise ValueError("the stage trains nothing; name at least one part")
        if self.lora and self.layers != "none":
            raise ValueError("`lora` and `layers` exclude each other")
        return self


class Stage(Section):
    """One stage; it starts from the weights and the place in the data where the one before ended."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """Name, used in folder names and `--stage`."""
    train: Train
    """The parts that train."""
    tokens: Tokens = Field(ge=1)
    """Tokens of this stage, rounded up to whole batches."""
    learning_rate: float = Field(gt=0)
    """Peak learning rate."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Shape after warm-up."""
    warmup: Fraction = 0.02
    """Share of the stage's tokens over which the learning rate rises from 0."""
    final_learning_rate: Fraction = 0.1
    """Learning rate at the end, as a share of the peak (cosine, linear)."""
    mixture: dict[str, float] | None = None
    """Mixture of this stage in place of the section's."""

    @field_validator("name")
    @classmethod
    def _is_no_other_model(cls, name: str) -> str:
        if name.isdigit() or name == "base":
            raise ValueError(f"{name!r} names another model where a stage's name or number is asked for")
        return name


class DeepSpeed(Section):
    """DeepSpeed's part; it changes memory and speed, never the result's meaning."""

    zero: Literal[0, 1, 2, 3] = 2
    """ZeRO level; 0 means the plain engine (one process, or DDP)."""
    offload: Literal["none", "optimizer"] = "none"
    """Keep the optimizer's state in main memory."""

    @model_validator(mode="after")
    def _offload_needs_zero(self) -> DeepSpeed:
        if self.zero == 0 and self.offload != "none":
            raise ValueError("`offload` needs `zero` 1, 2 or 3; the plain engine (0) has none")
        return self


class Checkpoints(Section):
    """What is kept to resume from; never part of the result."""

    every: Tokens = Field(default=100_000_000, ge=1)
    """Tokens between checkpoints."""
    keep: int = Field(default=2, ge=2)
    """How many stay; at least 2, since the newest may be the one being written."""


class Measure(Section):
    """Bits per byte on held-out text during training; always at the start and the end of a stage."""

    every: Tokens | None = None
    """Tokens between measurements; unset: only at the start and the end."""
    documents: int = Field(default=200, ge=1)
    """Most held-out documents per source."""
    document_bytes: int = Field(default=1024, ge=16)
    """Bytes scored of each document, from its beginning, cut at a character."""


def _mixture_is_sound(mixture: dict[str, float]) -> None:
    if not mixture or any(weight < 0 for weight in mixture.values()) or sum(mixture.values()) <= 0:
        raise ValueError("a mixture needs weights of 0 or more with a positive sum")


class Pretrain(Section):
    """Continual pretraining in stages."""

    packed: str | None = None
    """Folder of packed tokens that recipes of one corpus, tokenizer and seed share; unset: this recipe's own."""
    sequence_length: int = Field(default=4096, ge=8)
    """Tokens per sequence."""
    batch_tokens: Tokens = 1_000_000
    """Tokens per optimizer step over all devices; rounded down to whole sequences."""
    micro_batch: int = Field(default=1, ge=1)
    """Sequences per device and forward pass; gradients are summed up to `batch_tokens`."""
    mixture: dict[str, float] = Field(default={})
    """Share of each source by tokens; empty: in proportion to their size."""
    documents_attend: Literal["own", "all"] = "own"
    """`own`: a token sees only its own document in a packed sequence; `all`: the whole sequence before it."""
    precision: Literal["fp32", "bf16"] = "bf16"
    """Precision of forward and backward passes; master weights and moments are always fp32."""
    weight_decay: float = Field(default=0.1, ge=0)
    """AdamW's decay, on matrices of the layers only: never on embeddings, head rows, norms or biases."""
    betas: tuple[float, float] = Field(default=(0.9, 0.95), strict=False)
    """AdamW's moments."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient over all trained parameters."""
    recompute: bool = True
    """Recompute activations in the backward pass: less memory, about a third more work."""
    deepspeed: DeepSpeed | None = DeepSpeed()
    """DeepSpeed settings; `null` for the plain engine."""
    checkpoints: Checkpoints = Checkpoints()
    """What is kept to resume from."""
    measure: Measure = Measure()
    """Measurement during training."""
    stages: list[Stage] = Field(min_length=1)
    """The stages in order."""

    @model_validator(mode="after")
    def _consistent(self) -> Pretrain:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError("stage names must differ")
        if self.batch_tokens < self.sequence_length:
            raise ValueError(
                f"`batch_tokens` ({self.batch_tokens}) is below one sequence ({self.sequence_length}); raise it"
            )
        for mixture in [self.mixture or {"": 1.0}, *(s.mixture for s in self.stages if s.mixture is not None)]:
            _mixture_is_sound(mixture)
        return self
