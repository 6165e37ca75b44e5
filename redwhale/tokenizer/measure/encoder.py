"""A tokenizer as it is measured, of whatever type, special parsing off."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from redwhale.tokenizer.byte_alphabet import raw

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor
    from tokenizers import Tokenizer

Spans = list[tuple[int, int]]
"""Start and stop of each token in characters of the text."""
RENAMED = "\0"
"""Stands behind the name of a piece that no text may become."""
_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True, eq=False)
class Encoder:
    """A tokenizer: ``encode`` gives the ids of all texts end to end, (n,) int64; ``spans`` cuts one text.

    ``vocabulary`` is token → id. ``parts`` tells of every id whether it spells no whole character, (ids,) bool.
    ``unknown`` is the id of what cannot be spelt, where there is one. ``package`` is what encodes. ``byte_level`` says
    that the vocabulary is written in bytes' own alphabet.
    """

    package: str
    vocabulary: dict[str, int]
    parts: np.ndarray
    unknown: int | None
    encode: Callable[[Sequence[str]], np.ndarray]
    spans: Callable[[str], Spans]
    byte_level: bool = False


def of_tokenizer(tokenizer: Tokenizer) -> Encoder:
    """Return an encoder of the ``tokenizers`` library; ``tokenizer`` has special parsing off."""
    document = json.loads(tokenizer.to_str())
    byte_level = any('"ByteLevel"' in json.dumps(document.get(part)) for part in ("pre_tokenizer", "decoder"))
    vocabulary = {token.removesuffix(RENAMED): i for token, i in tokenizer.get_vocab(with_added_tokens=True).items()}

    def encode(texts: Sequence[str]) -> np.ndarray:
        encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return _end_to_end([encoding.ids for encoding in encodings])

    def spans(text: str) -> Spans:
        found: Spans = tokenizer.encode(text, add_special_tokens=False).offsets
        return found

    parts = _parts(vocabulary, byte_level=byte_level)
    return Encoder("tokenizers", vocabulary, parts, _unknown(document["model"], vocabulary), encode, spans, byte_level)


def of_sentencepiece(processor: SentencePieceProcessor) -> Encoder:
    """Return an encoder of the ``sentencepiece`` library, on one thread."""
    vocabulary = {processor.id_to_piece(i): i for i in range(processor.get_piece_size())}

    def encode(texts: Sequence[str]) -> np.ndarray:
        return _end_to_end(processor.encode(list(texts), num_threads=1))

    def spans(text: str) -> Spans:
        surfaces = [piece.surface for piece in processor.encode_as_proto(text).pieces]
        return list(pairwise(accumulate(map(len, surfaces), initial=0)))

    parts = _parts(vocabulary, byte_level=False)
    return Encoder("sentencepiece", vocabulary, parts, processor.unk_id(), encode, spans)


def added_ids(base: Encoder, other: Encoder) -> list[int] | None:
    """Return the ids that ``other`` has beyond ``base``, ascending; None where it is no extension of it."""
    if any(other.vocabulary.get(token) != identifier for token, identifier in base.vocabulary.items()):
        return None
    return sorted(set(other.vocabulary.values()) - set(base.vocabulary.values()))


def spells_part(token: str, *, byte_level: bool) -> bool:
    """Tell whether a token's bytes are no whole characters; ``<0x0A>`` is one, ``<0xEA>`` is none."""
    if byte_level:
        data = raw(token) or b""
    else:
        piece = _BYTE_PIECE.fullmatch(token)
        data = bytes([int(piece[1], 16)]) if piece else b""
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


def _parts(vocabulary: dict[str, int], *, byte_level: bool) -> np.ndarray:
    parts = np.zeros(max(vocabulary.values(), default=-1) + 1, dtype=bool)
    parts[[i for token, i in vocabulary.items() if spells_part(token, byte_level=byte_level)]] = True
    return parts


def _unknown(model: dict[str, Any], vocabulary: dict[str, int]) -> int | None:
    if "unk_id" in model:
        identifier: int | None = model["unk_id"]
        return identifier
    return vocabulary.get(model.get("unk_token") or "")


def _end_to_end(ids: list[list[int]]) -> np.ndarray:
    return np.concatenate([np.asarray(part, dtype=np.int64) for part in ids] or [np.zeros(0, np.int64)])
