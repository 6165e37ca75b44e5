"""The texts of a chunk as one buffer: what the compiled kernels read and write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Texts:
    """Texts in valid UTF-8, end to end: text i is ``data[offsets[i]:offsets[i + 1]]``.

    ``data``: (bytes,) uint8; ``offsets``: (n + 1,) int64, from 0 to ``len(data)``.
    """

    data: np.ndarray
    offsets: np.ndarray

    @staticmethod
    def of(strings: Sequence[str]) -> Texts:
        """Encode strings; lone surrogates become U+FFFD."""
        return Texts.of_bytes([_encode(string) for string in strings])

    @staticmethod
    def of_bytes(parts: Sequence[bytes]) -> Texts:
        """Join texts that are encoded already."""
        offsets = np.zeros(len(parts) + 1, dtype=np.int64)
        np.cumsum([len(part) for part in parts], out=offsets[1:])
        return Texts(np.frombuffer(b"".join(parts), dtype=np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> np.ndarray:
        """Return the length of each text in bytes: (n,) int64."""
        return np.diff(self.offsets)

    def bytes_of(self, index: int) -> bytes:
        """Return one text as bytes."""
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def string(self, index: int) -> str:
        """Return one text."""
        return self.bytes_of(index).decode()

    def strings(self) -> list[str]:
        """Return all texts."""
        return [self.string(index) for index in range(len(self))]

    def replaced(self, changes: dict[int, bytes]) -> Texts:
        """Return these texts with some of them, by index, exchanged for others."""
        if not changes:
            return self
        raw = self.data.tobytes()
        bounds = self.offsets.tolist()
        parts, kept = [], 0  # neighbours that stay are copied as one
        for index in sorted(changes):
            parts += [raw[kept : bounds[index]], changes[index]]
            kept = bounds[index + 1]
        parts.append(raw[kept:])
        sizes = self.sizes
        sizes[list(changes)] = [len(change) for change in changes.values()]
        offsets = np.zeros(len(self) + 1, dtype=np.int64)
        np.cumsum(sizes, out=offsets[1:])
        return Texts(np.frombuffer(b"".join(parts), dtype=np.uint8), offsets)

    def select(self, indices: Sequence[int] | np.ndarray) -> Texts:
        """Return the texts at ``indices``, in that order."""
        return Texts.of_bytes([self.bytes_of(int(index)) for index in indices])


def _encode(string: str) -> bytes:
    try:
        return string.encode()
    except UnicodeEncodeError:
        return string.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
