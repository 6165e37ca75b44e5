"""Score tokens of many sequences with few forward passes: what every intrinsic measure stands on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from redwhale.core.errors import RedwhaleError
from redwhale.measure.models import folder_of
from redwhale.measure.readout import Readout


@dataclass(frozen=True)
class Window:
    """A run of tokens of which the last ones are scored.

    ``tokens``: at least 2 ids. ``scored``: how many at the end are scored, at most all but the first,
    each given everything before it in the window.
    """

    tokens: Sequence[int]
    scored: int


def length_sorted_batches(lengths: Sequence[int], *, batch_tokens: int) -> Iterator[list[int]]:
    """Group indices, longest first, so that rows times the longest row stay within ``batch_tokens``.

    A row longer than ``batch_tokens`` makes a batch of its own. Ties keep their order.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        rows = max(1, batch_tokens // max(1, lengths[order[start]]))
        yield order[start : start + rows]
        start += rows


@torch.no_grad()
def window_nats(
    model: Callable[..., Any],
    windows: Sequence[Window],
    *,
    batch_tokens: int,
    device: str | torch.device,
    on_batch: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Return the negative log-likelihood of each window's scored tokens: (windows,) float64, in nats.

    ``model`` is used as it stands (set evaluation mode first). Rows are padded on the right under an attention mask;
    the log-softmax is fp32, over scored positions alone. ``on_batch`` hears how many windows each batch finished.
    Raises at an id without a row.
    """
    nats = np.zeros(len(windows), dtype=np.float64)
    readout = Readout(model)
    check_ids(model, (window.tokens for window in windows))
    for batch in length_sorted_batches([len(w.tokens) - 1 for w in windows], batch_tokens=batch_tokens):
        rows = [windows[index] for index in batch]
        width = len(rows[0].tokens) - 1
        input_ids = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros(len(rows), width, dtype=torch.long)
        for row, window in enumerate(rows):
            length = len(window.tokens) - 1
            input_ids[row, :length] = torch.tensor(window.tokens[:-1])
            mask[row, :length] = 1
        inputs = {"input_ids": input_ids.to(device), "attention_mask": mask.to(device)}
        nats[batch] = _scored_nats(readout, inputs, rows)
        if on_batch is not None:
            on_batch(len(rows))
    return nats


def _scored_nats(readout: Readout, inputs: dict[str, torch.Tensor], rows: list[Window]) -> np.ndarray:
    """Sum the scored tokens' nats per row."""
    row_of: list[int] = []
    position_of: list[int] = []
    target: list[int] = []
    for row, window in enumerate(rows):
        length = len(window.tokens) - 1
        row_of += [row] * window.scored
        position_of += range(length - window.scored, length)
        target += window.tokens[length + 1 - window.scored :]
    return np.bincount(row_of, weights=readout.nats(inputs, row_of, position_of, target), minlength=len(rows))


def check_ids(model: Any, sequences: Iterable[Sequence[int]]) -> None:
    """Raise where text became an id beyond the model's rows: a foreign tokenizer, or one with unused added tokens."""
    rows = getattr(getattr(model, "config", None), "vocab_size", None)
    highest = max((max(ids) for ids in sequences if ids), default=-1)
    if rows is not None and highest >= rows:
        raise RedwhaleError(
            f"the text holds the token {highest}, but the model's rows end at {rows - 1}",
            where=folder_of(model),
            fix="put the tokenizer that belongs to the model into its folder",
        )
