"""Bits per byte: how well a model predicts text, comparable across tokenizers.

A loss per token means nothing once the vocabulary has changed: longer tokens are harder and fewer. So
the total negative log-likelihood of a text is divided by its UTF-8 bytes (or its characters) instead.

1. Each text is cut to its first bytes at a character border, so that no long document weighs too much.
2. BOS (EOS where the tokenizer has none) stands in front and is not scored; every other token is.
3. A text longer than the context is scored in windows that overlap by half; each token is scored once,
   in the first window that holds it, which gives it the longest context.

``redwhale.measure.spans`` has two other ways to read long text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redwhale.core.errors import FAILED, RedwhaleError
from redwhale.measure.models import folder_of

if TYPE_CHECKING:
    import torch

    from redwhale.measure.likelihood import Window


@dataclass(frozen=True)
class BitsPerByte:
    """Sums over scored text: ``nats`` of all tokens, UTF-8 ``text_bytes``, ``characters``, ``tokens`` without BOS.

    ``unscored_bytes`` did not fit the context, ``crossings`` are tokens across the border of a span; windows have none.
    ``documents``: nats and scored bytes of each text, in order.
    """

    nats: float
    text_bytes: int
    characters: int
    tokens: int
    unscored_bytes: int = 0
    crossings: int = 0
    documents: tuple[tuple[float, int], ...] = field(default=(), compare=False, repr=False)

    @property
    def bits_per_byte(self) -> float:
        """Return nats / (ln 2 * bytes); NaN where nothing was scored."""
        return self.nats / (math.log(2) * self.text_bytes) if self.text_bytes else math.nan

    @property
    def bits_per_character(self) -> float:
        """Return nats / (ln 2 * characters); NaN where nothing was scored."""
        return self.nats / (math.log(2) * self.characters) if self.characters else math.nan

    @property
    def tokens_per_character(self) -> float:
        """Return tokens / characters; NaN where nothing was scored."""
        return self.tokens / self.characters if self.characters else math.nan

    def __add__(self, other: BitsPerByte) -> BitsPerByte:
        """Pool two bodies of text: every byte weighs the same."""
        return BitsPerByte(
            self.nats + other.nats,
            self.text_bytes + other.text_bytes,
            self.characters + other.characters,
            self.tokens + other.tokens,
            self.unscored_bytes + other.unscored_bytes,
            self.crossings + other.crossings,
            self.documents + other.documents,
        )


def measure_texts(
    model: Callable[..., Any],
    tokenizer: Any,
    texts: list[str],
    *,
    document_bytes: int,
    context_tokens: int,
    batch_tokens: int,
    device: str | torch.device,
) -> BitsPerByte:
    """Score the first ``document_bytes`` bytes of every text and return the sums.

    ``model(input_ids=(B, T) int64, attention_mask=(B, T) int64, use_cache=False).logits`` is (B, T, V);
    it is used as it stands (set evaluation mode first). ``tokenizer`` is a PreTrainedTokenizerFast;
    control tokens written in the text are read as text. ``batch_tokens`` bounds a forward pass and
    changes no result beyond 1e-5. Raises where the tokenizer has neither BOS nor EOS, or drops a text.
    """
    from redwhale.measure.likelihood import window_nats

    if context_tokens < 2:
        raise RedwhaleError(
            f"a context of {context_tokens} tokens scores nothing", where=folder_of(model),
            fix="choose a model that reads 2 at least",
        )  # fmt: skip
    start_token = start_of_text(tokenizer)
    cuts = [cut for text in texts if (cut := cut_to_bytes(text, document_bytes))]
    encoded = encode(tokenizer, cuts)
    windows: list[Window] = []
    owners: list[int] = []
    for number, (cut, ids) in enumerate(zip(cuts, encoded, strict=True)):
        if not ids:
            raise dropped(cut, tokenizer)
        windows += sliding_windows([start_token, *ids], context_tokens=context_tokens)
        owners += [number] * (len(windows) - len(owners))
    nats = window_nats(model, windows, batch_tokens=batch_tokens, device=device).tolist()
    sizes = [len(cut.encode()) for cut in cuts]
    return BitsPerByte(
        nats=math.fsum(nats), text_bytes=sum(sizes), characters=sum(map(len, cuts)), tokens=sum(map(len, encoded)),
        documents=by_document(nats, owners, sizes),
    )  # fmt: skip


def by_document(nats: Iterable[float], owners: Iterable[int], sizes: Sequence[int]) -> tuple[tuple[float, int], ...]:
    """Return nats and size of each document; ``owners`` are the documents that the parts in ``nats`` belong to."""
    sums = [0.0] * len(sizes)
    for owner, part in zip(owners, nats, strict=True):
        sums[owner] += part
    return tuple(zip(sums, sizes, strict=True))


def by_language(results: dict[str, tuple[str, BitsPerByte]]) -> dict[str, BitsPerByte]:
    """Pool results per source, ``{source: (language, result)}``, into results per language."""
    pooled: dict[str, BitsPerByte] = {}
    for language, result in results.values():
        pooled[language] = pooled[language] + result if language in pooled else result
    return pooled


def cut_to_bytes(text: str, limit: int) -> str:
    """Return the longest beginning of ``text`` of at most ``limit`` UTF-8 bytes."""
    data = text[:limit].encode()
    return text[:limit] if len(data) <= limit else data[:limit].decode(errors="ignore")


def encode(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """Encode texts without BOS or EOS and with control tokens in the text read as text."""
    return _encode(tokenizer, texts)["input_ids"] if texts else []


def encode_with_offsets(tokenizer: Any, texts: list[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """Encode texts as ``encode`` does; return ids and each token's first character and the one after its last."""
    if not texts:
        return []
    encoded = _encode(tokenizer, texts, return_offsets_mapping=True)
    return list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))


def _encode(tokenizer: Any, texts: list[str], **more: bool) -> Any:
    return tokenizer(
        texts, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False, verbose=False, **more
    )


def start_of_text(tokenizer: Any) -> int:
    """Return the id of BOS, or of EOS where there is no BOS; raise where there is neither."""
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise RedwhaleError(
        "the tokenizer has neither BOS nor EOS, so the first token of a text cannot be scored",
        where=folder_of(tokenizer),
        fix="name one in the model's tokenizer_config.json",
    )


def dropped(text: str, tokenizer: Any) -> RedwhaleError:
    """Return the error for a text of which a tokenizer leaves nothing."""
    return RedwhaleError(
        f"the tokenizer drops the text {text[:40]!r}", where=folder_of(tokenizer),
        fix="choose one that spells unknown characters by their bytes", exit_code=FAILED,
    )  # fmt: skip


def sliding_windows(tokens: list[int], *, context_tokens: int) -> Iterator[Window]:
    """Split ``tokens`` (BOS first) so that each token but the first is scored once.

    The model reads ``context_tokens`` tokens at a time; starts lie half a context apart.
    """
    from redwhale.measure.likelihood import Window

    first_end = min(len(tokens), context_tokens + 1)
    yield Window(tokens[:first_end], scored=first_end - 1)
    stride = max(1, context_tokens // 2)
    for start in range(stride, len(tokens) - context_tokens - 1 + stride, stride):
        end = min(len(tokens), start + context_tokens + 1)
        yield Window(tokens[start:end], scored=end - (start - stride + context_tokens + 1))
