"""Bits per byte over parts of texts that are found by their characters, whatever the tokens are.

How hard a token is depends on what was read before it, and windows of tokens hold more text for the tokenizer with
the longer ones. Two ways around that:

- the beginning of each document alone, as much as fits the context; the bytes left out are counted;
- spans of the same bytes behind the same bytes for every model. Borders lie before a space that follows a non-space,
  where SentencePiece and byte-level tokenizers both begin a token.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from redwhale.core.errors import USAGE, RedwhaleError
from redwhale.measure.bits_per_byte import (
    BitsPerByte,
    by_document,
    cut_to_bytes,
    dropped,
    encode_with_offsets,
    start_of_text,
)

if TYPE_CHECKING:
    import torch

    from redwhale.measure.likelihood import Window

_BORDER = re.compile(r"(?<=\S)(?= )")
Offsets = list[tuple[int, int]]
"""First character of each token, and the one after its last."""


@dataclass(frozen=True)
class Span:
    """A part of a text and the text that is read before it, nothing for the first."""

    context: str
    text: str


def measure_beginnings(
    model: Callable[..., Any],
    tokenizer: Any,
    texts: list[str],
    *,
    document_bytes: int,
    context_tokens: int,
    batch_tokens: int,
    device: str | torch.device,
) -> BitsPerByte:
    """Score of every text's first ``document_bytes`` bytes what fits ``context_tokens`` tokens, each text alone.

    Sums are over what is scored; ``unscored_bytes`` are the rest of those bytes. Arguments and errors otherwise as
    in ``measure_texts``.
    """
    from redwhale.measure.likelihood import Window, window_nats

    start_token = start_of_text(tokenizer)
    cuts = [cut for text in texts if (cut := cut_to_bytes(text, document_bytes))]
    windows: list[Window] = []
    owners: list[int] = []
    sizes: list[int] = []
    sums = BitsPerByte(0.0, 0, 0, 0)
    for cut, (ids, offsets) in zip(cuts, encode_with_offsets(tokenizer, cuts), strict=True):
        if not ids:
            raise dropped(cut, tokenizer)
        kept = tokens_of_whole_characters(offsets, context_tokens)
        scored = cut if kept == len(ids) else cut[: offsets[kept - 1][1] if kept else 0]
        if kept:
            windows.append(Window([start_token, *ids[:kept]], scored=kept))
            owners.append(len(sizes))
        scored_bytes = len(scored.encode())
        sizes.append(scored_bytes)
        sums += BitsPerByte(0.0, scored_bytes, len(scored), kept, unscored_bytes=len(cut.encode()) - scored_bytes)
    nats = window_nats(model, windows, batch_tokens=batch_tokens, device=device).tolist()
    return replace(sums, nats=math.fsum(nats), documents=by_document(nats, owners, sizes))


def measure_spans(
    model: Callable[..., Any],
    tokenizer: Any,
    texts: list[str],
    *,
    document_bytes: int,
    span_bytes: int,
    context_tokens: int,
    batch_tokens: int,
    device: str | torch.device,
) -> BitsPerByte:
    """Score every text's first ``document_bytes`` bytes in spans, each behind BOS and the span before it.

    ``crossings`` counts tokens that lie across a border. These belong to the side where they begin, so that the
    bytes that they take from the next span are predicted by nobody. Arguments and errors otherwise as in
    ``measure_texts``; raises exit code 2 where a span and the text before it exceed ``context_tokens``.
    """
    from redwhale.measure.likelihood import Window, window_nats

    start_token = start_of_text(tokenizer)
    cuts = [cut for text in texts if (cut := cut_to_bytes(text, document_bytes))]
    owned = [(number, span) for number, cut in enumerate(cuts) for span in cut_spans(cut, span_bytes)]
    owners, spans = [number for number, _ in owned], [span for _, span in owned]
    sizes = [len(cut.encode()) for cut in cuts]
    encoded = encode_with_offsets(tokenizer, [span.context + span.text for span in spans])
    windows: list[Window] = []
    sums = BitsPerByte(0.0, 0, 0, 0)
    for span, (ids, offsets) in zip(spans, encoded, strict=True):
        first, crosses = first_token_of_span(offsets, len(span.context))
        if first == len(ids):
            raise dropped(span.text, tokenizer)
        if len(ids) > context_tokens:
            raise _too_long(len(ids), context_tokens)
        windows.append(Window([start_token, *ids], scored=len(ids) - first))
        sums += BitsPerByte(0.0, len(span.text.encode()), len(span.text), len(ids) - first, crossings=int(crosses))
    nats = window_nats(model, windows, batch_tokens=batch_tokens, device=device).tolist()
    return replace(sums, nats=math.fsum(nats), documents=by_document(nats, owners, sizes))


def cut_spans(text: str, span_bytes: int) -> Iterator[Span]:
    """Cut ``text`` at the first border at or after every ``span_bytes`` UTF-8 bytes; the last span may be shorter.

    A border lies before a space that follows a non-space, so that text without spaces is one span.
    """
    context, parts, size = "", list[str](), 0
    for word in _BORDER.split(text):
        if size >= span_bytes:
            yield Span(context, "".join(parts))
            context, parts, size = "".join(parts), [], 0
        parts.append(word)
        size += len(word.encode())
    if size:
        yield Span(context, "".join(parts))


def first_token_of_span(offsets: Offsets, border: int) -> tuple[int, bool]:
    """Return the index of the first token that begins at or after the character ``border``, and whether one crosses.

    The index is the number of tokens where none begins there. Some byte-level tokenizers leave a token's space out
    of its offsets: as a border lies before a space, such a token still begins after it.
    """
    first = next((index for index, (start, _) in enumerate(offsets) if start >= border), len(offsets))
    if border == 0:
        return 0, False
    return first, first > 0 and offsets[first - 1][1] > border


def tokens_of_whole_characters(offsets: Offsets, limit: int) -> int:
    """Return how many tokens, at most ``limit``, end with a whole character.

    A character that is no token is spelt by its bytes, all of which have its offsets.
    """
    kept = min(limit, len(offsets))
    while 0 < kept < len(offsets) and offsets[kept][0] < offsets[kept - 1][1]:
        kept -= 1
    return kept


def _too_long(tokens: int, context_tokens: int) -> RedwhaleError:
    return RedwhaleError(
        f"a span and the text before it are {tokens} tokens, and the model reads {context_tokens}",
        where="evaluate.bits_per_byte.span_bytes", exit_code=USAGE,
        fix="lower it; where a text has no spaces, lower `document_bytes`",
    )  # fmt: skip
