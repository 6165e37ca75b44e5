"""Let a model go on with the beginning of a text, from a fixed seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from redwhale.measure.bits_per_byte import encode, start_of_text

if TYPE_CHECKING:
    import torch

PROMPT_CHARACTERS = 40
TEMPERATURE, MOST_CHOICES = 0.8, 50


def continue_text(
    model: Callable[..., Any], tokenizer: Any, prompt: str, *, tokens: int, seed: int, device: torch.device
) -> str:
    """Return at most ``tokens`` tokens after ``prompt``, drawn from the 50 likeliest at temperature 0.8.

    ``model(input_ids, attention_mask, use_cache=False, logits_to_keep=1).logits`` is (1, 1, V); it is used as it
    stands. Draws are made on the CPU, so that a device does not change them.
    """
    import torch

    ids = [start_of_text(tokenizer), *encode(tokenizer, [prompt])[0]]
    begun = len(ids)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(tokens):
        row = torch.tensor([ids], device=device)
        logits = model(row, torch.ones_like(row), use_cache=False, logits_to_keep=1).logits[0, -1].float().cpu()
        if not torch.isfinite(logits).all():
            break  # such a model writes nothing; the guards of training speak of it
        values, choices = logits.topk(min(MOST_CHOICES, len(logits)))
        drawn = torch.multinomial(torch.softmax(values / TEMPERATURE, dim=0), 1, generator=generator)
        ids.append(int(choices[drawn]))
        if ids[-1] == tokenizer.eos_token_id:
            break
    return str(tokenizer.decode(ids[begun:], skip_special_tokens=True))
