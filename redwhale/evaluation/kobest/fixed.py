"""Score questions that all begin with the same examples, which the model reads once.

Keys and values of the common beginning are kept; behind it many questions lie side by side in one row, each with its
choices. A mask lets a choice see the beginning, its own question and itself, so no key is ever copied for another
question. Not the requests of lm-evaluation-harness, which draws examples anew for every question.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from redwhale.evaluation.kobest.shared import SharedRow
from redwhale.measure.likelihood import check_ids
from redwhale.measure.models import cache_word
from redwhale.measure.readout import Readout

_FEWEST_TOKENS = 512


def common_beginning(rows: Sequence[SharedRow]) -> list[int]:
    """Return the tokens that every prompt begins with, of each prompt at most all but the last."""
    prompts = [list(row.context[:-1]) for row in rows]
    pairs = zip(min(prompts), max(prompts), strict=False)  # in order of size, what the ends share all share
    return [one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)]


@torch.no_grad()
def fixed_nats(
    model: Any, rows: Sequence[SharedRow], *, batch_tokens: int, device: str | torch.device,
    on_batch: Callable[[int], None] | None = None,
) -> list[list[float]]:  # fmt: skip
    """Return the negative log-likelihood in nats of every choice of every row; ``on_batch`` hears choices done."""
    check_ids(model, (ids for row in rows for ids in (row.context, *row.continuations)))
    readout, dtype = Readout(model), next(model.parameters()).dtype
    beginning = common_beginning(rows)
    start, cache, word = len(beginning), None, cache_word(model)
    if start:
        ids = torch.tensor([beginning], device=device)
        cache = getattr(model(input_ids=ids, use_cache=True, logits_to_keep=1), word)
    nats: list[list[float]] = []
    # A token's cost grows with all that lies beside it, also where it does not look.
    for chosen in _packed(rows, start=start, most=min(batch_tokens, max(start, _FEWEST_TOKENS))):
        tokens, positions, question, choice = _lay_out(chosen, start=start)
        inputs = {
            "input_ids": tokens.to(device), "position_ids": positions.to(device),
            "attention_mask": _mask(question.to(device), choice.to(device), start=start, dtype=dtype),
        }  # fmt: skip
        if cache is not None:
            inputs[word] = cache
        nats += _choice_nats(readout, inputs, chosen, start=start)
        if cache is not None:
            cache.crop(-tokens.shape[1])  # forget these questions
        if on_batch is not None:
            on_batch(sum(len(row.continuations) for row in chosen))
    return nats


def _packed(rows: Sequence[SharedRow], *, start: int, most: int) -> Iterator[list[SharedRow]]:
    """Group rows in order, so that what lies behind the beginning stays within ``most`` tokens."""
    group: list[SharedRow] = []
    total = 0
    for row in rows:
        length = row.length - start
        if group and total + length > most:
            yield group
            group, total = [], 0
        group.append(row)
        total += length
    if group:
        yield group


def _lay_out(rows: Sequence[SharedRow], *, start: int) -> tuple[torch.Tensor, ...]:
    """Return tokens, positions ``(1, T)``, and question and choice ``(T,)`` of each token; choice 0: the prompt."""
    tokens: list[int] = []
    positions: list[int] = []
    question: list[int] = []
    choice: list[int] = []
    for number, row in enumerate(rows):
        length = len(row.context)
        parts = [row.context[start:], *(ids[:-1] for ids in row.continuations)]
        for place, ids in enumerate(parts):
            first = length if place else start
            tokens += ids
            positions += range(first, first + len(ids))
            question += [number] * len(ids)
            choice += [place] * len(ids)
    return torch.tensor([tokens]), torch.tensor([positions]), torch.tensor(question), torch.tensor(choice)


def _mask(question: torch.Tensor, choice: torch.Tensor, *, start: int, dtype: torch.dtype) -> torch.Tensor:
    """Return the additive mask (1, 1, T, start + T)."""
    length = len(question)
    seen = torch.ones(length, length, dtype=torch.bool, device=question.device).tril()
    seen &= question[:, None] == question[None, :]
    seen &= (choice[None, :] == 0) | (choice[:, None] == choice[None, :])
    seen = torch.cat([seen.new_ones(length, start), seen], dim=1)
    hidden = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return hidden.masked_fill_(~seen, torch.finfo(dtype).min)[None, None]


def _choice_nats(
    readout: Readout, inputs: dict[str, Any], rows: Sequence[SharedRow], *, start: int
) -> list[list[float]]:  # fmt: skip
    """Sum each choice's nats; its first token is predicted at its prompt's last position."""
    position_of: list[int] = []
    target: list[int] = []
    choice_of: list[int] = []
    choices = place = 0
    for row in rows:
        last = place + len(row.context) - start - 1
        place = last + 1
        for ids in row.continuations:
            end = place + len(ids) - 1
            position_of += [last, *range(place, end)]
            target += ids
            choice_of += [choices] * len(ids)
            choices += 1
            place = end
    per_token = readout.nats(inputs, [0] * len(target), position_of, target)
    sums = iter(np.bincount(choice_of, weights=per_token, minlength=choices))
    return [[float(next(sums)) for _ in row.continuations] for row in rows]
