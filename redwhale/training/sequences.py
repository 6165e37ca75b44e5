"""Cut a source's stream of tokens into training sequences, with labels, documents and positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

IGNORED_LABEL = -100

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TokenSource:
    """One source's stream: ``tokens: (n,)`` uint16 or uint32, ``documents: (documents + 1,)`` int64 starts."""

    name: str
    language: str
    tokens: Array
    documents: Array
    text_bytes: int


@dataclass(frozen=True)
class Sequence:
    """One training sequence of ``T`` tokens, all arrays ``(T,)``.

    ``labels[i]`` (int64) is the token after ``input_ids[i]`` (int64), already shifted, or -100 where that
    token begins another document or does not exist. ``document_ids`` (int32) count from 0 within the
    sequence, ``position_ids`` (int64) restart with each document; where languages are mixed all is one document.
    """

    input_ids: Array
    labels: Array
    document_ids: Array
    position_ids: Array
    source: str


class StreamBlocks:
    """A source's stream cut every ``sequence_length`` tokens, whatever stands there."""

    def __init__(self, source: TokenSource, *, sequence_length: int, pad: int) -> None:
        self._source, self._sequence_length, self._pad = source, sequence_length, pad

    def __len__(self) -> int:  # the last token is only ever a label
        return max(-(-(len(self._source.tokens) - 1) // self._sequence_length), 0)

    def length(self, block: int) -> int:
        """Return how many tokens of block ``block`` are no padding."""
        return min(len(self._source.tokens) - block * self._sequence_length, self._sequence_length)

    def sequence(self, block: int) -> Sequence:
        """Return block ``block`` as a sequence."""
        return cut_block(self._source, block, sequence_length=self._sequence_length, pad=self._pad)


class WholeDocuments:
    """A source's documents put into sequences whole where they fit."""

    def __init__(self, source: TokenSource, *, sequence_length: int, pad: int) -> None:
        self._source, self._sequence_length, self._pad = source, sequence_length, pad
        from redwhale.training.best_fit import fill  # its compiler takes long to import, and a plan packs nothing

        self._bins = fill(source.documents, sequence_length=sequence_length)

    def __len__(self) -> int:
        return len(self._bins)

    def length(self, block: int) -> int:
        """Return how many tokens of block ``block`` are no padding."""
        first, end = self._bins.first[block : block + 2]
        return int(self._bins.lengths[first:end].sum())

    def sequence(self, block: int) -> Sequence:
        """Return block ``block``: its documents one after the other, and padding, without labels, to the end."""
        length, place = self._sequence_length, 0
        ids = np.full(length, self._pad, dtype=np.int64)
        labels = np.full(length, IGNORED_LABEL, dtype=np.int64)
        documents, positions = np.zeros(length, dtype=np.int32), np.zeros(length, dtype=np.int64)
        first, end = self._bins.first[block : block + 2]
        for number, piece in enumerate(range(first, end)):
            start, size = int(self._bins.starts[piece]), int(self._bins.lengths[piece])
            here = slice(place, place + size)
            ids[here] = self._source.tokens[start : start + size]
            labels[here][:-1] = ids[here][1:]
            following = int(np.searchsorted(self._source.documents, start, side="right"))
            if start + size < self._source.documents[following]:  # the document goes on in another sequence
                labels[place + size - 1] = self._source.tokens[start + size]
            documents[here], positions[here] = number, np.arange(size)
            place += size
        documents[place:], positions[place:] = end - first, np.arange(length - place)
        return Sequence(ids, labels, documents, positions, source=self._source.name)


def cut_block(source: TokenSource, block: int, *, sequence_length: int, pad: int) -> Sequence:
    """Cut block ``block`` (``T`` tokens and the one after them) out of a stream, padded where the stream ends."""
    start = block * sequence_length
    stop = min(start + sequence_length, len(source.tokens))
    length = stop - start
    window = np.full(sequence_length + 1, pad, dtype=np.int64)
    read = source.tokens[start : stop + 1]
    window[: len(read)] = read
    labels = window[1:].copy()
    labels[max(len(read) - 1, 0) :] = IGNORED_LABEL
    low, high = np.searchsorted(source.documents, [start + 1, stop + 1])
    starts = source.documents[low:high] - start  # where documents begin after the first token, or right at the end
    labels[starts - 1] = IGNORED_LABEL
    begins = np.zeros(sequence_length, dtype=np.int64)
    begins[starts[starts < sequence_length]] = 1
    if length < sequence_length:
        begins[length] = 1
    document_ids = np.cumsum(begins)
    first = np.maximum.accumulate(np.where(begins > 0, np.arange(sequence_length), 0))
    return Sequence(
        input_ids=window[:-1], labels=labels, document_ids=document_ids.astype(np.int32),
        position_ids=np.arange(sequence_length) - first, source=source.name,
    )  # fmt: skip
