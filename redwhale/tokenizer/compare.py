"""Measure base against new tokenizer on held-out text, per source and per language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from tokenizers import Tokenizer

from redwhale.tokenizer.base import SENTENCEPIECE, BaseTokenizer
from redwhale.tokenizer.byte_alphabet import raw

HeldOut = Mapping[str, tuple[str, list[str]]]
"""Source → language and texts."""


@dataclass
class Counts:
    """Sizes of a body of text and its tokens; ``byte_tokens`` spell a part of a character."""

    bytes: int = 0
    characters: int = 0
    eojeols: int = 0
    base_tokens: int = 0
    new_tokens: int = 0
    base_byte_tokens: int = 0
    new_byte_tokens: int = 0

    def add(self, other: Counts) -> None:
        """Add another body of text."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def metrics(self) -> dict[str, Any]:
        """Return tokens per character and eojeol, bytes per token, share of byte tokens, and new / base."""
        metrics: dict[str, Any] = {"characters": self.characters, "bytes": self.bytes}
        if not self.base_tokens or not self.new_tokens:
            return metrics
        sides = {
            "base": (self.base_tokens, self.base_byte_tokens),
            "new": (self.new_tokens, self.new_byte_tokens),
        }
        for side, (tokens, byte_tokens) in sides.items():
            metrics[side] = {
                "tokens": tokens,
                "tokens_per_character": round(tokens / self.characters, 4),
                "tokens_per_eojeol": round(tokens / self.eojeols, 4) if self.eojeols else None,
                "bytes_per_token": round(self.bytes / tokens, 4),
                "byte_token_share": round(byte_tokens / tokens, 4),
            }
        return metrics | {"ratio": round(self.new_tokens / self.base_tokens, 4)}


def compare(base: BaseTokenizer, new: Tokenizer, held_out: HeldOut) -> dict[str, Any]:
    """Return ``{"sources": {name: metrics}, "languages": {language: metrics}}`` over whole held-out texts."""
    old = base.tokenizer()
    splits_character = _byte_token_test(base)
    old_bytes, new_bytes = _byte_ids(old, splits_character), _byte_ids(new, splits_character)
    sources: dict[str, Any] = {}
    languages: dict[str, Counts] = {}
    for name, (language, texts) in held_out.items():
        counts = Counts()
        for text in texts:
            old_ids, new_ids = (t.encode(text, add_special_tokens=False).ids for t in (old, new))
            counts.add(
                Counts(
                    bytes=len(text.encode()),
                    characters=len(text),
                    eojeols=len(text.split()),
                    base_tokens=len(old_ids),
                    new_tokens=len(new_ids),
                    base_byte_tokens=sum(i in old_bytes for i in old_ids),
                    new_byte_tokens=sum(i in new_bytes for i in new_ids),
                )
            )
        sources[name] = {"language": language, "documents": len(texts)} | counts.metrics()
        languages.setdefault(language, Counts()).add(counts)
    return {"sources": sources, "languages": {language: counts.metrics() for language, counts in languages.items()}}


def _byte_ids(tokenizer: Tokenizer, test: Callable[[str], bool]) -> set[int]:
    return {identifier for token, identifier in tokenizer.get_vocab().items() if test(token)}


def _byte_token_test(base: BaseTokenizer) -> Callable[[str], bool]:
    """Return a test for tokens that are no whole characters: byte pieces, or bytes that are no UTF-8 alone."""
    if base.family == SENTENCEPIECE:
        bytes_named = {f"<0x{byte:02X}>" for byte in range(256)}
        return bytes_named.__contains__

    def incomplete(token: str) -> bool:
        try:
            (raw(token) or b"").decode()
        except UnicodeDecodeError:
            return True
        return False

    return incomplete
