"""The stages of the ``pretrain`` section: what each trains, for how long, at which learning rate."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from redwhale.core.recipe.fields import Fraction, Misfit, Section, Span, Tokens
from redwhale.core.recipe.nearest import misspelt

Rows = Literal["none", "new", "all"]
Part = Literal["embedding", "head", "layers", "norms", "lora"]
LAYER_NAMES = ("none", "all", "odd", "even", "added")
LAYER_WORDS = re.compile(
    rf"(?P<word>{'|'.join(LAYER_NAMES)})|(?P<end>first|last|first-last):(?P<count>[1-9]\d*)|"
    r"every (?P<step>[1-9]\d*) from (?P<start>\d+)"
)
LAYER_SHARE = re.compile(r"(?P<layers>.*\S) (?P<number>[1-9]\d*)/(?P<of>[1-9]\d*)")
"""``odd 2/3``: the second of three consecutive parts of the odd layers."""


def _layers(value: Any) -> Any:
    if isinstance(value, list) and value and all(isinstance(i, int) and i >= 0 for i in value):
        return sorted(set(value))
    if isinstance(value, str):
        share = LAYER_SHARE.fullmatch(value)
        words = LAYER_WORDS.fullmatch(share["layers"] if share else value)
        if words and not (share and (words["word"] == "none" or int(share["number"]) > int(share["of"]))):
            return value
    meant = misspelt(value, LAYER_NAMES) if isinstance(value, str) else None
    raise Misfit(
        "expected none, all, odd, even, added, first:4, last:4, first-last:4, `every 4 from 3`, any of these with a "
        f"part such as `odd 1/2`, or a list of layer numbers from 0; got {value!r}",
        fix=f"did you mean `{meant}`?" if meant else "",
    )


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
    """`none`, `all`, `odd`, `even` (layers count from 0, so `even` holds layer 0), `added` (by `init.add_layers`),
    `first:4`, `last:4`, `first-last:4` (four at each end), `every 4 from 3` (3, 7, 11 …), or a list of numbers;
    `odd 1/2` is the first of two consecutive halves of these layers."""
    norms: Literal["none", "final", "all"] = "none"
    """Norms beside those of the trained layers: the `final` one, or `all`, in frozen layers too."""
    lora: Lora | None = None
    """Train adapters instead of the layers themselves; `embedding` and `head` may train beside them."""

    @model_validator(mode="after")
    def _something(self) -> Train:
        if not self.parts:
            raise ValueError("the stage trains nothing; name at least one part")
        if self.lora and self.layers != "none":
            raise ValueError("`lora` and `layers` exclude each other")
        return self

    @property
    def parts(self) -> list[Part]:
        """Return the parts that train."""
        words: dict[Part, object] = {
            "embedding": self.embedding, "head": self.head, "layers": self.layers, "norms": self.norms,
            "lora": self.lora or "none",
        }  # fmt: skip
        return [part for part, word in words.items() if word != "none"]

    @property
    def only_new_rows(self) -> bool:
        """Tell whether every weight of the base stays as it is."""
        return set(self.parts) <= {"embedding", "head"} and "all" not in (self.embedding, self.head)


def _whole(value: Any) -> Any:
    everything = {"embedding": "all", "head": "all", "layers": "all", "norms": "final"}
    return everything if value == "full" else value


class Stage(Section):
    """One stage; it starts from the weights and the place in the data where the one before ended."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """Name, used in folder names and `--stage`."""
    train: Annotated[Train, BeforeValidator(_whole)]
    """The parts that train, or `full`."""
    split: int = Field(default=1, ge=1)
    """Cut the layers into so many consecutive parts, trained one after the other as stages NAME-1, NAME-2 … that
    share the tokens equally: less memory on a small card."""
    tokens: Tokens = Field(ge=1)
    """Tokens of this stage, rounded up to whole batches."""
    learning_rate: float = Field(gt=0)
    """Peak learning rate."""
    learning_rates: dict[Part, float] = Field(default={})
    """Peak learning rates of parts (`embedding`, `head`, `layers`, `norms`, `lora`) in place of `learning_rate`; the
    matrix of a tied model goes by `embedding`."""
    schedule: Literal["cosine", "linear", "constant", "warmup-stable-decay"] = "cosine"
    """Shape after warm-up; `warmup-stable-decay` stays at the peak and then falls with 1 - sqrt."""
    warmup: Span = 0.02
    """Share of the stage's tokens, or tokens, over which the learning rate rises from 0."""
    decay: Span = 0.2
    """Share of the stage's tokens, or tokens, over which the rate falls at the end (`warmup-stable-decay`)."""
    final_learning_rate: Fraction = 0.1
    """Learning rate at the end, as a share of the peak (all but `constant`)."""
    mixture: dict[str, float] | None = None
    """Mixture of this stage in place of the section's."""
    mix_languages: Fraction | None = None
    """Share of this stage's sequences that hold two languages, in place of the section's."""
    data: Literal["continue", "restart"] = "continue"
    """`continue`: each source goes on where the stage before ended; `restart`: from its beginning."""

    @field_validator("name")
    @classmethod
    def _is_no_other_model(cls, name: str) -> str:
        if name.isdigit() or name == "base":
            raise ValueError(f"{name!r} names another model where a stage's name or number is asked for")
        return name

    @model_validator(mode="after")
    def _rates_and_split(self) -> Stage:
        for part, rate in self.learning_rates.items():
            if part not in self.train.parts:
                raise ValueError(f"`learning_rates` names {part}, which this stage does not train")
            if rate <= 0:
                raise ValueError(f"the learning rate of {part} must be above 0, got {rate}")
        if self.split > 1 and (self.train.layers == "none" or not isinstance(self.train.layers, str)):
            raise ValueError("`split` cuts layers given by a word, such as `odd`; this stage has none")
        return self

    def expanded(self) -> list[Stage]:
        """Return the stages that ``split`` makes of this one."""
        if self.split == 1:
            return [self]
        return [
            self.model_copy(update={
                "name": f"{self.name}-{number}", "split": 1, "tokens": -(-self.tokens // self.split),
                "train": self.train.model_copy(update={"layers": f"{self.train.layers} {number}/{self.split}"}),
            })
            for number in range(1, self.split + 1)
        ]  # fmt: skip
