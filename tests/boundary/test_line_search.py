"""The nearest crossing on a line, against every crossing of small ReLU networks, found kink by kink."""

import math

import pytest
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.boundary.line_search import nearest_crossings
from dimple.tensors import generator, norm
from tests.oracles import randomize_weights

pytestmark = pytest.mark.usefixtures("double")


def crossings(network: nn.Sequential, x: Tensor, direction: Tensor, limit: float) -> Tensor:
    """The distances of all crossings on a ray: between two kinks of the network each of its units is affine."""
    distances = torch.tensor([0.0, limit])
    zeros = distances
    for depth in range(1, len(network) + 1, 2):
        units = network[:depth](x + distances[:, None] * direction)
        units = units[:, :1] - units[:, 1:] if depth == len(network) else units
        place, unit = torch.nonzero((units[:-1] > 0) != (units[1:] > 0), as_tuple=True)
        fraction = units[place, unit] / (units[place, unit] - units[place + 1, unit])
        zeros = distances[place] + fraction * (distances[place + 1] - distances[place])
        distances = torch.cat([distances, zeros]).sort().values
    return zeros


def nearest(network: nn.Sequential, x: Tensor, directions: Tensor, limit: float) -> Tensor:
    return torch.stack(
        [
            torch.cat([crossings(network, one, ray, limit) for ray in (line, -line)] + [torch.tensor([math.inf])]).min()
            for one, line in zip(x, directions, strict=True)
        ]
    )


def search(model: nn.Module | Boundary, x: Tensor, directions: Tensor, limit: float, resolution: int) -> Tensor:
    boundary = model if isinstance(model, Boundary) else Boundary(model)
    y = boundary.predict(x)
    start = boundary.logit_margin_and_gradient(x, y)
    return nearest_crossings(boundary, x, y, start, directions, limit, resolution)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("limit", "resolution"), [(1.0, 32), (20.0, 640), (30.0, 32), (1000.0, 32), (3.0, 3)])
def test_the_answer_does_not_depend_on_limit_and_resolution(limit: float, resolution: int, seed: int) -> None:
    network = randomize_weights(
        nn.Sequential(nn.Linear(3, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 2)), seed
    )
    x = torch.randn(150, 3, generator=generator(seed, "points"))
    directions = torch.randn(150, 3, generator=generator(seed, "directions"))
    directions /= norm(directions)[:, None]
    expected = nearest(network, x, directions, limit)
    found = search(network, x, directions, limit, resolution).abs()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("limit", [1.0, 30.0, 1e4])
def test_a_thin_layer_of_another_class_hides_in_no_wide_cell(limit: float) -> None:
    # The class changes at 0.03 and back at 0.05: the grid alone steps across both.
    layer = Boundary(lambda x: torch.stack([(x[:, 0] - 0.04).abs() - 0.01, 0.0 * x[:, 0]], dim=1))
    found = search(layer, torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), limit, resolution=4)
    assert float(found) == pytest.approx(0.03, rel=1e-9)


def test_the_first_of_three_crossings_in_one_cell_is_found() -> None:
    def height(x: Tensor) -> Tensor:
        return -(x[:, 0] - 0.1) * (x[:, 0] - 0.35) * (x[:, 0] - 0.6)

    cubic = Boundary(lambda x: torch.stack([height(x), torch.zeros(len(x))], dim=1))
    found = search(cubic, torch.zeros(1, 1), torch.ones(1, 1), limit=1.0, resolution=1)
    assert float(found) == pytest.approx(0.1, rel=1e-9)


def test_a_sample_on_the_boundary_has_no_distance_and_a_line_of_no_length_no_crossing() -> None:
    plane = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
    x = torch.tensor([[0.0, 0.0], [0.5, 0.0]])
    directions = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    assert search(plane, x, directions, limit=1.0, resolution=8).abs().tolist() == [0.0, math.inf]
