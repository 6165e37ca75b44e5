"""Let a model write on behind a prompt, with a cache of keys and values: each token is read once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from redwhale.core.errors import FAILED, RedwhaleError
from redwhale.measure.models import cache_word
from redwhale.measure.samples import MOST_CHOICES


@dataclass(frozen=True)
class Written:
    """The ids that a model wrote, EOS not among them; ``ended`` says that EOS came before the limit."""

    ids: list[int]
    ended: bool


@torch.no_grad()
def generate(
    model: Callable[..., Any],
    prompt: Sequence[int],
    *,
    tokens: int,
    temperature: float,
    seed: int,
    eos: int | None,
    device: torch.device,
    where: str = "",
) -> Written:
    """Write at most ``tokens`` tokens behind the ids of ``prompt``, each drawn from the 50 likeliest.

    ``model(input_ids, attention_mask=, use_cache=True, logits_to_keep=1, CACHE=)`` gives ``logits`` (1, 1, V) and its
    ``CACHE``, which ``cache_word`` names; it is used as it stands (set evaluation mode first). ``seed`` seeds the draws
    of this prompt alone, so neither the other prompts nor their order change them. Raises where logits are not finite,
    naming ``where``.
    """
    generator = torch.Generator().manual_seed(seed)
    unread, cache, word, written = list(prompt), None, cache_word(model), list[int]()
    for _ in range(tokens):
        mask = torch.ones(1, len(prompt) + len(written), dtype=torch.long, device=device)
        row = torch.tensor([unread], device=device)
        output = model(row, attention_mask=mask, use_cache=True, logits_to_keep=1, **{word: cache})
        logits = output.logits[0, -1].float().cpu()
        _need_finite(logits, len(written), where)
        drawn = draw_token(logits, temperature=temperature, generator=generator)
        if drawn == eos:
            return Written(written, ended=True)
        written.append(drawn)
        unread, cache = [drawn], getattr(output, word)
    return Written(written, ended=False)


def draw_token(logits: Tensor, *, temperature: float, generator: torch.Generator) -> int:
    """Draw an id from the 50 likeliest of ``logits``, (V,) float32 on the CPU, where every device draws the same."""
    values, choices = logits.topk(min(MOST_CHOICES, len(logits)))
    return int(choices[torch.multinomial(torch.softmax(values / temperature, dim=0), 1, generator=generator)])


def _need_finite(logits: Tensor, written: int, where: str) -> None:
    bad = logits[~torch.isfinite(logits)]
    if len(bad):
        raise RedwhaleError(
            f"{len(bad)} of {len(logits)} logits are not finite (the first: {float(bad[0])}) "
            f"{written} tokens behind the prompt",
            where=where, fix="its weights are broken, or too large for their precision: make the model again",
            exit_code=FAILED,
        )  # fmt: skip
