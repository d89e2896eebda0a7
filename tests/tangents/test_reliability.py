"""Reliability of estimated tangent spaces at known distances of the data from the plane and of the boundary."""

import pytest
import torch
from torch import Tensor

from dimple.manifolds import Sphere
from dimple.probes import OnOff
from dimple.tangents import AutoencoderJacobian, GlobalPCA, LocalPCA, RandomSubspace
from dimple.tangents.base import tangent_basis_and_estimate
from dimple.tensors import generator
from tests.oracles import half_space

pytestmark = pytest.mark.usefixtures("double")
PLANE_DISTANCE = 0.01


def alternating_points() -> Tensor:
    """Return points alternately 0.01 above and below a line in R^3."""
    t = torch.arange(-50, 50) / 100
    return torch.stack([t, torch.zeros(100), PLANE_DISTANCE * (-1.0) ** torch.arange(100)], dim=1)


def samples() -> Tensor:
    return torch.tensor([[0.005, 0.0, 0.0], [0.105, 0.0, 0.0]])


def test_the_plane_distance_of_local_pca_is_that_of_the_neighbors() -> None:
    estimate = LocalPCA(alternating_points(), 1, 20).estimate(samples())
    torch.testing.assert_close(estimate.plane_distance, torch.full((2,), PLANE_DISTANCE), rtol=0.02, atol=0)
    torch.testing.assert_close(estimate.plane_distance**2, estimate.residual * estimate.spectrum.sum(1))


def test_the_plane_distance_of_other_estimates_is_that_of_the_sample() -> None:
    x = samples() + torch.tensor([0.0, 0.3, 0.0])
    field = GlobalPCA(torch.eye(3)[:1] * torch.linspace(-1, 1, 20)[:, None], 1)
    torch.testing.assert_close(field.estimate(x).plane_distance, torch.full((2,), 0.3))
    line = AutoencoderJacobian(lambda x: x[:, :1], lambda z: torch.cat([z, 0 * z, 0 * z], 1), tolerance=1.0)
    torch.testing.assert_close(line.estimate(x).plane_distance, torch.full((2,), 0.3))


@pytest.mark.parametrize(("distance", "reliable"), [(PLANE_DISTANCE / 2, False), (2 * PLANE_DISTANCE, True)])
def test_a_step_shorter_than_the_plane_distance_is_flagged(distance: float, reliable: bool) -> None:
    field = LocalPCA(alternating_points(), 1, 20)
    normal = torch.tensor([0.6, 0.8, 0.0])
    x = samples()[:1]
    boundary = half_space(normal, level=float(normal @ x[0]) - distance)
    result = OnOff(null_draws=1)(boundary, x, torch.ones(1, dtype=torch.long), field)
    assert result.columns["margin_unbounded"][0] == pytest.approx(distance)
    assert result.columns["tangent_plane_distance_ratio"][0] == pytest.approx(PLANE_DISTANCE / distance, rel=0.02)
    assert result.columns["tangent_reliable"].tolist() == [reliable]
    assert result.units["tangent_reliable"] == "yes or no"


def test_a_small_plane_distance_does_not_make_a_bad_estimate_reliable() -> None:
    blob = torch.randn(300, 5, generator=generator(0, "blob"))
    boundary = half_space(torch.eye(5)[0], level=-1e3)
    columns = OnOff(null_draws=1)(boundary, blob[:4], torch.ones(4, dtype=torch.long), LocalPCA(blob, 2, 20)).columns
    assert (columns["tangent_plane_distance_ratio"] < 0.01).all() and not columns["tangent_reliable"].any()


def test_exact_tangents_have_no_estimate() -> None:
    sphere = Sphere()
    x = sphere.sample(3, generator(0, "x"))
    for field in (sphere, RandomSubspace(2, 0, 0)):
        basis, estimate = tangent_basis_and_estimate(field, x)
        assert estimate is None and torch.equal(basis, field.tangent_basis(x))
        columns = OnOff(null_draws=1)(half_space(torch.eye(3)[0]), x, torch.ones(3, dtype=torch.long), field).columns
        assert not any(name.startswith("tangent_") for name in columns)


def test_the_estimate_has_the_basis_of_its_field() -> None:
    field = LocalPCA(alternating_points(), 1, 20)
    basis, estimate = tangent_basis_and_estimate(field, samples())
    assert estimate is not None and torch.equal(basis, estimate.basis)
