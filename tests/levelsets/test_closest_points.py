"""Tests of the closest points on a mesh against VTK's distances, and against dense samples of a curve."""

import numpy as np
import pytest
import torch

from benchmarks.mesh_measures import distances_to_mesh, signed_distances_to_mesh
from dimple.boundary import Boundary
from dimple.errors import ShapeError
from dimple.levelsets import Dense, Exact, Mesh
from dimple.levelsets.closest_points import closest_points_on_mesh
from dimple.networks import MLP
from dimple.tensors import generator

CPU = torch.device("cpu")


def test_closest_points_on_slivers_have_the_distances_of_vtk() -> None:
    """Faces from slivers to triangles across the entire box, whose centers hardly show their extent."""
    network = MLP(widths=(24, 24)).build(3, generator(1, "network")).requires_grad_(False)
    with torch.no_grad():
        network[-1].bias -= network(torch.zeros(1, 3))[0]
    mesh = Exact().extract(Boundary(network), 1, (-1,) * 3, (1,) * 3, CPU)
    points = 3 * torch.rand(400, 3, generator=generator(2, "points"), dtype=torch.float64).numpy() - 1.5
    closest = closest_points_on_mesh(mesh, points)
    distances = np.linalg.norm(points - closest, axis=1)
    assert distances == pytest.approx(np.abs(signed_distances_to_mesh(mesh, points)), abs=1e-12)
    assert np.array_equal(distances, distances_to_mesh(mesh, points))
    # A point of the mesh is its own closest point.
    assert closest_points_on_mesh(mesh, closest) == pytest.approx(closest, abs=1e-9)


def test_closest_points_on_a_curve_are_as_near_as_the_nearest_of_many_samples() -> None:
    def spiral(x: torch.Tensor) -> torch.Tensor:
        level = torch.sin(4 * x.norm(dim=1) + torch.atan2(x[:, 1], x[:, 0]))
        return torch.stack([torch.zeros(len(x)), level], dim=1)

    mesh = Dense(resolution=60).extract(Boundary(spiral), 1, (-2, -2), (2, 2), CPU)
    points = 4 * torch.rand(100, 2, generator=generator(3, "points"), dtype=torch.float64).numpy() - 2
    fractions = np.linspace(0, 1, 201)[:, None, None]
    start, end = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    samples = (start + fractions * (end - start)).reshape(-1, 2)
    nearest = np.array([np.linalg.norm(samples - point, axis=1).min() for point in points])
    assert distances_to_mesh(mesh, points) == pytest.approx(nearest, abs=1e-4)
    assert bool((distances_to_mesh(mesh, points) <= nearest + 1e-12).all())


def test_a_degenerate_face_is_a_segment_or_a_point() -> None:
    line = Mesh(np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0]]), np.array([[0, 1, 2], [1, 1, 1]]))
    assert closest_points_on_mesh(line, np.array([[1.5, 3.0, 0.0], [9.0, 0.0, 4.0]])).tolist() == [
        [1.5, 0, 0],
        [2, 0, 0],
    ]


def test_an_empty_mesh_has_no_closest_points() -> None:
    nothing = Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    assert np.isnan(closest_points_on_mesh(nothing, np.zeros((2, 3)))).all()
    with pytest.raises(ShapeError, match=r"the mesh needs \(N, 3\)"):
        closest_points_on_mesh(nothing, np.zeros((2, 2)))
