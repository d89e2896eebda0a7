"""Tests of extraction with a proof on a body with a separate spike so thin that no coarse grid shows it."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.mesh_measures import enclosed_volume
from dimple.boundary import Boundary
from dimple.errors import SceneError
from dimple.levelsets import Adaptive, Auto, Exact, Mesh
from dimple.levelsets.auto import component_seed_points, find_missed_components
from dimple.levelsets.mesh import components
from tests.oracles import Abs, randomize_weights

CPU = torch.device("cpu")
LOW = (-1.5,) * 3
HIGH = (1.5,) * 3
SIZE = 0.03
SLOPE = 500.0
TIP = 0.984375


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.copy_(torch.tensor(bias))
    return layer


def body_and_spike() -> nn.Sequential:
    """Class 1 in two octahedra: max(0.8 - |x|, 500 (0.03 - |x - tip|)), in the l1 norm."""
    eye = torch.eye(3).tolist()
    # a - b, b and -b of the two bodies; max(a, b) = relu(a - b) + relu(b) - relu(-b).
    weight = [[-1.0] * 3 + [SLOPE] * 3, [0.0] * 3 + [-SLOPE] * 3, [0.0] * 3 + [SLOPE] * 3]
    bias = [0.8 - SLOPE * SIZE, SLOPE * SIZE, -SLOPE * SIZE]
    return nn.Sequential(
        linear([*eye, *eye], [0.0] * 3 + [-TIP] * 3),
        Abs(),
        linear(weight, bias),
        nn.ReLU(),
        linear([[0.0, 0.0, 0.0], [1.0, 1.0, -1.0]], [0.0, 0.0]),
    ).requires_grad_(False)


def same_without_layers(x: torch.Tensor) -> torch.Tensor:
    level = torch.clamp(0.8 - x.abs().sum(1) - SLOPE * (SIZE - (x - TIP).abs().sum(1)), min=0)
    return torch.stack([torch.zeros(len(x)), level + SLOPE * (SIZE - (x - TIP).abs().sum(1))], dim=1)


@pytest.mark.parametrize(
    ("boundary", "plain"),
    [(Boundary(body_and_spike()), Exact()), (Boundary(same_without_layers), Adaptive(resolution=128))],
)
def test_the_spike_is_found_with_a_proof_and_not_without(boundary: Boundary, plain: Exact | Adaptive) -> None:
    assert components(plain.extract(boundary, 1, LOW, HIGH, CPU))[0] == 1
    mesh = Auto(completeness_resolution=64).extract(boundary, 1, LOW, HIGH, CPU)
    assert components(mesh)[0] == 2
    octahedra = 4 / 3 * (0.8**3 + SIZE**3)
    assert enclosed_volume(mesh) == pytest.approx(octahedra, rel=2e-6 if isinstance(plain, Exact) else 5e-3)


def test_a_network_with_convolutions_has_an_adaptive_level_set() -> None:
    layers = nn.Unflatten(1, (1, 1, 3)), nn.Conv2d(1, 4, (1, 2)), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)
    boundary = Boundary(randomize_weights(nn.Sequential(*layers)).float())
    found = Auto(resolution=16).extract(boundary, 1, LOW, HIGH, CPU)
    adaptive = Adaptive(resolution=16).extract(boundary, 1, LOW, HIGH, CPU)
    assert np.array_equal(found.vertices, adaptive.vertices)
    exact = Exact().extract(boundary, 1, LOW, HIGH, CPU)
    assert exact.area == pytest.approx(adaptive.area, rel=0.02)


def test_the_completeness_resolution_must_be_a_power_of_two() -> None:
    with pytest.raises(
        SceneError, match=r"levelset.completeness_resolution is 60; give a power of two from 4 on, or 0"
    ):
        Auto(completeness_resolution=60)


def test_a_complete_mesh_has_no_missed_components() -> None:
    boundary = Boundary(body_and_spike())
    mesh = Auto(completeness_resolution=64).extract(boundary, 1, LOW, HIGH, CPU)
    assert len(find_missed_components(mesh, boundary, 1, LOW, HIGH, 64).faces) == 0


def test_the_seed_point_of_a_component_is_the_center_of_its_largest_face() -> None:
    corners = np.array([[0.0, 0], [1, 0], [1, 4], [5, 5], [6, 5]])
    assert component_seed_points(Mesh(corners, np.array([[0, 1], [1, 2], [3, 4]]))).tolist() == [[1, 2], [5.5, 5]]
    assert component_seed_points(Mesh(corners, np.zeros((0, 2), dtype=np.int64))).shape == (0, 2)
