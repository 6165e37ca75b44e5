"""Random numbers that belong to a token, and the noise that tells equal rows apart."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

TIE_NOISE = 1e-3
"""Noise on a tied row, as a share of the standard deviation of the row's own numbers."""
_CHUNK_ROWS = 8192


def normals(pieces: Sequence[str], width: int, *, key: tuple[int, str, str]) -> np.ndarray:
    """Return standard normal numbers ``(N, width) float64``, those of each piece from its own stream.

    A stream depends on ``key`` (seed, matrix, purpose) and the piece alone: not on other pieces, their order or
    the number of threads.
    """
    numbers = np.empty((len(pieces), width), dtype=np.float64)
    for row, piece in enumerate(pieces):
        words = "\n".join((*map(str, key), piece)).encode()
        stream = np.random.Philox(key=int.from_bytes(hashlib.blake2b(words, digest_size=16).digest(), "little"))
        np.random.Generator(stream).standard_normal(out=numbers[row])
    return numbers


def break_ties(
    rows: torch.Tensor, pieces: Sequence[str], *, dtype: torch.dtype, key: tuple[int, str, str]
) -> tuple[torch.Tensor, int]:
    """Return ``rows: (N, d) float32`` with noise on those that would be stored alike, and how many these are.

    Two tokens with equal rows get equal gradients wherever they do not occur, and the head cannot choose
    between them. Every row of a tied group gets noise, so none depends on the order. ``dtype`` is the stored one.
    """
    digests = [digest for start in range(0, len(rows), _CHUNK_ROWS)
               for digest in row_digests(rows[start : start + _CHUNK_ROWS].to(dtype))]  # fmt: skip
    counts = Counter(digests)
    tied = [row for row, digest in enumerate(digests) if counts[digest] > 1]
    if tied:
        rows = rows.clone()
    for row in tied:
        values = rows[row].double().numpy()
        noise = normals([pieces[row]], len(values), key=key)[0] * (TIE_NOISE * values.std())
        rows[row] = torch.from_numpy(values + noise).float()
    return rows, len(tied)


def row_digests(rows: torch.Tensor) -> list[bytes]:
    """Return a digest of the bytes of every row of ``rows: (N, d)``."""
    return [hashlib.blake2b(row, digest_size=16).digest() for row in rows.contiguous().view(torch.uint8).numpy()]
