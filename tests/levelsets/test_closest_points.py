"""The nearest places of a mesh against VTK's distances, and against every point of a curve."""

import numpy as np
import pytest
import torch

from dimple.boundary import Boundary
from dimple.errors import ShapeError
from dimple.levelsets import Exact, Grid, Mesh
from dimple.levelsets.closest_points import nearest_places
from dimple.levelsets.mesh_measures import distances, signed_distances
from dimple.networks import MLP
from dimple.tensors import generator

CPU = torch.device("cpu")


def test_places_of_a_network_with_slivers_are_as_near_as_vtk_says() -> None:
    """Pieces from slivers to walls of the whole box, whose middles say little of where they are."""
    network = MLP(widths=(24, 24)).build(3, generator(1, "network")).requires_grad_(False)
    with torch.no_grad():
        network[-1].bias -= network(torch.zeros(1, 3))[0]
    mesh = Exact().extract(Boundary(network), 1, (-1,) * 3, (1,) * 3, CPU)
    points = 3 * torch.rand(400, 3, generator=generator(2, "points"), dtype=torch.float64).numpy() - 1.5
    places = nearest_places(mesh, points)
    away = np.linalg.norm(points - places, axis=1)
    assert away == pytest.approx(np.abs(signed_distances(mesh, points)), abs=1e-12)
    assert np.array_equal(away, distances(mesh, points))
    # A place of the mesh is its own nearest place.
    assert nearest_places(mesh, places) == pytest.approx(places, abs=1e-9)


def test_places_of_a_curve_are_those_of_all_its_points() -> None:
    def spiral(x: torch.Tensor) -> torch.Tensor:
        level = torch.sin(4 * x.norm(dim=1) + torch.atan2(x[:, 1], x[:, 0]))
        return torch.stack([torch.zeros(len(x)), level], dim=1)

    mesh = Grid(cells=60).extract(Boundary(spiral), 1, (-2, -2), (2, 2), CPU)
    points = 4 * torch.rand(100, 2, generator=generator(3, "points"), dtype=torch.float64).numpy() - 2
    shares = np.linspace(0, 1, 201)[:, None, None]
    start, end = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    everywhere = (start + shares * (end - start)).reshape(-1, 2)
    nearest = np.array([np.linalg.norm(everywhere - point, axis=1).min() for point in points])
    assert distances(mesh, points) == pytest.approx(nearest, abs=1e-4)
    assert bool((distances(mesh, points) <= nearest + 1e-12).all())


def test_a_piece_without_a_size_is_a_segment_or_a_point() -> None:
    line = Mesh(np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0]]), np.array([[0, 1, 2], [1, 1, 1]]))
    assert nearest_places(line, np.array([[1.5, 3.0, 0.0], [9.0, 0.0, 4.0]])).tolist() == [[1.5, 0, 0], [2, 0, 0]]


def test_an_empty_mesh_has_no_places() -> None:
    nothing = Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    assert np.isnan(nearest_places(nothing, np.zeros((2, 3)))).all()
    with pytest.raises(ShapeError, match=r"the mesh needs \(N, 3\)"):
        nearest_places(nothing, np.zeros((2, 2)))
