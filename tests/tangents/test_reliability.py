"""When an estimated tangent space may split a step: known distances off a plane, and a boundary at known distances."""

import pytest
import torch
from torch import Tensor

from dimple.manifolds import Sphere
from dimple.probes import OnOff
from dimple.tangents import AutoencoderJacobian, GlobalPCA, LocalPCA, RandomSubspace
from dimple.tangents.base import tangents_at
from dimple.tensors import generator
from tests.oracles import half_space

pytestmark = pytest.mark.usefixtures("double")
OFF = 0.01


def layers() -> Tensor:
    """A line in R^3, and its points in turn 0.01 above and below it."""
    t = torch.arange(-50, 50) / 100
    return torch.stack([t, torch.zeros(100), OFF * (-1.0) ** torch.arange(100)], dim=1)


def samples() -> Tensor:
    return torch.tensor([[0.005, 0.0, 0.0], [0.105, 0.0, 0.0]])


def test_local_pca_says_how_far_the_neighbours_lie_off_its_plane() -> None:
    estimate = LocalPCA(layers(), 1, 20).estimate(samples())
    torch.testing.assert_close(estimate.missed, torch.full((2,), OFF), rtol=0.02, atol=0)
    torch.testing.assert_close(estimate.missed**2, estimate.residual * estimate.spectrum.sum(1))


def test_global_pca_and_an_autoencoder_say_how_far_the_sample_itself_lies_off() -> None:
    x = samples() + torch.tensor([0.0, 0.3, 0.0])
    field = GlobalPCA(torch.eye(3)[:1] * torch.linspace(-1, 1, 20)[:, None], 1)
    torch.testing.assert_close(field.estimate(x).missed, torch.full((2,), 0.3))
    line = AutoencoderJacobian(lambda x: x[:, :1], lambda z: torch.cat([z, 0 * z, 0 * z], 1), tolerance=1.0)
    torch.testing.assert_close(line.estimate(x).missed, torch.full((2,), 0.3))


@pytest.mark.parametrize(("distance", "reliable"), [(OFF / 2, False), (2 * OFF, True)])
def test_a_step_shorter_than_the_plane_is_off_is_flagged(distance: float, reliable: bool) -> None:
    field, normal = LocalPCA(layers(), 1, 20), torch.tensor([0.6, 0.8, 0.0])
    x = samples()[:1]
    boundary = half_space(normal, level=float(normal @ x[0]) - distance)
    result = OnOff(draws=1)(boundary, x, torch.ones(1, dtype=torch.long), field)
    assert result.columns["margin_any"][0] == pytest.approx(distance)
    assert result.columns["tangent_validity"][0] == pytest.approx(OFF / distance, rel=0.02)
    assert result.columns["tangent_reliable"].tolist() == [reliable]
    assert result.units["tangent_reliable"] == "yes or no"


def test_a_short_way_off_does_not_make_a_bad_estimate_reliable() -> None:
    blob = torch.randn(300, 5, generator=generator(0, "blob"))
    boundary = half_space(torch.eye(5)[0], level=-1e3)
    columns = OnOff(draws=1)(boundary, blob[:4], torch.ones(4, dtype=torch.long), LocalPCA(blob, 2, 20)).columns
    assert (columns["tangent_validity"] < 0.01).all() and not columns["tangent_reliable"].any()


def test_exact_tangents_have_nothing_to_say_of_themselves() -> None:
    sphere = Sphere()
    x = sphere.sample(3, generator(0, "x"))
    for field in (sphere, RandomSubspace(2, 0, 0)):
        basis, estimate = tangents_at(field, x)
        assert estimate is None and torch.equal(basis, field.tangent_basis(x))
        columns = OnOff(draws=1)(half_space(torch.eye(3)[0]), x, torch.ones(3, dtype=torch.long), field).columns
        assert not any(name.startswith("tangent_") for name in columns)


def test_the_word_of_an_estimate_is_that_of_its_field() -> None:
    field = LocalPCA(layers(), 1, 20)
    basis, estimate = tangents_at(field, samples())
    assert estimate is not None and torch.equal(basis, estimate.basis)
