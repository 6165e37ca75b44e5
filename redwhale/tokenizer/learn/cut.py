"""Cut words as the base does: its merges on characters or bytes, compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from redwhale.core.hash_table import empty_table, find, insert, table_bits
from redwhale.corpus.clean.characters import decode
from redwhale.tokenizer.base import SENTENCEPIECE, BaseTokenizer
from redwhale.tokenizer.byte_alphabet import raw, written
from redwhale.tokenizer.hangul import SPACE
from redwhale.tokenizer.learn.state import Words
from redwhale.tokenizer.learn.words import CODE_POINTS, WordCounts

_PAIR = np.dtype([("key", np.uint64), ("rank", np.int32), ("into", np.int32)])
_NEVER = np.int32(2**31 - 1)
_NO_SYMBOL = -1


@dataclass(frozen=True)
class Cutter:
    """The base's symbols and merges, with single characters added behind its vocabulary.

    ``strings``: the bytes of each symbol by id, the space as 0x20; None for one that joins with nothing.
    ``characters``: (0x110000,) int32, symbol by code point; ``spelling``: (256,) int32, symbol by byte.
    """

    strings: Sequence[bytes | None]
    characters: np.ndarray
    spelling: np.ndarray
    pairs: np.ndarray
    pair_bits: int

    def cut(self, words: WordCounts, boundaries: np.ndarray) -> Words:
        """Return the words of two or more symbols; ``boundaries`` (morphemes.py) may be empty."""
        symbols = np.empty(len(words.data) + 1, dtype=np.int32)  # only what is written takes memory
        lengths = np.zeros(len(words), dtype=np.int32)
        tables = (self.characters, self.spelling, self.pairs, self.pair_bits)
        used = _cut_words(words.data, words.offsets, tables, symbols, lengths, 2)
        kept = np.flatnonzero(lengths)
        lengths = lengths[kept]
        return Words(
            symbols=symbols[:used],
            starts=np.cumsum(lengths, dtype=np.int64) - lengths,
            lengths=lengths,
            weights=words.counts[kept],
            byte_starts=words.offsets[kept] if len(boundaries) else np.zeros(0, dtype=np.int64),
            boundaries=boundaries,
        )

    def spell(self, string: bytes) -> list[bytes]:
        """Return the symbols of one short string as bytes."""
        symbols, lengths = np.empty(len(string), dtype=np.int32), np.zeros(1, dtype=np.int32)
        data, offsets = np.frombuffer(string, dtype=np.uint8), np.array([0, len(string)], dtype=np.int64)
        _cut_words(data, offsets, (self.characters, self.spelling, self.pairs, self.pair_bits), symbols, lengths, 1)
        return [self.strings[symbol] or b"" for symbol in symbols[: lengths[0]]]


def cutter_of(base: BaseTokenizer, added: Sequence[str] = ()) -> Cutter:
    """Return the cutter of a base with ``added`` single characters of a SentencePiece base as further symbols."""
    vocabulary = base.vocabulary
    strings: list[bytes | None] = [None] * base.tokens
    characters = np.full(CODE_POINTS, _NO_SYMBOL, dtype=np.int32)
    spelling = np.zeros(256, dtype=np.int32)
    for byte in range(256):
        name = f"<0x{byte:02X}>" if base.family == SENTENCEPIECE else written(bytes([byte]))
        spelling[byte] = vocabulary[name]
    spelt = set(spelling.tolist()) if base.family == SENTENCEPIECE else set()
    for piece, identifier in vocabulary.items():
        if identifier not in spelt:
            strings[identifier] = string_of(base, piece)
            if base.family == SENTENCEPIECE and len(piece) == 1:
                characters[ord(" " if piece == SPACE else piece)] = identifier
    for index, character in enumerate(added):
        strings.append(character.encode())
        characters[ord(character)] = base.tokens + index
    return Cutter(strings, characters, spelling, *_pair_table(base))


def string_of(base: BaseTokenizer, piece: str) -> bytes | None:
    """Return a piece of the vocabulary as bytes, the space as 0x20."""
    return piece.replace(SPACE, " ").encode() if base.family == SENTENCEPIECE else raw(piece)


def piece_of(base: BaseTokenizer, string: bytes) -> str:
    """Return bytes as the base's vocabulary writes them."""
    return string.decode().replace(" ", SPACE) if base.family == SENTENCEPIECE else written(string)


def _pair_table(base: BaseTokenizer) -> tuple[np.ndarray, int]:
    """Return the merges by (left << 32 | right), and the bits of the table's size."""
    vocabulary, merges = base.vocabulary, base.document["model"]["merges"]
    ranks: dict[int, tuple[int, int]] = {}
    for rank, (left, right) in enumerate(merges):
        ranks.setdefault(vocabulary[left] << 32 | vocabulary[right], (rank, vocabulary[left + right]))
    bits = table_bits(len(ranks)) + 1
    table = empty_table(1 << bits, _PAIR)
    slots = np.empty(len(ranks), dtype=np.int64)
    insert(table, 0, bits, np.array(list(ranks), dtype=np.uint64), slots)
    if ranks:
        table["rank"][slots], table["into"][slots] = np.array(list(ranks.values()), dtype=np.int32).T
    return table, bits


@njit(cache=True, nogil=True)
def _cut_words(
    data: np.ndarray, offsets: np.ndarray, tables: Any, symbols: np.ndarray, lengths: np.ndarray, at_least: int
) -> int:
    """Write the symbols of the words that have ``at_least`` so many end to end, and their numbers; return all."""
    characters, spelling, pairs, bits = tables
    ranks = np.empty(len(data) + 1, dtype=np.int32)
    filled = 0
    for word in range(len(lengths)):
        i, count = offsets[word], filled
        while i < offsets[word + 1]:
            character, size = decode(data, i)
            if characters[character] != _NO_SYMBOL:
                symbols[count] = characters[character]
                count, i = count + 1, i + size
            else:
                for _ in range(size):
                    symbols[count] = spelling[data[i]]
                    count, i = count + 1, i + 1
        length = _merge(symbols[filled:count], ranks, pairs, bits)
        if length >= at_least:
            lengths[word] = length
            filled += length
    return filled


@njit(cache=True, nogil=True)
def _rank(symbols: np.ndarray, at: int, pairs: np.ndarray, bits: int) -> tuple[Any, Any]:
    slot = find(pairs, 0, bits, int(symbols[at]) << 32 | int(symbols[at + 1]))
    return (pairs[slot].rank, pairs[slot].into) if slot >= 0 else (_NEVER, np.int32(0))


@njit(cache=True, nogil=True)
def _merge(symbols: np.ndarray, ranks: np.ndarray, pairs: np.ndarray, bits: int) -> int:
    """Merge the pair of lowest rank, the leftmost of equals, until there is none; return how many symbols stay."""
    count = len(symbols)
    for at in range(count - 1):
        ranks[at] = _rank(symbols, at, pairs, bits)[0]
    while True:
        place = -1
        for at in range(count - 1):
            if ranks[at] != _NEVER and (place < 0 or ranks[at] < ranks[place]):
                place = at
        if place < 0:
            return count
        symbols[place] = _rank(symbols, place, pairs, bits)[1]
        for i in range(place + 1, count - 1):
            symbols[i] = symbols[i + 1]
            ranks[i] = ranks[i + 1]
        count -= 1
        for at in (place - 1, place):
            if 0 <= at < count - 1:
                ranks[at] = _rank(symbols, at, pairs, bits)[0]
