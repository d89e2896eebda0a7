"""Tests of completeness against the signs of a dense grid, rays, and meshes that lack a component."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dimple.boundary import Boundary
from dimple.errors import ModelError, SceneError
from dimple.levelsets import Exact, Mesh, check_completeness
from dimple.networks import MLP
from dimple.tensors import generator

CPU = torch.device("cpu")


def network(activation: Any, inputs: int = 3, seed: int = 0) -> nn.Sequential:
    net = MLP(widths=(32, 32), activation=activation, first_layer_weight_scale=4.0).build(
        inputs, generator(seed, "network")
    )
    last = net[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.bias -= net(torch.zeros(1, inputs))[0]
    return net.requires_grad_(False)


def crossed_cells(boundary: Boundary, n: int, cells: int) -> np.ndarray:
    """Return the cells of [-1, 1]^n whose corners lie on both sides of the boundary."""
    axes = [torch.linspace(-1, 1, cells + 1, dtype=torch.float64).float()] * n
    points = torch.cartesian_prod(*axes)
    ahead = (
        (boundary.logit_margin(points, torch.ones(len(points), dtype=torch.long)) > 0).numpy().reshape([cells + 1] * n)
    )
    corners = [ahead[tuple(slice(s, s + cells) for s in shift)] for shift in itertools.product((0, 1), repeat=n)]
    count = np.sum(corners, axis=0)
    return np.argwhere((count > 0) & (count < 2**n))


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "softplus"])
@pytest.mark.parametrize("n", [2, 3])
def test_every_crossed_cell_is_unproven_and_few_others_are(activation: str, n: int) -> None:
    boundary = Boundary(network(activation, n))
    cells = 64 if n == 2 else 32
    found = check_completeness(boundary, 1, (-1,) * n, (1,) * n, cells)
    crossed = crossed_cells(boundary, n, cells)
    unproven = set(map(tuple, found.unproven_cells.tolist()))
    assert len(crossed) > 10
    assert set(map(tuple, crossed.tolist())) <= unproven
    assert len(unproven) <= 1.3 * len(crossed)
    assert found.unproven_volume == pytest.approx(len(unproven) * (2 / cells) ** n)


def test_the_volume_halves_with_the_cell() -> None:
    """The volume of the unproven cells is proportional to the area of the surface times the cell size."""
    boundary = Boundary(network("tanh"))
    volumes = [check_completeness(boundary, 1, (-1,) * 3, (1,) * 3, cells).unproven_volume for cells in (16, 32, 64)]
    assert volumes[1] / volumes[0] == pytest.approx(0.5, abs=0.12)
    assert volumes[2] / volumes[1] == pytest.approx(0.5, abs=0.06)


def test_a_mesh_is_complete_only_with_all_its_components() -> None:
    # Two octahedra, one above the origin and one below.
    def solids(x: torch.Tensor) -> torch.Tensor:
        far = (x - torch.tensor([0.5, 0.5, 0.5])).abs().sum(1), (x + torch.tensor([0.5, 0.5, 0.5])).abs().sum(1)
        return torch.stack([torch.zeros(len(x)), 0.3 - (far[0] - (far[0] - far[1]).relu())], dim=1)

    boundary = Boundary(solids)
    box = ((-1.0,) * 3, (1.0,) * 3)
    found = check_completeness(boundary, 1, *box, resolution=32)
    corners = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]) * 0.3
    faces = np.array([[a, b, c] for a in (0, 1) for b in (2, 3) for c in (4, 5)])
    octahedra = [Mesh(corners + shift, faces) for shift in (0.5, -0.5)]
    complete = Mesh(np.concatenate([mesh.vertices for mesh in octahedra]), np.concatenate([faces, faces + 6]))
    assert len(found.missed_cells(complete)) == 0
    missed = found.missed_cells(octahedra[0])
    assert len(missed) > 100
    assert bool((missed < 16).all())


def test_the_exact_surface_of_a_network_is_complete() -> None:
    boundary = Boundary(network("relu"))
    box = ((-1.0,) * 3, (1.0,) * 3)
    mesh = Exact().extract(boundary, 1, *box, CPU)
    assert len(check_completeness(boundary, 1, *box, resolution=64).missed_cells(mesh)) == 0


def test_no_cell_is_unproven_without_a_boundary() -> None:
    found = check_completeness(Boundary(lambda x: torch.stack([x[:, 0], x[:, 0] + 1], dim=1)), 1, (-1, -1), (1, 1), 64)
    assert len(found.unproven_cells) == 0
    assert found.unproven_volume == 0
    assert len(found.missed_cells(Mesh(np.zeros((0, 2)), np.zeros((0, 2), dtype=np.int64)))) == 0


def test_of_more_than_two_classes_the_boundary_of_the_given_label_counts() -> None:
    """Three classes that meet at the origin at angles of 120 degrees: two of the three rays bound the first class."""
    angles = 2 * torch.pi * torch.arange(3) / 3
    directions = torch.stack([angles.cos(), angles.sin()])
    found = check_completeness(Boundary(lambda x: x @ directions), 0, (-1.0, -1.1), (1.1, 1.0), 64)
    x, y = (np.array([-1.0, -1.1]) + (found.unproven_cells + 0.5) * found.cell_size).T
    along_ray = np.cos(np.pi / 3) * x + np.sin(np.pi / 3) * np.abs(y)
    off_ray = np.abs(-np.sin(np.pi / 3) * x + np.cos(np.pi / 3) * np.abs(y))
    assert bool(((off_ray < 0.04) & (along_ray > -0.04)).all())


def test_errors_name_the_resolution_or_the_network() -> None:
    with pytest.raises(SceneError, match="check_completeness: resolution is 100; give a power of two from 4 on"):
        check_completeness(Boundary(network("relu")), 1, (-1,) * 3, (1,) * 3, 100)
    with pytest.raises(ModelError, match="nothing is proven about the operation linalg_vector_norm"):
        check_completeness(Boundary(lambda x: torch.stack([x.norm(dim=1), x[:, 0]], dim=1)), 1, (-1, -1), (1, 1))
