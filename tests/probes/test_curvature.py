"""The curvature of boundaries with known curvature: balls, planes, saddles, and paraboloids of a given spectrum."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import relu

from dimple.boundary import Boundary
from dimple.networks import MLP
from dimple.probes import Curvature
from dimple.tensors import generator
from tests.oracles import ball, half_space

pytestmark = pytest.mark.usefixtures("double")


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def paraboloid(curvatures: Tensor) -> Boundary:
    """Return a boundary with the given principal curvatures at 0; class 0 is above it."""
    return Boundary(
        lambda x: torch.stack([x[:, -1] - (x[:, :-1].square() * curvatures).sum(1) / 2, 0 * x[:, 0]], dim=1)
    )


@pytest.mark.parametrize("n", [2, 3, 24, 25, 60])
def test_the_curvature_of_a_ball_is_one_over_its_radius_with_the_sign_of_the_side(n: int) -> None:
    radius = n**0.5
    x = gaussian(20, n)
    found = Curvature(steps=24, radius=1e-3)(ball(radius), x, torch.ones(20, dtype=torch.long)).columns
    expected = torch.where(x.norm(dim=1) < radius, 1 / radius, -1 / radius)
    for name in ("curvature", "curvature_null", "curvature_min", "curvature_max"):
        torch.testing.assert_close(found[name], expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(found["curvature_mean_abs"], expected.abs(), rtol=1e-5, atol=0)
    torch.testing.assert_close(found["curvature_finite_difference"], expected, rtol=1e-5, atol=0)


def test_a_half_space_is_flat() -> None:
    found = Curvature()(half_space(gaussian(40, seed=1), 0.3), gaussian(8, 40), torch.ones(8, dtype=torch.long))
    assert all(bool((values.abs() < 1e-9).all()) for values in found.columns.values())


def test_a_saddle_has_both_signs_and_their_mean() -> None:
    saddle = paraboloid(torch.tensor([1.0, -2.0]))
    above = torch.tensor([[0.0, 0.0, 0.1]])
    found = Curvature()(saddle, above, torch.tensor([0])).columns
    expected = {"curvature": -2.0, "curvature_min": -2.0, "curvature_max": 1.0, "curvature_null": -0.5}
    for name, value in (expected | {"curvature_mean_abs": 1.5}).items():
        assert abs(float(found[name]) - value) < 1e-5, name
    below = Curvature()(saddle, -above, torch.tensor([1])).columns
    assert abs(float(below["curvature"]) - 2.0) < 1e-5


def test_the_ends_and_means_of_a_known_spectrum_in_many_dimensions() -> None:
    spectrum = torch.cat([torch.linspace(-1.0, 1.0, 299), torch.tensor([3.0])])
    x = torch.cat([torch.zeros(300), torch.tensor([0.05])])[None]
    found = Curvature(steps=24, null_draws=60)(paraboloid(spectrum), x, torch.tensor([0])).columns
    assert abs(float(found["curvature"]) - 3.0) < 1e-6
    assert abs(float(found["curvature_min"]) + 1.0) < 2e-2
    # Means over random directions have a standard deviation of the order of one over the root of the dimension.
    assert abs(float(found["curvature_mean_abs"] - spectrum.abs().mean())) < 0.06
    assert abs(float(found["curvature_null"] - spectrum.mean())) < 0.03


def test_the_finite_difference_converges_with_the_square_of_the_step() -> None:
    net = MLP(widths=(24, 24), activation="tanh", first_layer_weight_scale=2.0).build(2, generator(3, "network"))
    boundary = Boundary(net.double().requires_grad_(False))
    x = gaussian(40, 2)
    y = boundary.predict(x)
    errors = []
    for radius in (0.08, 0.04, 0.02):
        found = Curvature(radius=radius, null_draws=1)(boundary, x, y).columns
        finite = found["curvature"].isfinite()
        errors.append((found["curvature_finite_difference"] - found["curvature"])[finite].abs())
    assert int(finite.sum()) > 20
    assert 3.8 < float((errors[0] / errors[1]).median()) < 4.2
    assert 3.8 < float((errors[1] / errors[2]).median()) < 4.2


def test_a_relu_network_is_flat_except_at_its_edges() -> None:
    # Two planes meet at a right angle on the line x = 0, above class 0: a convex edge from inside.
    roof = Boundary(lambda x: torch.stack([-x[:, 1] - relu(x[:, 0]) - relu(-x[:, 0]), 0 * x[:, 0]], dim=1))
    found = Curvature(radius=0.5)(roof, torch.tensor([[0.01, -1.0]]), torch.tensor([0])).columns
    assert abs(float(found["curvature"])) < 1e-9
    # A step of half the distance .7 stays within one plane, where the normal is constant; twice the distance crosses
    # the edge.
    assert abs(float(found["curvature_finite_difference"])) < 1e-9
    wide = Curvature(radius=2.0)(roof, torch.tensor([[0.01, -1.0]]), torch.tensor([0])).columns
    assert float(wide["curvature_finite_difference"]) > 0.3


def test_all_columns_are_nan_where_no_boundary_is_found() -> None:
    nowhere = half_space(torch.tensor([0.0, 0.0]), -1.0)
    found = Curvature()(nowhere, gaussian(3, 2), torch.tensor([1, 1, 0]))
    assert all(bool(values.isnan().all()) for values in found.columns.values())


def test_a_sample_on_the_boundary_has_a_curvature_but_no_finite_difference() -> None:
    x = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    found = Curvature()(ball(2.0), x, torch.ones(2, dtype=torch.long)).columns
    torch.testing.assert_close(found["curvature"].abs(), torch.full((2,), 0.5), rtol=1e-5, atol=0)
    for name in ("curvature_finite_difference", "curvature_finite_difference_null"):
        assert found[name].isnan().tolist() == [True, False]
