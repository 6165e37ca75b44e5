"""Log-likelihoods of the choices, token for token as lm-evaluation-harness's HFLM takes them.

Trailing spaces of the prompt move to the choice; the choice's tokens are those of prompt and choice
encoded together, past the length of the prompt encoded alone; both are encoded with the tokenizer's own
defaults, so a tokenizer that adds BOS adds it. What does not fit is cut on the left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from redwhale.core.errors import RedwhaleError
from redwhale.evaluation.kobest.fixed import fixed_nats
from redwhale.evaluation.kobest.prompts import Question
from redwhale.evaluation.kobest.shared import SharedRow, can_share, shared_nats
from redwhale.measure import models
from redwhale.measure.likelihood import Window, window_nats

_ENCODE_AT_ONCE = 4096


@dataclass(frozen=True)
class Scored:
    """Log-likelihoods in nats, one list a question, and how many of its requests lost tokens on their left."""

    log_likelihoods: list[list[float]]
    truncated: list[int]


def score_questions(
    model: Callable[..., Any],
    tokenizer: Any,
    questions: Sequence[Question],
    *,
    context_tokens: int,
    batch_tokens: int,
    device: str | torch.device,
    fixed: bool = False,
    on_batch: Callable[[int], None] | None = None,
) -> Scored:
    """Score every choice of every question.

    ``tokenizer`` is what AutoTokenizer gives; ``context_tokens`` is the model's longest input; ``fixed`` reads what
    all prompts begin with once; ``on_batch`` hears how many choices each forward pass finished. Raises where a choice
    has no token of its own or does not fit, and where a log-likelihood is not a number.
    """
    rows = encode_questions(tokenizer, questions, context_tokens=context_tokens)
    together = [i for i, row in enumerate(rows) if row.span <= context_tokens and can_share(model, row)]
    apart = sorted(set(range(len(rows))) - set(together))
    windows = [
        Window([*rows[i].context, *ids][-(context_tokens + 1) :], scored=len(ids))
        for i in apart
        for ids in rows[i].continuations
    ]
    run: Any = {"batch_tokens": batch_tokens, "device": device, "on_batch": on_batch}
    nats: dict[int, list[float]] = {}
    if together:  # none of a model in training, which is known by its logits alone
        score_together = fixed_nats if fixed else shared_nats
        nats |= zip(together, score_together(model, [rows[i] for i in together], **run), strict=True)
    single = iter(window_nats(model, windows, **run))
    nats |= {i: [float(next(single)) for _ in rows[i].continuations] for i in apart}
    for i, question in enumerate(questions):
        if not all(map(math.isfinite, nats[i])):
            raise RedwhaleError(
                f"{question.task} {question.index}: the model's log-likelihoods are {nats[i]}, not numbers",
                where=models.folder_of(model),
                fix="look at the weights: NaN or infinity in them comes from training or from a wrong dtype",
            )  # fmt: skip
    return Scored(
        log_likelihoods=[[-value for value in nats[i]] for i in range(len(rows))],
        truncated=[sum(len(row.context) + len(ids) > context_tokens + 1 for ids in row.continuations) for row in rows],
    )


def encode_questions(tokenizer: Any, questions: Sequence[Question], *, context_tokens: int) -> list[SharedRow]:
    """Encode the prompt of every question, and every choice after it."""
    contexts, wholes = [], []
    for question in questions:
        context = question.context.rstrip()
        spaces = question.context[len(context) :]
        contexts.append(context)
        wholes += [f"{context}{spaces} {choice}" for choice in question.choices]
    encoded_contexts, encoded_wholes = encode_all(tokenizer, contexts), iter(encode_all(tokenizer, wholes))
    rows = []
    for question, context_ids in zip(questions, encoded_contexts, strict=True):
        row = SharedRow(context_ids, [next(encoded_wholes)[len(context_ids) :] for _ in question.choices])
        for choice, ids in zip(question.choices, row.continuations, strict=True):
            if not 0 < len(ids) <= context_tokens or not context_ids:
                raise RedwhaleError(
                    f"{question.task} {question.index}: the choice {choice[:40]!r} becomes {len(ids)} tokens, "
                    f"which a model that reads {context_tokens} cannot score",
                    where=models.folder_of(tokenizer),
                    fix=f"leave {question.task} out of `evaluate.kobest.tasks`",
                )
        rows.append(row)
    return rows


def encode_all(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """Encode with the tokenizer's own defaults, a few thousand texts at a time."""
    encoded: list[list[int]] = []
    for start in range(0, len(texts), _ENCODE_AT_ONCE):
        encoded += tokenizer(texts[start : start + _ENCODE_AT_ONCE], verbose=False)["input_ids"]
    return encoded


def adds_bos(tokenizer: Any) -> bool:
    """Tell whether the tokenizer puts BOS in front by itself, which decides what the model sees."""
    ids = tokenizer("가")["input_ids"]
    return tokenizer.bos_token_id is not None and ids[:1] == [tokenizer.bos_token_id]
