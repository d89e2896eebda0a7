"""The compiled subspace iteration against full decompositions, with and without an eigengap."""

import pytest
import torch
from torch import Tensor

from dimple.tangents import LocalPCA
from dimple.tangents._subspace_iteration import leading_directions
from dimple.tangents.base import orthonormalize
from dimple.tangents.principal_angles import largest_principal_angle
from dimple.tensors import generator

K = 31
N = 40


def make_neighborhoods(spectrum: Tensor, count: int = 40) -> tuple[Tensor, Tensor]:
    """Return neighborhoods with exactly these variances, and their principal directions."""
    stream = generator(0, "frames")
    size = len(spectrum)
    scores = torch.randn(count, K, size, generator=stream, dtype=torch.float64)
    scores = torch.linalg.qr(scores - scores.mean(1, keepdim=True)).Q * K**0.5
    frame = torch.linalg.qr(torch.randn(count, N, size, generator=stream, dtype=torch.float64)).Q
    mean = torch.randn(count, 1, N, generator=stream, dtype=torch.float64) * spectrum.max().sqrt()
    return mean + (scores * spectrum.sqrt()) @ frame.mT, frame


def equal_weights(neighborhoods: Tensor) -> Tensor:
    return neighborhoods.new_full(neighborhoods.shape[:2], 1 / K)


FAST = torch.tensor([2.0, 1.0, *[1e-3] * 20], dtype=torch.float64)


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-5)])
def test_principal_directions_are_found_at_any_scale(scale: float, dtype: torch.dtype, tolerance: float) -> None:
    neighborhoods, frame = make_neighborhoods(FAST * scale**2)
    columns, converged = leading_directions(neighborhoods.to(dtype), equal_weights(neighborhoods).to(dtype), 2)
    assert converged.all() and columns.dtype == dtype
    assert largest_principal_angle(orthonormalize(columns.double()), frame[:, :, :2]).max() < tolerance
    variances = columns.double().square().sum(1) / scale**2
    torch.testing.assert_close(variances, FAST[:2].expand(40, 2), rtol=100 * tolerance, atol=0)


@pytest.mark.parametrize(
    "spectrum",
    [
        [1.0, 1.0, 1e-3, 1e-3, 1e-3],
        [1.0, 1.0, *[0.1] * 20],
        [1.0, 1.0],
        [1.0, 1e-4, 1e-9, 1e-9],
        [1.0, 1e-9, 1e-12],
    ],
)
def test_equal_zero_and_widely_spread_variances(spectrum: list[float]) -> None:
    neighborhoods, frame = make_neighborhoods(torch.tensor(spectrum, dtype=torch.float64))
    columns, converged = leading_directions(neighborhoods, equal_weights(neighborhoods), 2)
    assert converged.all()
    # The bound of Davis and Kahan: rounding over the eigengap.
    eigengap = spectrum[1] - (spectrum[2] if len(spectrum) > 2 else 0)
    assert largest_principal_angle(orthonormalize(columns), frame[:, :, :2]).max() < 1e-14 / eigengap + 1e-13


def test_neighborhoods_without_an_eigengap_are_decomposed_instead() -> None:
    slow = torch.linspace(1.0, 0.9, 30, dtype=torch.float64)
    neighborhoods, _ = make_neighborhoods(slow)
    assert not leading_directions(neighborhoods, equal_weights(neighborhoods), 2)[1].any()
    constant = torch.ones(3, K, N)
    assert not leading_directions(constant, equal_weights(constant), 2)[1].any()
    blob = torch.randn(300, N, generator=generator(1, "blob"), dtype=torch.float64)
    field = LocalPCA(blob, 2, 30)
    assert largest_principal_angle(field.tangent_basis(blob[:50]), field.estimate(blob[:50]).basis).max() < 1e-9


def test_weights_are_those_of_a_weighted_covariance() -> None:
    neighborhoods, _ = make_neighborhoods(FAST)
    weight = torch.rand(neighborhoods.shape[:2], generator=generator(2, "weight"), dtype=torch.float64)
    normalized_weight = weight / weight.sum(1, keepdim=True)
    columns, converged = leading_directions(neighborhoods, normalized_weight, 2)
    assert converged.all()
    for row in range(5):
        vectors = torch.linalg.eigh(torch.cov(neighborhoods[row].T, correction=0, aweights=weight[row])).eigenvectors
        assert largest_principal_angle(orthonormalize(columns[row : row + 1]), vectors[None, :, -2:])[0] < 1e-10
