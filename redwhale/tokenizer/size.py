"""Choose how many tokens to add: a sweep over sizes, by what training costs per character of Korean.

Adding the most frequent joins first, every further token saves less text, and its row has to be learnt and
multiplied by all the same. The sweep goes up by doublings while one still saves enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from redwhale.core.errors import USAGE, RedwhaleError, first_line
from redwhale.core.recipe.tokenizer import AutoSize
from redwhale.tokenizer.base import BaseTokenizer, tokenizer_of
from redwhale.tokenizer.compare import HeldOut
from redwhale.tokenizer.extend import extended_document

SMALLEST = 1000
LEARNT_USES = 1000
"""Occurrences after which a new row counts as learnt; what trains it before counts as spent on the row alone."""
STATE_BYTES = 16
"""Memory of a trained weight: fp32 master, gradient and two moments of Adam."""


@dataclass(frozen=True)
class Shape:
    """What the base costs: ``body`` parameters beside embedding and head, width ``d``, one matrix or two."""

    body: int
    d: int
    tied: bool
    rows: int

    def flops_per_token(self, new_tokens: int) -> float:
        """Return the floating-point operations of training on one token: 6 per weight that it is multiplied by."""
        return 6.0 * (self.body + (self.rows + new_tokens) * self.d)

    def embedding_parameters(self, new_tokens: int) -> int:
        """Return the weights of embedding and head."""
        return (self.rows + new_tokens) * self.d * (1 if self.tied else 2)


@dataclass(frozen=True)
class Size:
    """One size of the sweep; what is "per character" is over the corpus's Korean sources by their size.

    ``saving``: share of the training cost per character that this size saves against the one before it, and
    ``saving_in_all`` against none, what learning the new rows takes counted in. ``pays_after_bytes``: Korean
    text after which the extension has earned that back, None: never; ``pays_after_tokens``: the same in tokens.
    """

    new_tokens: int
    tokens_per_character: float
    embedding_parameters: int
    embedding_state_bytes: int
    flops_per_character: float
    saving: float
    saving_in_all: float
    pays_after_bytes: int | None
    pays_after_tokens: int | None


def read_shape(folder: Path) -> Shape:
    """Count the base's parameters from its config.json, nothing loaded; raise exit code 2 where that is not there."""
    from transformers import AutoConfig

    from redwhale.measure.models import empty_model

    try:
        model = empty_model(AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False))
    except (ValueError, KeyError, OSError) as error:
        raise RedwhaleError(
            f"the size cannot be chosen without the model's shape ({first_line(error)})",
            where=str(folder / "config.json"),
            fix="put the base's config.json there, or give `tokenizer.new_tokens` as a number",
            exit_code=USAGE,
        ) from None
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    tied = embedding is head
    both = embedding.numel() * (1 if tied else 2)
    total = sum(weight.numel() for weight in model.parameters())
    return Shape(body=total - both, d=embedding.shape[1], tied=tied, rows=embedding.shape[0])


def sizes_up_to(largest: int) -> list[int]:
    """Return 0, 1,000 and its doublings, and ``largest``."""
    sizes = [0]
    size = SMALLEST
    while size < largest:
        sizes.append(size)
        size *= 2
    return [*sizes, largest]


def sweep(
    base: BaseTokenizer, pieces: Sequence[str], held_out: HeldOut, shares: Mapping[str, float], shape: Shape,
    settings: AutoSize,
) -> list[Size]:  # fmt: skip
    """Measure prefixes of the learnt ``pieces`` on the Korean held-out texts, sources weighing by ``shares``."""
    counted = [
        _count(base, list(pieces[:size]), held_out, shares) for size in sizes_up_to(min(settings.largest, len(pieces)))
    ]
    bytes_per_character = counted[0].bytes_per_character
    characters = settings.training_text / bytes_per_character
    costs = [one.cost(shape, characters) for one in counted]
    rows = []
    for i, (one, cost) in enumerate(zip(counted, costs, strict=True)):
        pays = one.pays_after(shape, none=costs[0])
        rows.append(
            Size(
                new_tokens=one.size,
                tokens_per_character=round(one.tokens, 4),
                embedding_parameters=shape.embedding_parameters(one.size),
                embedding_state_bytes=shape.embedding_parameters(one.size) * STATE_BYTES,
                flops_per_character=round(shape.flops_per_token(one.size) * one.tokens),
                saving=round(1 - cost / costs[i - 1], 4) if i else 0.0,
                saving_in_all=round(1 - cost / costs[0], 4),
                pays_after_bytes=None if pays is None else round(pays * bytes_per_character),
                pays_after_tokens=None if pays is None else round(pays * one.tokens),
            )
        )
    return rows


