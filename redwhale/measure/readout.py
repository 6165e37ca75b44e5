"""Read from a model how likely chosen tokens are, without making logits of places that nobody asks about.

Of a causal model of the library the layers are run alone and its head is applied at the chosen places, in chunks, so
that no ``(batch, length, vocabulary)`` exists. Whether that gives the model's own logits is tried first: some models
scale or cap them. Anything else that can be called gives whole logits, from the first chosen position on where it can.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

CHUNK_BYTES = 64 * 2**20
_PROBE_TOKENS = 8
_PROBE_TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}
"""Largest gap of logits, as a share of the largest, that the kernels of another shape explain."""


class Readout:
    """A model as a source of log-likelihoods; it is used as it stands (set evaluation mode first)."""

    def __init__(self, model: Callable[..., Any]) -> None:
        self.model = model
        self.layers, self.head = _apart(model)
        self._keeps_tail = "logits_to_keep" in inspect.signature(getattr(model, "forward", model)).parameters

    @torch.no_grad()
    def nats(
        self, inputs: dict[str, Any], row: Sequence[int], position: Sequence[int], target: Sequence[int]
    ) -> np.ndarray:
        """Run ``inputs`` and return -log p(target) as predicted at each place: (targets,) float64, in nats.

        The log-softmax is fp32 whatever the weights are, in chunks of 64 MiB. ``position`` may be in any order.
        """
        places = torch.tensor([list(row), list(position)])
        if self.layers is not None and self.head is not None:
            hidden = self.layers(**inputs, use_cache=False).last_hidden_state
            places = places.to(hidden.device)
            return _nats(hidden[places[0], places[1]], target, head=self.head)
        first = int(places[1].min())
        length = inputs["input_ids"].shape[1]
        tail = {"logits_to_keep": length - first} if self._keeps_tail and first > 0 else {}
        logits = self.model(**inputs, use_cache=False, **tail).logits
        places = places.to(logits.device)
        return _nats(logits[places[0], places[1] - (first if tail else 0)], target, head=None)


def _apart(model: Any) -> tuple[Any, Any]:
    """Return layers and head where these alone give the model's logits, else twice nothing."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    layers = getattr(model, "base_model", None)
    if head is None or layers is None or layers is model:
        return None, None
    ids = (torch.arange(_PROBE_TOKENS, device=head.weight.device) % head.weight.shape[0]).unsqueeze(0)
    with torch.no_grad():
        expected = model(input_ids=ids, use_cache=False).logits.float()
        found = head(layers(input_ids=ids, use_cache=False).last_hidden_state).float()
    gap = (found - expected).abs().max() / expected.abs().max().clamp(min=1e-6)
    # Weights that are not numbers are spoken of where they are scored.
    close = bool(gap <= _PROBE_TOLERANCE[head.weight.dtype]) or not bool(torch.isfinite(expected).all())
    return (layers, head) if close else (None, None)


def _nats(values: Tensor, target: Sequence[int], *, head: Any) -> np.ndarray:
    """Return -log p(target) from hidden states ``(n, d)`` and a head, or from logits ``(n, V)``."""
    wanted = torch.tensor(list(target), device=values.device)
    width = head.weight.shape[0] if head is not None else values.shape[-1]
    chunk = max(1, CHUNK_BYTES // (4 * width))
    parts = []
    for part, ids in zip(values.split(chunk), wanted.split(chunk), strict=True):
        logits = part if head is None else head(part)
        parts.append(torch.nn.functional.cross_entropy(logits.float(), ids, reduction="none"))
    return torch.cat(parts).double().cpu().numpy()
