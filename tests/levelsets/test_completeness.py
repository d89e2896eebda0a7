"""Certificates against the signs of a dense grid, against planes, and against meshes that lack a part."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dimple.boundary import Boundary
from dimple.errors import ModelError, SceneError
from dimple.levelsets import Exact, Mesh, certify
from dimple.networks import MLP
from dimple.tensors import generator

CPU = torch.device("cpu")


def network(activation: Any, inputs: int = 3, seed: int = 0) -> nn.Sequential:
    net = MLP(widths=(32, 32), activation=activation, input_scale=4.0).build(inputs, generator(seed, "network"))
    last = net[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.bias -= net(torch.zeros(1, inputs))[0]
    return net.requires_grad_(False)


def crossed_cells(boundary: Boundary, n: int, cells: int) -> np.ndarray:
    """Cells of [-1, 1]^n whose corners lie on both sides."""
    axes = [torch.linspace(-1, 1, cells + 1, dtype=torch.float64).float()] * n
    points = torch.cartesian_prod(*axes)
    ahead = (boundary.gap(points, torch.ones(len(points), dtype=torch.long)) > 0).numpy().reshape([cells + 1] * n)
    corners = [ahead[tuple(slice(s, s + cells) for s in shift)] for shift in itertools.product((0, 1), repeat=n)]
    count = np.sum(corners, axis=0)
    return np.argwhere((count > 0) & (count < 2**n))


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "softplus"])
@pytest.mark.parametrize("n", [2, 3])
def test_every_crossed_cell_is_undecided_and_few_others_are(activation: str, n: int) -> None:
    boundary, cells = Boundary(network(activation, n)), 64 if n == 2 else 32
    found = certify(boundary, 1, (-1,) * n, (1,) * n, cells)
    crossed = crossed_cells(boundary, n, cells)
    undecided = set(map(tuple, found.undecided.tolist()))
    assert len(crossed) > 10
    assert set(map(tuple, crossed.tolist())) <= undecided
    assert len(undecided) <= 1.3 * len(crossed)
    assert found.volume == pytest.approx(len(undecided) * (2 / cells) ** n)


def test_the_volume_halves_with_the_cell() -> None:
    """A surface has undecided cells in proportion to its area: as many times the cell size are left."""
    boundary = Boundary(network("tanh"))
    volumes = [certify(boundary, 1, (-1,) * 3, (1,) * 3, cells).volume for cells in (16, 32, 64)]
    assert volumes[1] / volumes[0] == pytest.approx(0.5, abs=0.12)
    assert volumes[2] / volumes[1] == pytest.approx(0.5, abs=0.06)


def test_a_whole_mesh_is_complete_and_a_mesh_without_a_part_is_not() -> None:
    # Two octahedra, one above the origin and one below.
    def solids(x: torch.Tensor) -> torch.Tensor:
        far = (x - torch.tensor([0.5, 0.5, 0.5])).abs().sum(1), (x + torch.tensor([0.5, 0.5, 0.5])).abs().sum(1)
        return torch.stack([torch.zeros(len(x)), 0.3 - (far[0] - (far[0] - far[1]).relu())], dim=1)

    boundary, box = Boundary(solids), ((-1.0,) * 3, (1.0,) * 3)
    found = certify(boundary, 1, *box, cells=32)
    corners = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]) * 0.3
    faces = np.array([[a, b, c] for a in (0, 1) for b in (2, 3) for c in (4, 5)])
    parts = [Mesh(corners + shift, faces) for shift in (0.5, -0.5)]
    whole = Mesh(np.concatenate([part.vertices for part in parts]), np.concatenate([faces, faces + 6]))
    assert len(found.missed(whole)) == 0
    missed = found.missed(parts[0])
    assert len(missed) > 100
    assert bool((missed < 16).all())


def test_the_exact_surface_of_a_network_is_complete() -> None:
    boundary, box = Boundary(network("relu")), ((-1.0,) * 3, (1.0,) * 3)
    mesh = Exact().extract(boundary, 1, *box, CPU)
    assert len(certify(boundary, 1, *box, cells=64).missed(mesh)) == 0


def test_nothing_is_left_where_no_boundary_is() -> None:
    found = certify(Boundary(lambda x: torch.stack([x[:, 0], x[:, 0] + 1], dim=1)), 1, (-1, -1), (1, 1), 64)
    assert len(found.undecided) == 0
    assert found.volume == 0
    assert len(found.missed(Mesh(np.zeros((0, 2)), np.zeros((0, 2), dtype=np.int64)))) == 0


def test_more_than_two_classes_have_the_boundary_of_the_label_asked_for() -> None:
    """Three classes that meet at the origin at angles of 120 degrees: two of the three rays bound the first."""
    angles = 2 * torch.pi * torch.arange(3) / 3
    directions = torch.stack([angles.cos(), angles.sin()])
    found = certify(Boundary(lambda x: x @ directions), 0, (-1.0, -1.1), (1.1, 1.0), 64)
    centres = np.array([-1.0, -1.1]) + (found.undecided + 0.5) * found.cell
    rays = np.stack([np.cos(np.pi / 3) * centres[:, 0] + np.sin(np.pi / 3) * np.abs(centres[:, 1])], axis=1)
    off = np.abs(-np.sin(np.pi / 3) * centres[:, 0] + np.cos(np.pi / 3) * np.abs(centres[:, 1]))
    assert bool(((off < 0.04) & (rays[:, 0] > -0.04)).all())


def test_what_cannot_be_certified_says_so() -> None:
    with pytest.raises(SceneError, match="cells is 100; give a power of two"):
        certify(Boundary(network("relu")), 1, (-1,) * 3, (1,) * 3, 100)
    with pytest.raises(ModelError, match="not affine"):
        certify(Boundary(lambda x: torch.stack([x.norm(dim=1), x[:, 0]], dim=1)), 1, (-1, -1), (1, 1))
