"""Tests of the measures of meshes on bodies whose volumes, holes and distances are known."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.mesh_measures import (
    distances_to_mesh,
    enclosed_volume,
    euler_number,
    hausdorff_and_mean_distance,
    is_closed,
    sample_surface,
    signed_distances_to_mesh,
)
from dimple.boundary import Boundary
from dimple.errors import ShapeError
from dimple.levelsets import Dense, Exact, Mesh
from dimple.levelsets.closest_points import closest_points_on_mesh
from dimple.levelsets.mesh import components
from dimple.tensors import generator

CPU = torch.device("cpu")


def solid(level: Any) -> Boundary:
    return Boundary(lambda x: torch.stack([torch.zeros(len(x)), level(x)], dim=1))


def ball(radius: Any = 1.0, center: Any = (0.0, 0.0, 0.0)) -> Any:
    return lambda x: radius - (x - torch.tensor(center)).norm(dim=1)


def torus(x: Any) -> Any:
    return 0.4 - torch.stack([x[:, :2].norm(dim=1) - 1, x[:, 2]], dim=1).norm(dim=1)


def mesh_of(level: Any, cells: Any = 48) -> Mesh:
    return Dense(resolution=cells).extract(solid(level), 1, (-2, -2, -2), (2, 2, 2), CPU)


@pytest.mark.parametrize(
    ("level", "count", "euler", "volume"),
    [
        (ball(), 1, 2, 4 / 3 * np.pi),
        (lambda x: -ball()(x), 1, 2, -4 / 3 * np.pi),
        (torus, 1, 0, 2 * np.pi**2 * 0.4**2),
        (
            lambda x: torch.maximum(ball(0.5, (-1, 0, 0))(x), ball(0.5, (1, 0, 0))(x)),
            2,
            4,
            2 * 4 / 3 * np.pi * 0.5**3,
        ),
    ],
)
def test_bodies(level: Any, count: Any, euler: Any, volume: Any) -> None:
    mesh = mesh_of(level)
    assert is_closed(mesh)
    assert components(mesh)[0] == count
    assert euler_number(mesh) == euler
    assert enclosed_volume(mesh) == pytest.approx(volume, rel=0.03)


def test_a_disc_in_the_plane() -> None:
    curve = Dense(resolution=128).extract(solid(lambda x: 1 - x.norm(dim=1)), 1, (-2, -2), (2, 2), CPU)
    assert enclosed_volume(curve) == pytest.approx(np.pi, rel=1e-3)
    assert distances_to_mesh(curve, np.array([[0.0, 0.0], [3.0, 0.0]])) == pytest.approx([1.0, 2.0], abs=1e-3)
    half = Mesh(np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]), np.array([[0, 1], [1, 2]]))
    assert not is_closed(half)
    assert euler_number(half) == 1


def test_distances_are_those_of_the_octahedron() -> None:
    layer = nn.Linear(3, 6)
    readout = nn.Linear(6, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.cat([torch.eye(3), -torch.eye(3)]))
        layer.bias.zero_()
        readout.weight.copy_(torch.tensor([[1.0] * 6, [0.0] * 6]))
        readout.bias.copy_(torch.tensor([0.0, 1.0]))
    network = nn.Sequential(layer, nn.ReLU(), readout)
    mesh = Exact().extract(Boundary(network), 1, (-2, -2, -2), (2, 2, 2), CPU)
    points = np.array([[0.0, 0.0, 0.0], [0.1, 0.2, 0.3], [1.0, 1.0, 1.0], [2.0, 0.0, 0.0]])
    expected = [1 / 3**0.5, 0.4 / 3**0.5, -2 / 3**0.5, -1.0]
    assert signed_distances_to_mesh(mesh, points) == pytest.approx(expected, abs=1e-12)
    assert enclosed_volume(mesh) == pytest.approx(4 / 3, rel=1e-12)
    assert euler_number(mesh) == 2


def test_the_distance_of_two_concentric_spheres_is_the_difference_of_their_radii() -> None:
    inner = mesh_of(ball(1.0))
    outer = mesh_of(ball(1.2))
    largest, mean = hausdorff_and_mean_distance(inner, outer, 2000, generator(0, "samples"))
    assert largest == pytest.approx(0.2, abs=0.01)
    assert mean == pytest.approx(0.2, abs=0.003)
    assert hausdorff_and_mean_distance(inner, inner, 500, generator(0, "samples"))[0] < 1e-7


def test_samples_are_uniform_in_area() -> None:
    points = sample_surface(mesh_of(ball()), 20_000, generator(0, "samples"))
    assert np.abs(points.mean(0)).max() < 0.02
    assert (points[:, 2] ** 2).mean() == pytest.approx(1 / 3, abs=0.01)


def test_an_empty_mesh_is_infinitely_far() -> None:
    empty = Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    assert components(empty)[0] == 0
    assert np.isinf(distances_to_mesh(empty, np.zeros((2, 3)))).all()
    with pytest.raises(ShapeError, match=r"the mesh needs \(N, 3\)"):
        distances_to_mesh(empty, np.zeros((2, 2)))


@pytest.mark.parametrize("shift", [0.0, 0.1, 1.0, 1e6])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("dim", [2, 3])
def test_measures_move_and_scale_with_the_mesh(dim: int, scale: float, shift: float) -> None:
    box = (-1.5,) * dim, (1.5,) * dim
    unit = Dense(resolution=12).extract(solid(lambda x: 1 - x.norm(dim=1)), 1, *box, CPU)
    other = Dense(resolution=12).extract(solid(lambda x: 0.8 - x.norm(dim=1)), 1, *box, CPU)
    points = 1.4 * (2 * torch.rand(50, dim, generator=generator(0, "points"), dtype=torch.float64).numpy() - 1)

    def move(x: Any) -> Any:
        return scale * (x + shift)

    moved, moved_other = (Mesh(move(mesh.vertices), mesh.faces) for mesh in (unit, other))
    tolerance = 1e-6 * scale
    assert moved.area == pytest.approx(scale ** (dim - 1) * unit.area, rel=1e-6)
    assert enclosed_volume(moved) == pytest.approx(scale**dim * enclosed_volume(unit), rel=1e-6)
    assert (components(moved)[0], euler_number(moved), is_closed(moved)) == (1, 2 * (dim - 2), True)
    expected = closest_points_on_mesh(unit, points)
    assert np.abs(closest_points_on_mesh(moved, move(points)) - move(expected)).max() < tolerance
    assert np.abs(distances_to_mesh(moved, move(points)) - scale * distances_to_mesh(unit, points)).max() < tolerance
    known = hausdorff_and_mean_distance(unit, other, 200, generator(1, "surface"))
    found = hausdorff_and_mean_distance(moved, moved_other, 200, generator(1, "surface"))
    assert found == pytest.approx([scale * value for value in known], rel=1e-6)
    sample = sample_surface(moved, 40, generator(2, "surface"))
    assert np.abs(sample - move(sample_surface(unit, 40, generator(2, "surface")))).max() < tolerance
    if dim == 3:
        signed = signed_distances_to_mesh(moved, move(points))
        assert np.abs(signed - scale * signed_distances_to_mesh(unit, points)).max() < tolerance