def curve(
    base: BaseTokenizer, pieces: Sequence[str], held_out: HeldOut, shares: Mapping[str, float], sizes: Sequence[int]
) -> list[tuple[int, float]]:
    """Return (new tokens, tokens per character of Korean held-out text) for prefixes of the learnt ``pieces``."""
    return [(size, round(_count(base, list(pieces[:size]), held_out, shares).tokens, 4)) for size in sizes]


def choose(sizes: Sequence[Size], settings: AutoSize) -> tuple[int, str]:
    """Return the size and why: the last one before a doubling saves too little, 0 where all of it saves too little."""
    least = settings.least_saving
    chosen = sizes[0]
    for size in sizes[1:]:
        if size.saving < least:
            break
        chosen = size
    if not chosen.new_tokens:
        return 0, f"{sizes[min(1, len(sizes) - 1)].new_tokens} tokens save less than {least:.0%} of training"
    text = settings.training_text
    if chosen.pays_after_bytes is None or chosen.pays_after_bytes > text:
        return 0, f"the new rows would not be learnt within {text / 1e9:.3g} GB of text"
    if chosen is sizes[-1]:
        return chosen.new_tokens, f"every doubling up to the largest size saves {least:.0%} of training or more"
    return chosen.new_tokens, f"the next doubling saves less than {least:.0%} of training"


def as_metrics(sizes: Sequence[Size], chosen: int, reason: str) -> dict[str, Any]:
    """Return the curve for the manifest."""
    return {"chosen": chosen, "reason": reason, "curve": [asdict(size) for size in sizes]}


@dataclass(frozen=True)
class _Counted:
    """Tokens per character, bytes per character and, of each new token, the uses per character."""

    size: int
    tokens: float
    bytes_per_character: float
    uses: tuple[float, ...]

    def learning(self, shape: Shape, characters: float) -> float:
        """Return the cost per character of tokens that train a row not yet learnt, over ``characters`` of text."""
        spent = sum(min(use * characters, LEARNT_USES) for use in self.uses)
        return shape.flops_per_token(self.size) * spent / characters

    def cost(self, shape: Shape, characters: float) -> float:
        """Return the training cost per character, learning the new rows counted in."""
        return shape.flops_per_token(self.size) * self.tokens + self.learning(shape, characters)

    def pays_after(self, shape: Shape, *, none: float) -> float | None:
        """Return the characters whose saving against the cost ``none`` pays for learning all rows; None: never."""
        if not self.size:
            return 0.0
        per_token = shape.flops_per_token(self.size)
        gained = none - per_token * self.tokens
        return self.size * LEARNT_USES * per_token / gained if gained > 0 else None


def _count(base: BaseTokenizer, pieces: list[str], held_out: HeldOut, shares: Mapping[str, float]) -> _Counted:
    tokenizer = tokenizer_of(extended_document(base, pieces))
    korean = {name: texts for name, (language, texts) in held_out.items() if language == "ko" and name in shares}
    total = sum(shares[name] for name in korean)
    if not total:
        raise RedwhaleError(
            "the size cannot be chosen without held-out Korean text",
            where="preprocess.held_out",
            fix="hold some out, or give `tokenizer.new_tokens` as a number",
            exit_code=USAGE,
        )
    tokens, size, uses = 0.0, 0.0, Counter[int]()
    for name, texts in korean.items():
        weight = shares[name] / total / max(sum(map(len, texts)), 1)
        encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ids = Counter(chain.from_iterable(encoding.ids for encoding in encoded))
        tokens += weight * ids.total()
        size += weight * sum(len(text.encode()) for text in texts)
        for identifier, count in ids.items():
            if identifier >= base.tokens:
                uses[identifier] += count * weight  # type: ignore[assignment]
    return _Counted(len(pieces), tokens, size, tuple(uses.values()))
