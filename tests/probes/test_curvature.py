"""The curvature of boundaries that know theirs: balls, planes, saddles, a paraboloid with a whole spectrum."""

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
    """Class 0 above the graph of half the sum of curvature times square: these are its principal curvatures at 0."""
    return Boundary(
        lambda x: torch.stack([x[:, -1] - (x[:, :-1].square() * curvatures).sum(1) / 2, 0 * x[:, 0]], dim=1)
    )


@pytest.mark.parametrize("n", [2, 3, 24, 25, 60])
def test_a_ball_has_one_over_its_radius_round_what_is_inside_and_minus_that_outside(n: int) -> None:
    radius = n**0.5
    x = gaussian(20, n)
    found = Curvature(steps=24, radius=1e-3)(ball(radius), x, torch.ones(20, dtype=torch.long)).columns
    expected = torch.where(x.norm(dim=1) < radius, 1 / radius, -1 / radius)
    for name in ("curvature", "curvature_null", "curvature_min", "curvature_max"):
        torch.testing.assert_close(found[name], expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(found["curvature_size"], expected.abs(), rtol=1e-5, atol=0)
    torch.testing.assert_close(found["curvature_finite"], expected, rtol=1e-5, atol=0)


def test_a_half_space_is_flat() -> None:
    found = Curvature()(half_space(gaussian(40, seed=1), 0.3), gaussian(8, 40), torch.ones(8, dtype=torch.long))
    assert all(bool((values.abs() < 1e-9).all()) for values in found.columns.values())


def test_a_saddle_has_both_signs_and_their_mean() -> None:
    saddle, above = paraboloid(torch.tensor([1.0, -2.0])), torch.tensor([[0.0, 0.0, 0.1]])
    found = Curvature()(saddle, above, torch.tensor([0])).columns
    expected = {"curvature": -2.0, "curvature_min": -2.0, "curvature_max": 1.0, "curvature_null": -0.5}
    for name, value in (expected | {"curvature_size": 1.5}).items():
        assert abs(float(found[name]) - value) < 1e-5, name
    below = Curvature()(saddle, -above, torch.tensor([1])).columns
    assert abs(float(below["curvature"]) - 2.0) < 1e-5


def test_many_dimensions_give_the_ends_and_the_means_of_a_known_spectrum() -> None:
    spectrum = torch.cat([torch.linspace(-1.0, 1.0, 299), torch.tensor([3.0])])
    x = torch.cat([torch.zeros(300), torch.tensor([0.05])])[None]
    found = Curvature(steps=24, draws=60)(paraboloid(spectrum), x, torch.tensor([0])).columns
    assert abs(float(found["curvature"]) - 3.0) < 1e-6
    assert abs(float(found["curvature_min"]) + 1.0) < 2e-2
    # The means are over random directions: their scatter is of the order of one over the root of the dimension.
    assert abs(float(found["curvature_size"] - spectrum.abs().mean())) < 0.06
    assert abs(float(found["curvature_null"] - spectrum.mean())) < 0.03


def test_the_finite_reading_approaches_the_exact_one_with_the_square_of_the_step() -> None:
    net = MLP(widths=(24, 24), activation="tanh", input_scale=2.0).build(2, generator(3, "network"))
    boundary = Boundary(net.double().requires_grad_(False))
    x = gaussian(40, 2)
    y = boundary.predict(x)
    errors = []
    for radius in (0.08, 0.04, 0.02):
        found = Curvature(radius=radius, draws=1)(boundary, x, y).columns
        kept = found["curvature"].isfinite()
        errors.append((found["curvature_finite"] - found["curvature"])[kept].abs())
    assert int(kept.sum()) > 20
    assert 3.8 < float((errors[0] / errors[1]).median()) < 4.2
    assert 3.8 < float((errors[1] / errors[2]).median()) < 4.2


def test_a_relu_network_is_flat_but_for_its_edges() -> None:
    # Two planes that meet at a right angle on the line x = 0, above class 0: from inside, a convex edge.
    roof = Boundary(lambda x: torch.stack([-x[:, 1] - relu(x[:, 0]) - relu(-x[:, 0]), 0 * x[:, 0]], dim=1))
    found = Curvature(radius=0.5)(roof, torch.tensor([[0.01, -1.0]]), torch.tensor([0])).columns
    assert abs(float(found["curvature"])) < 1e-9
    # A step of half the distance .7 lies within one plane, so the normal does not turn; one of twice it meets the edge.
    assert abs(float(found["curvature_finite"])) < 1e-9
    wide = Curvature(radius=2.0)(roof, torch.tensor([[0.01, -1.0]]), torch.tensor([0])).columns
    assert float(wide["curvature_finite"]) > 0.3


def test_where_no_boundary_is_found_nothing_is_said() -> None:
    nowhere = half_space(torch.tensor([0.0, 0.0]), -1.0)
    found = Curvature()(nowhere, gaussian(3, 2), torch.tensor([1, 1, 0]))
    assert all(bool(values.isnan().all()) for values in found.columns.values())


def test_at_a_sample_on_the_boundary_the_curvature_is_known_and_a_finite_step_is_not() -> None:
    x = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    found = Curvature()(ball(2.0), x, torch.ones(2, dtype=torch.long)).columns
    torch.testing.assert_close(found["curvature"].abs(), torch.full((2,), 0.5), rtol=1e-5, atol=0)
    for name in ("curvature_finite", "curvature_finite_null"):
        assert found[name].isnan().tolist() == [True, False]
