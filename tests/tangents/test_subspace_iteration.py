"""The compiled iteration against full decompositions, where the spectrum is easy and where it is not."""

import pytest
import torch
from torch import Tensor

from dimple.tangents import LocalPCA
from dimple.tangents._subspace_iteration import leading_directions
from dimple.tangents.base import orthonormal
from dimple.tangents.principal_angles import largest_angle
from dimple.tensors import generator

K, N = 31, 40


def points(spectrum: Tensor, count: int = 40) -> tuple[Tensor, Tensor]:
    """Neighbourhoods whose points about their mean have exactly these variances, and their principal directions."""
    stream = generator(0, "frames")
    size = len(spectrum)
    scores = torch.randn(count, K, size, generator=stream, dtype=torch.float64)
    scores = torch.linalg.qr(scores - scores.mean(1, keepdim=True)).Q * K**0.5
    frame = torch.linalg.qr(torch.randn(count, N, size, generator=stream, dtype=torch.float64)).Q
    mean = torch.randn(count, 1, N, generator=stream, dtype=torch.float64) * spectrum.max().sqrt()
    return mean + (scores * spectrum.sqrt()) @ frame.mT, frame


def even(near: Tensor) -> Tensor:
    return near.new_full(near.shape[:2], 1 / K)


FAST = torch.tensor([2.0, 1.0, *[1e-3] * 20], dtype=torch.float64)


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
@pytest.mark.parametrize(("dtype", "exact"), [(torch.float64, 1e-11), (torch.float32, 1e-5)])
def test_the_directions_are_the_principal_ones_at_any_scale(scale: float, dtype: torch.dtype, exact: float) -> None:
    near, frame = points(FAST * scale**2)
    columns, settled = leading_directions(near.to(dtype), even(near).to(dtype), 2)
    assert settled.all() and columns.dtype == dtype
    assert largest_angle(orthonormal(columns.double()), frame[:, :, :2]).max() < exact
    variances = columns.double().square().sum(1) / scale**2
    torch.testing.assert_close(variances, FAST[:2].expand(40, 2), rtol=100 * exact, atol=0)


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
def test_equal_missing_and_widely_spread_variances_do_not_matter(spectrum: list[float]) -> None:
    near, frame = points(torch.tensor(spectrum, dtype=torch.float64))
    columns, settled = leading_directions(near, even(near), 2)
    assert settled.all()
    # By the theorem of Davis and Kahan: rounding over the gap.
    gap = spectrum[1] - (spectrum[2] if len(spectrum) > 2 else 0)
    assert largest_angle(orthonormal(columns), frame[:, :, :2]).max() < 1e-14 / gap + 1e-13


def test_what_has_no_gap_says_so_and_is_decomposed_instead() -> None:
    slow = torch.linspace(1.0, 0.9, 30, dtype=torch.float64)
    near, _ = points(slow)
    assert not leading_directions(near, even(near), 2)[1].any()
    nothing = torch.ones(3, K, N)
    assert not leading_directions(nothing, even(nothing), 2)[1].any()
    blob = torch.randn(300, N, generator=generator(1, "blob"), dtype=torch.float64)
    field = LocalPCA(blob, 2, 30)
    assert largest_angle(field.tangent_basis(blob[:50]), field.estimate(blob[:50]).basis).max() < 1e-9


def test_weights_count() -> None:
    near, _ = points(FAST)
    weight = torch.rand(near.shape[:2], generator=generator(2, "weight"), dtype=torch.float64)
    share = weight / weight.sum(1, keepdim=True)
    columns, settled = leading_directions(near, share, 2)
    assert settled.all()
    for row in range(5):
        vectors = torch.linalg.eigh(torch.cov(near[row].T, correction=0, aweights=weight[row])).eigenvectors
        assert largest_angle(orthonormal(columns[row : row + 1]), vectors[None, :, -2:])[0] < 1e-10
