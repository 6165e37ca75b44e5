"""The ``init`` section."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from redwhale.core.recipe.corpus import Gate
from redwhale.core.recipe.fields import Bytes, Section

Initialisation = Literal[
    "random", "mean", "multivariate", "decompose-mean", "decompose-weighted", "first", "first-nonspace", "last",
    "merge-tree", "align",
]  # fmt: skip
METHODS: tuple[Initialisation, ...] = get_args(Initialisation)
NamedPair = Literal["redwhale", "redwhale-embedding", "redwhale-head", "redwhale-mean", "redwhale-random", "eeve"]
NAMED_PAIRS: dict[str, tuple[Initialisation, Initialisation]] = {
    "redwhale": ("decompose-mean", "decompose-mean"),
    # The paper names these two by the matrix that is decomposed; that the other one is the mean is our choice.
    "redwhale-embedding": ("decompose-mean", "mean"),
    "redwhale-head": ("mean", "decompose-mean"),
    "redwhale-mean": ("mean", "mean"),
    "redwhale-random": ("random", "random"),
    "eeve": ("decompose-mean", "first"),
}


class AddLayers(Section):
    """Make the model deeper before training."""

    count: int = Field(ge=1)
    """Layers to add, at most as many as the base has."""
    how: Literal["identity", "repeat"]
    """`identity`: copies spread evenly whose output projections are zero, so that the model computes the same
    (LLaMA Pro, arXiv 2401.02415); `repeat`: one block of layers stands twice in a row, as it is (SOLAR's depth
    up-scaling, arXiv 2312.15166)."""
    start: int | None = Field(default=None, ge=0)
    """First layer of the block to repeat, counted from 0; unset: the block in the middle, which is SOLAR's
    (of 32 layers, 16 added: layers 8 to 23)."""

    @model_validator(mode="after")
    def _start_is_of_repeat(self) -> AddLayers:
        if self.start is not None and self.how != "repeat":
            raise ValueError("`start` belongs to `how: repeat`; identity layers are spread evenly")
        return self


class InitGates(Section):
    """Limits checked at the end of init-model."""

    leak: Gate = Gate(above=0.01, do="warn")
    """Probability that new rows take from old ones on English text before any training; a warning by default. Rows
    made of pieces leak what these pieces' probability is, and a small base gives bytes and space marks much of it:
    4,000 tokens on 20M parameters leak 0.5% by `mean`, 15% by `decompose-mean`, 77% by `first`. The first stage
    wins it back. Not measured, and so not judged, for models of over 2 GB, which would have to be loaded."""


def pair_of(written: str) -> tuple[Initialisation, Initialisation]:
    """Return the methods of embedding and head for a method, ``EMBEDDING/HEAD`` or a named pair; raise ValueError."""
    if written in NAMED_PAIRS:
        return NAMED_PAIRS[written]
    embedding, _, head = written.partition("/")
    for word in (embedding, head or embedding):
        if word not in METHODS:
            raise ValueError(f"{word!r} is no method ({', '.join(METHODS)}) and no pair ({', '.join(NAMED_PAIRS)})")
    return embedding, head or embedding  # type: ignore[return-value]


class InitComparison(Section):
    """Try methods before one is used."""

    methods: list[str] = Field(
        default=[*METHODS, "last/decompose-mean", "redwhale-embedding", "redwhale-head", "eeve"], min_length=1
    )
    """Methods to try: one for both matrices, `EMBEDDING/HEAD`, or a named pair; of a tied model the embedding's."""
    steps: int = Field(default=0, ge=0)
    """Steps of the first stage that each is trained for; 0 compares before any training."""
    measure_every_steps: int | None = Field(default=None, ge=1)
    """Steps between measurements; unset: at the start and the end."""
    documents: int = Field(default=50, ge=1)
    """Most held-out documents per source."""
    document_bytes: int = Field(default=512, ge=16)
    """Bytes scored of each document, from its beginning, cut at a character."""

    @field_validator("methods")
    @classmethod
    def _are_known(cls, methods: list[str]) -> list[str]:
        for written in methods:
            pair_of(written)
        return methods


def _switched(value: Any) -> Any:
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


class Init(Section):
    """Give each new token a row in the embedding and in the head."""

    existing: str | None = None
    """Folder of a finished model 0 to use in place of making one."""
    method: NamedPair | Literal["best"] | None = None
    """A published pair of methods in place of `embedding` and `head`. The RedWhale paper's five: `redwhale` (both
    decompose-mean, its best), `redwhale-embedding` and `redwhale-head` (the one that is named decompose-mean, the
    other mean), `redwhale-mean`, `redwhale-random`; `eeve`: decompose-mean and first. `best`: what `compare` finds
    best."""
    embedding: Initialisation = "last"
    """`random`: normal with mean and deviation of the base rows, by dimension; `mean`: mean of all base rows;
    `multivariate`: normal around it with 1e-5 of their covariance (Hewitt 2021). Of the base's rows for the pieces
    that spell the token: `decompose-mean`: their mean (paper, section 3); `decompose-weighted`: mean with
    weights 1, 2, 3 …, last piece heaviest (in the head the first); `first`, `last`: one of them;
    `first-nonspace`: the first that is not a bare space mark; `merge-tree`: mean of the two halves that the
    tokenizer merges, each made likewise; `align`: mean over the ways in which the base spells the token in the
    corpus. Rows that would be equal are told apart by noise of 1e-3 of their deviation. `last` here with
    `decompose-mean` in the head won the comparison in docs/results/initialisation.md; the paper has
    `decompose-mean` in both."""
    head: Initialisation = "decompose-mean"
    """As `embedding`, from the rows of the head; a tied model follows `embedding`. `first` makes most rows copies
    of the space mark's, which leak probability."""
    align_sample: Bytes = 16 * 10**6
    """Korean text that `align` reads, shared over the sources by size."""
    pad_rows_to: int = Field(default=64, ge=1)
    """Rows are padded to a multiple of this; padding rows hold the mean of all base rows."""
    add_layers: AddLayers | None = None
    """Layers to add; unset: none."""
    compare: Annotated[InitComparison | None, BeforeValidator(_switched)] = None
    """Measure methods on held-out text first, Korean and English, and keep the table; `true` for all of them."""
    gates: InitGates = InitGates()
    """Limits that stop or warn."""

    @model_validator(mode="before")
    @classmethod
    def _from_pair(cls, given: Any) -> Any:
        method = given.get("method") if isinstance(given, dict) else None
        if not isinstance(method, str) or method not in NAMED_PAIRS:
            return given
        embedding, head = NAMED_PAIRS[method]
        return {"embedding": embedding, "head": head, **given}

    @model_validator(mode="after")
    def _pair_agrees(self) -> Init:
        if self.method == "best":
            if self.compare is None or {"embedding", "head"} & self.model_fields_set:
                raise ValueError("`method: best` takes what `compare` finds: set that, without `embedding` and `head`")
        elif self.method is not None and (self.embedding, self.head) != NAMED_PAIRS[self.method]:
            embedding, head = NAMED_PAIRS[self.method]
            raise ValueError(
                f"`method: {self.method}` means embedding {embedding} and head {head}, yet they are {self.embedding} "
                f"and {self.head}: leave out `method`, or `embedding` and `head`"
            )
        return self

    @model_validator(mode="after")
    def _power_of_two(self) -> Init:
        if self.pad_rows_to & (self.pad_rows_to - 1):
            raise ValueError(f"`pad_rows_to` must be a power of two, got {self.pad_rows_to}")
        return self
