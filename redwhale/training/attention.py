"""What a token may look at in a packed sequence.

With position numbers that restart and a block mask, SDPA gives exactly what each document would give on
its own. Neither alone is enough: restarted positions without a mask leak between documents, and any cache
turns the model's own document detection off, so the cache stays off.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from redwhale.core.errors import USAGE, RedwhaleError, first_line

IMPLEMENTATION = "sdpa"
FLEX = "flex_attention"
"""The library's names of both kernels."""


def own_document_mask(document_ids: Tensor, *, dtype: torch.dtype) -> Tensor:
    """Return ``(B, 1, T, T)``, 0 where query and key share a document and the key is not later, else -infinity.

    ``document_ids: (B, T)``, rising within a row. ``dtype`` is the layers' own: of a mask of another type SDPA
    makes a copy in every layer, and all of them are kept for the backward pass.
    """
    length = document_ids.shape[1]
    same = document_ids.unsqueeze(2) == document_ids.unsqueeze(1)
    causal = torch.ones(length, length, dtype=torch.bool, device=document_ids.device).tril()
    seen = (same & causal).unsqueeze(1)
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, float("-inf"))


def own_document_blocks(document_ids: Tensor) -> Any:
    """Return the same as FlexAttention's block mask, ``(B, 1, T, T)``: tiles in which nothing is seen are left out."""
    from torch.nn.attention.flex_attention import create_block_mask

    def seen(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (document_ids[row, query] == document_ids[row, key])

    rows, length = document_ids.shape
    return create_block_mask(seen, rows, None, length, length, device=document_ids.device)


def use_flex(model: Any, *, device: str, where: str) -> None:
    """Let the model's layers attend by FlexAttention; raise exit code 2 where they cannot."""
    if device != "cuda":
        raise RedwhaleError(
            f"FlexAttention trains on CUDA alone, this stage runs on {device}", where="pretrain.attention",
            fix="set `attention: sdpa`", exit_code=USAGE,
        )  # fmt: skip
    try:
        model.set_attn_implementation(FLEX)
    except ValueError as error:
        raise RedwhaleError(
            f"the model has no FlexAttention ({first_line(error)})", where=where,
            fix="set `pretrain.attention: sdpa`", exit_code=USAGE,
        ) from error  # fmt: skip


@contextlib.contextmanager
def without_flex(model: Any) -> Iterator[None]:
    """Attend by SDPA while a model is measured: FlexAttention would be compiled anew for texts of every length."""
    chosen = model.config._attn_implementation
    if chosen == FLEX:
        model.set_attn_implementation(IMPLEMENTATION)
    try:
        yield
    finally:
        if chosen == FLEX:
            model.set_attn_implementation(chosen)


def describe(documents_attend: str, device: str, *, kernel: str) -> str:
    """Name the kernel that runs, for the start-up lines."""
    if kernel == "flex":
        return "FlexAttention, tiles of other documents left out"
    if documents_attend == "own":
        kernel = "memory-efficient or math kernel" if device == "cuda" else "CPU flash kernel"
        return f"SDPA with a mask per document ({kernel})"
    return f"SDPA, causal ({'flash' if device == 'cuda' else 'CPU flash'} kernel)"


def refuse_narrow_window(window: int | None, sequence_length: int, *, where: str) -> None:
    """Raise exit code 2 where the model's sliding window is narrower than a sequence: the block mask replaces it."""
    if window is not None and window < sequence_length:
        raise RedwhaleError(
            f"the model attends within a window of {window} tokens, less than `sequence_length` {sequence_length}",
            where=where, fix=f"set `pretrain.sequence_length` to at most {window}, or `documents_attend: all`",
            exit_code=USAGE,
        )  # fmt: skip
