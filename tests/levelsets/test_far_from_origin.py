"""Level sets do not depend on where the origin lies: the translated problem has the translated mesh."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.errors import SceneError
from dimple.levelsets.adaptive import Adaptive
from dimple.levelsets.base import LevelSet
from dimple.levelsets.dense import Dense
from dimple.levelsets.exact import Exact
from dimple.levelsets.mesh import Mesh
from dimple.tensors import generator

CPU = torch.device("cpu")


def extract_at(level_set: LevelSet, network: nn.Module, center: float, dim: int) -> Mesh:
    """Return the mesh of a network in a box around a point of the diagonal."""
    return level_set.extract(Boundary(network), 1, [center - 1.5] * dim, [center + 1.5] * dim, CPU)


def translated_network(center: float, dim: int) -> nn.Module:
    """Return a ReLU network whose weights are multiples of 1/256, so that its translation is exact in float64."""
    stream = generator(0, "far")
    first, last = nn.Linear(dim, 16).double(), nn.Linear(16, 2).double()
    with torch.no_grad():
        for parameter in (*first.parameters(), *last.parameters()):
            parameter.copy_((256 * torch.randn(parameter.shape, generator=stream)).round() / 256)
        first.bias -= center * first.weight.sum(1)
    return nn.Sequential(first, nn.ReLU(), last).requires_grad_(False)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("level_set", [Dense(resolution=32), Adaptive(resolution=32), Exact()], ids=repr)
def test_the_mesh_moves_with_the_origin(level_set: LevelSet, dim: int) -> None:
    known = extract_at(level_set, translated_network(0.0, dim), 0.0, dim)
    assert known.area > 1
    for center in (0.1, 1.0, 1e6):
        found = extract_at(level_set, translated_network(center, dim), center, dim)
        assert found.area == pytest.approx(known.area, rel=1e-6)
        assert np.abs(found.vertices - center).max() <= 1.5 + 1e-9


def test_a_classifier_of_float32_is_refused_where_its_rounding_shows() -> None:
    def single(x: Tensor) -> Tensor:
        distance = x.float().sub(1e6).norm(dim=1)
        return torch.stack([distance - 20, 20 - distance], dim=1)

    with pytest.raises(SceneError, match="does not compute in float64; move the problem to the origin"):
        Dense(resolution=32).extract(Boundary(single), 1, [1e6 - 50] * 2, [1e6 + 50] * 2, CPU)


def test_cells_smaller_than_the_rounding_of_float64_are_refused() -> None:
    with pytest.raises(SceneError, match="lost in the rounding of float64"):
        extract_at(Dense(resolution=32), translated_network(0.0, 2), 1e16, 2)
