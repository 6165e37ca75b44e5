"""How far apart two models' next-token distributions are on the same ids.

KL(base || model) = sum over tokens of p (ln p - ln q), p the base's probabilities and q the model's, in nats. Both are
taken over the base's ids alone: what a model gives to new tokens is left out before the softmax.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.measure.bits_per_byte import sliding_windows
from redwhale.measure.likelihood import length_sorted_batches
from redwhale.measure.models import folder_of
from redwhale.measure.readout import CHUNK_BYTES


@dataclass(frozen=True)
class Divergence:
    """How far two models' next-token distributions are apart, over ``positions``.

    ``kl`` is the sum of KL(base || model) in nats, ``same`` counts positions with a likeliest token in common;
    ``difference`` is the largest between two logits of one token, ``largest`` the largest size of a base's logit.
    """

    positions: int = 0
    kl: float = 0.0
    same: int = 0
    difference: float = 0.0
    largest: float = 0.0

    def __add__(self, other: Divergence) -> Divergence:
        """Pool two bodies of text: every position weighs the same."""
        return Divergence(
            self.positions + other.positions, self.kl + other.kl, self.same + other.same,
            max(self.difference, other.difference), max(self.largest, other.largest),
        )  # fmt: skip


def compare_distributions(
    base: Callable[..., Any], model: Callable[..., Any], sequences: Sequence[list[int]], *, base_ids: int,
    context_tokens: int, batch_tokens: int, device: str | torch.device,
) -> Divergence:  # fmt: skip
    """Compare the predictions of each token but the first of ``sequences`` over the ids below ``base_ids``.

    Both are called as ``model(input_ids=(B, T) int64, attention_mask=(B, T) int64, use_cache=False)`` and give
    ``logits: (B, T, V)``; no more than those of one batch of ``batch_tokens`` are held. Sequences longer than the
    context are read in windows. Raises exit code 2 where the model has fewer rows than ``base_ids``.
    """
    found = Divergence()
    windows = [w for tokens in sequences for w in sliding_windows(tokens, context_tokens=context_tokens)]
    for batch in length_sorted_batches([len(w.tokens) - 1 for w in windows], batch_tokens=batch_tokens):
        rows = [windows[index] for index in batch]
        ids = pad_sequence([torch.tensor(w.tokens[:-1]) for w in rows], batch_first=True)
        ends = torch.tensor([[len(w.tokens) - 1] for w in rows])
        begins = ends - torch.tensor([[w.scored] for w in rows])
        place = torch.arange(ids.shape[1])[None]
        inputs = {"input_ids": ids.to(device), "attention_mask": (place < ends).long().to(device), "use_cache": False}
        chosen = ((begins <= place) & (place < ends)).to(device)
        with torch.no_grad():
            old, new = (side(**inputs).logits[chosen][:, :base_ids] for side in (base, model))
        if new.shape[1] < old.shape[1]:
            raise RedwhaleError(
                f"the model has {new.shape[1]} rows, fewer than the base's {old.shape[1]} tokens",
                where=folder_of(model), fix="name a model made from this base", exit_code=USAGE,
            )  # fmt: skip
        found += divergence_of(old, new)
    return found


def divergence_of(base: torch.Tensor, model: torch.Tensor) -> Divergence:
    """Compare logits ``(positions, ids)``, each position by its own softmax, in float32 and chunks of 64 MiB."""
    found = Divergence()
    chunk = max(1, CHUNK_BYTES // (4 * base.shape[1]))
    for old, new in zip(base.split(chunk), model.split(chunk), strict=True):
        old, new = old.float(), new.float()
        log_p, log_q = torch.log_softmax(old, -1), torch.log_softmax(new, -1)
        # No divergence is below 0; what is, is rounding.
        kl = (log_p.exp() * (log_p - log_q)).sum(-1).clamp(min=0)
        # Coarse weights give equal logits to several tokens; whichever argmax took of them would say nothing.
        same = ((old == old.amax(-1, keepdim=True)) & (new == new.amax(-1, keepdim=True))).any(-1)
        found += Divergence(
            len(old), float(kl.sum(dtype=torch.float64)), int(same.sum()), float((old - new).abs().max()),
            float(old.abs().max()),
        )  # fmt: skip
    return found


def logits_tolerance(dtype: torch.dtype) -> float:
    """Return the difference up to which logits of weights in ``dtype`` count as equal, as a share of the largest.

    A head with more rows may be multiplied by another kernel, which adds in another order: below 1e-5 in float32.
    Coarser weights give logits that are rounded to them, so that one more unit in the last place may come from the
    sum and one from its rounding: 2 eps, which is 1.6 % in bfloat16 and 0.2 % in float16.
    """
    return max(1e-5, 2 * torch.finfo(dtype).eps)
