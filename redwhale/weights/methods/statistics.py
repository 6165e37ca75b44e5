"""Rows from the distribution of all base rows: mean, normal by dimension, multivariate normal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

COVARIANCE_SCALE = 1e-5
"""Hewitt's (nlp.stanford.edu/~johnhew/vocab-expansion.html, 2021); transformers' ``mean_resizing`` takes 1e-9."""
_CHUNK_ROWS, _CHUNK_TOKENS = 8192, 1024
Normals = Callable[[int, int], np.ndarray]
"""Return standard normal numbers ``(stop - start, d) float64`` for new tokens ``start:stop``."""


def mean_row(base: torch.Tensor) -> torch.Tensor:
    """Return the mean of all rows as ``(d,) float32``, summed in float64 row by row."""
    return torch.from_numpy(_mean(base)).float()


def _mean(base: torch.Tensor) -> np.ndarray:
    total = np.zeros(base.shape[1], dtype=np.float64)
    for start in range(0, len(base), _CHUNK_ROWS):
        total += base[start : start + _CHUNK_ROWS].float().numpy().sum(axis=0, dtype=np.float64)
    return total / len(base)


def normal_rows(base: torch.Tensor, count: int, normals: Normals) -> torch.Tensor:
    """Draw ``(count, d) float32`` with the base rows' mean and standard deviation of each dimension."""
    mean = _mean(base)
    squares = np.zeros(base.shape[1], dtype=np.float64)
    for start in range(0, len(base), _CHUNK_ROWS):
        squares += ((base[start : start + _CHUNK_ROWS].float().numpy() - mean) ** 2).sum(axis=0)
    deviation = np.sqrt(squares / len(base))
    return _drawn(count, base.shape[1], normals, lambda chunk: mean + deviation * chunk)


def multivariate_rows(base: torch.Tensor, count: int, normals: Normals) -> torch.Tensor:
    """Draw ``(count, d) float32`` from N(mean, ``COVARIANCE_SCALE`` x covariance) of the base rows (Hewitt 2021).

    The covariance is singular where there are fewer rows than dimensions, and nearly so elsewhere, where a check
    for a positive definite matrix fails and transformers falls back to the plain mean in silence (#35075). So its
    symmetric square root is taken from eigenvalues in float64, negative ones clipped to 0; that root does not
    depend on the signs and order of the eigenvectors.
    """
    mean = _mean(base)
    values, vectors = np.linalg.eigh(covariance(base, mean))
    root = (vectors * np.sqrt(COVARIANCE_SCALE * values.clip(min=0.0))) @ vectors.T
    return _drawn(count, base.shape[1], normals, lambda chunk: mean + chunk @ root)


def covariance(base: torch.Tensor, mean: np.ndarray) -> np.ndarray:
    """Return the covariance of the rows, divided by their number, as ``(d, d) float64``."""
    total = np.zeros((base.shape[1], base.shape[1]), dtype=np.float64)
    for start in range(0, len(base), _CHUNK_ROWS):
        centred = base[start : start + _CHUNK_ROWS].float().numpy() - mean
        total += centred.T @ centred
    return total / len(base)


def _drawn(count: int, width: int, normals: Normals, shape: Callable[[np.ndarray], np.ndarray]) -> torch.Tensor:
    rows = torch.empty(count, width, dtype=torch.float32)
    for start in range(0, count, _CHUNK_TOKENS):
        stop = min(start + _CHUNK_TOKENS, count)
        rows[start:stop] = torch.from_numpy(shape(normals(start, stop))).float()
    return rows
