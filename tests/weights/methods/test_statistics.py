"""Rows drawn from the distribution of the base's rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from redwhale.weights.methods.noise import normals
from redwhale.weights.methods.statistics import COVARIANCE_SCALE, covariance, mean_row, multivariate_rows, normal_rows

BASE = torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 1.0], [7.0, 7.0]])


def ones(start: int, stop: int) -> np.ndarray:
    return np.ones((stop - start, 2))


def drawn(width: int):
    def numbers(start: int, stop: int) -> np.ndarray:
        return normals([f"piece {i}" for i in range(start, stop)], width, key=(1, "embedding", "test"))

    return numbers


def test_mean_and_one_deviation_by_hand() -> None:
    assert mean_row(BASE).tolist() == [4.0, 4.0]
    # deviations: sqrt((9 + 1 + 1 + 9) / 4) and sqrt((4 + 4 + 9 + 9) / 4)
    assert normal_rows(BASE, 3, ones).tolist() == [pytest.approx([4 + 5**0.5, 4 + 6.5**0.5])] * 3


def test_covariance_by_hand() -> None:
    # products of deviations (-3, -2), (-1, 2), (1, -3), (3, 3): 9+1+1+9, 6-2-3+9, 4+4+9+9, each by 4
    assert covariance(BASE, np.array([4.0, 4.0])).tolist() == [[5.0, 2.5], [2.5, 6.5]]


def test_the_mean_of_many_rows_does_not_drift() -> None:
    base = torch.full((100_000, 2), 0.1, dtype=torch.float32)
    assert mean_row(base).tolist() == [float(np.float32(0.1))] * 2


def test_random_rows_have_the_moments_of_each_dimension() -> None:
    base = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0, 0.1]) + 2
    rows = normal_rows(base, 20_000, drawn(3))
    assert torch.allclose(rows.mean(dim=0), base.mean(dim=0), atol=0.1)
    assert torch.allclose(rows.std(dim=0) / base.std(dim=0), torch.ones(3), atol=0.03)


def test_multivariate_rows_have_the_scaled_covariance() -> None:
    mix = torch.tensor([[1.0, 0.9, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 2.0]])
    base = torch.randn(400, 3, generator=torch.Generator().manual_seed(0)) @ mix
    rows = multivariate_rows(base, 20_000, drawn(3)).double()
    expected = covariance(base, base.double().mean(dim=0).numpy())
    found = np.cov(rows.T.numpy()) / COVARIANCE_SCALE
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_fewer_rows_than_dimensions_do_not_fall_back_to_the_plain_mean() -> None:
    """transformers' check for a positive definite covariance fails here, and it takes the mean in silence."""
    base = torch.randn(8, 32, generator=torch.Generator().manual_seed(0))
    mean = base.double().mean(dim=0).numpy()
    scaled = torch.from_numpy(1e-9 * covariance(base, mean)).float()
    assert not bool(torch.distributions.constraints.positive_definite.check(scaled).all())
    rows = multivariate_rows(base, 200, drawn(32)).double().numpy() - mean
    assert np.isfinite(rows).all()
    total = np.trace(COVARIANCE_SCALE * covariance(base, mean))
    assert np.mean((rows**2).sum(axis=1)) == pytest.approx(total, rel=0.2)
    # and they vary only where the base's rows do
    outside = np.linalg.svd(base.double().numpy() - mean)[2][8:]
    assert np.abs(rows @ outside.T).max() < 1e-6
