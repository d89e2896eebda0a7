"""Tests of pairwise boundaries on classifiers with known regions: sectors, nearest images, a ReLU network."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dimple.boundary import AffineSlice, Boundary, restrict_to_slice
from dimple.levelsets import Adaptive, Dense, Exact, class_regions, extract_pairwise_boundaries
from dimple.tensors import generator

THIRDS = torch.tensor([[0.0, 1.0, 0.0], [0.75**0.5, -0.5, 0.0], [-(0.75**0.5), -0.5, 0.0]])


def three_sectors(dim: Any) -> nn.Sequential:
    """Return three linear scores whose regions are sectors of 120 degrees around an axis through the origin."""
    layer = nn.Linear(dim, 3, bias=False)
    with torch.no_grad():
        layer.weight.copy_(THIRDS[:, :dim])
    return nn.Sequential(layer).requires_grad_(False)


@pytest.mark.parametrize("kind", [Dense(resolution=37), Exact(), Adaptive(resolution=32)])
@pytest.mark.parametrize("dim", [2, 3])
def test_three_sectors_meet_in_three_flat_surfaces(kind: Any, dim: Any) -> None:
    boundary = Boundary(three_sectors(dim))
    found = extract_pairwise_boundaries(boundary, (-1.0,) * dim, (1.0,) * dim, kind)
    assert [surface.pair for surface in found] == [(0, 1), (0, 2), (1, 2)]
    height = 2.0 ** (dim - 2)
    oblique = 2 / 3**0.5 * height
    for surface, area in zip(found, (oblique, oblique, height), strict=True):
        assert surface.mesh.area == pytest.approx(area, rel=1e-6 if isinstance(kind, Exact) else 2e-2)
        first, second = (surface.mesh.vertices @ THIRDS[k, :dim].double().numpy() for k in surface.pair)
        assert np.abs(first - second).max() < (2 / 37 if isinstance(kind, Dense) else 1e-4)


def test_on_its_surface_a_pair_has_the_two_largest_scores() -> None:
    stream = generator(0, "pairs")
    network = nn.Sequential(nn.Linear(3, 24), nn.ReLU(), nn.Linear(24, 5)).requires_grad_(False)
    for layer in (network[0], network[2]):
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=stream))
        layer.bias.copy_(torch.randn(layer.bias.shape, generator=stream))
    found = extract_pairwise_boundaries(Boundary(network), (-1.0,) * 3, (1.0,) * 3, Exact())
    assert len(found) >= 2
    for surface in found:
        centers = torch.from_numpy(surface.mesh.vertices[surface.mesh.faces].mean(1)).float()
        top = network(centers).topk(3, dim=1)
        assert float((top.values[:, 0] - top.values[:, 1]).max()) < 1e-4
        clear = top.values[:, 1] - top.values[:, 2] > 1e-3
        assert bool((top.indices[clear, :2].sort(1).values == torch.tensor(surface.pair)).all())


def test_a_grid_is_evaluated_once_for_all_classes() -> None:
    boundary = Boundary(three_sectors(2))
    extract_pairwise_boundaries(boundary, (-1.0, -1.0), (1.0, 1.0), Dense(resolution=64))
    assert boundary.forwards < 1.2 * 65**2


def test_images_in_a_slice_have_pairs_and_regions() -> None:
    images = torch.rand(3, 1, 4, 4, generator=generator(1, "images"))
    flat = images.reshape(3, -1)
    nearest = Boundary(lambda x: -torch.cdist(x.reshape(len(x), -1), flat))
    affine_slice = AffineSlice.from_points(images)
    low, high = affine_slice.bounding_box(images)
    boundary = restrict_to_slice(nearest, affine_slice)
    assert len(extract_pairwise_boundaries(boundary, low, high, Dense(resolution=48))) == 3
    assert set(np.unique(class_regions(boundary, low, high, 20))) == {0, 1, 2}
