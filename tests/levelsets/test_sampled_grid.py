"""Sampled grids of known class regions, and the adaptive grid compared with the dense one."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dimple.boundary import AffineSlice, Boundary, restrict_to_slice
from dimple.errors import ShapeError
from dimple.levelsets import class_regions
from dimple.levelsets.sampled_grid import SampledGrid, refinement_levels, sample_scores
from dimple.tensors import generator

CPU = torch.device("cpu")
SQUARE = ((-1.0, -1.0), (1.0, 1.0))
CUBE = ((-1.0,) * 3, (1.0,) * 3)


def nearest_mean(means: Tensor) -> Any:
    """Return scores whose differences are affine: the boundary of two classes is the bisector of their means."""
    flat = means.reshape(len(means), -1)
    return lambda x: x.reshape(len(x), -1) @ flat.T - (flat**2).sum(1) / 2


def random_network(dim: int, classes: int, seed: int = 0, width: int = 24) -> nn.Sequential:
    stream = generator(seed, "sampled")
    network = nn.Sequential(nn.Linear(dim, width), nn.ReLU(), nn.Linear(width, classes)).requires_grad_(False)
    for layer in (network[0], network[2]):
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=stream))
        layer.bias.copy_(torch.randn(layer.bias.shape, generator=stream))
    return network


def test_the_boundaries_of_nearest_mean_in_a_slice_are_the_edges_of_voronoi_cells() -> None:
    means = torch.randn(3, 2, 3, 2, generator=generator(0, "means"))
    affine_slice = AffineSlice.from_points(means)
    low, high = affine_slice.bounding_box(means, pad=0.5)
    grid = sample_scores(restrict_to_slice(Boundary(nearest_mean(means)), affine_slice), low, high, 64, CPU)
    points = affine_slice.coordinates(means).double().numpy()
    surfaces = grid.pairwise_boundaries()
    assert [surface.pair for surface in surfaces] == [(0, 1), (0, 2), (1, 2)]
    # The three edges meet in the circumcenter, from which each runs along its bisector to the box.
    a, b, c = points
    center = np.linalg.solve(2 * np.stack([b - a, c - a]), [b @ b - a @ a, c @ c - a @ a])
    for surface in surfaces:
        first, second = surface.pair
        third = 3 - first - second
        direction = np.array([[0.0, -1.0], [1.0, 0.0]]) @ (points[first] - points[second])
        direction *= -np.sign(direction @ (points[third] - center)) / np.linalg.norm(direction)
        lengths = np.where(direction > 0, np.array(high) - center, np.array(low) - center) / direction
        assert surface.mesh.area == pytest.approx(lengths.min(), rel=1e-4)
        offset = surface.mesh.vertices - center
        assert np.abs(offset - np.outer(offset @ direction, direction)).max() < 1e-4
        assert (offset @ direction).min() > -1e-4


def test_surfaces_face_the_first_class_of_their_pair() -> None:
    grid = sample_scores(Boundary(lambda x: torch.stack([x[:, 0], -x[:, 0]], dim=1)), *SQUARE, 32, CPU)
    [surface] = grid.pairwise_boundaries()
    start, end = surface.mesh.vertices[surface.mesh.faces[0]]
    # Class 0 is where x is positive, and lies on the left of the segment.
    assert (end - start)[1] < 0


def test_flat_samples_and_images_give_the_same_bits() -> None:
    means = torch.randn(4, 12, generator=generator(1, "means"))
    found = []
    for shape in ((12,), (3, 2, 2)):
        points = means.reshape(4, *shape)
        boundary = restrict_to_slice(Boundary(nearest_mean(points)), AffineSlice.from_points(points[:3]))
        found.append(sample_scores(boundary, (-3.0, -3.0), (3.0, 3.0), 64, CPU))
    assert torch.equal(found[0].scores, found[1].scores)


@pytest.mark.parametrize(("dim", "cells"), [(2, 128), (3, 48)])
@pytest.mark.parametrize("seed", range(4))
def test_the_adaptive_grid_has_the_classes_of_the_dense_one(dim: int, cells: int, seed: int) -> None:
    boundary = Boundary(random_network(dim, 5, seed))
    box = SQUARE if dim == 2 else CUBE
    sparse, dense = (sample_scores(boundary, *box, cells, CPU, dense=dense) for dense in (False, True))
    assert dense.evaluated.all()
    assert (sparse.corner_classes() == dense.corner_classes()).all()
    assert sparse.evaluated.mean() < 0.6
    areas, expected = ({s.pair: s.mesh.area for s in grid.pairwise_boundaries()} for grid in (sparse, dense))
    assert areas == pytest.approx(expected, rel=1e-6)


def test_a_thin_region_that_is_found_once_is_followed_to_its_end() -> None:
    # A band two fine cells wide, which is a quarter of a coarse cell, along a line of slope 1/7.
    def band_scores(x: Tensor) -> Tensor:
        distance = (x[:, 1] - x[:, 0] / 7 - 0.003).abs()
        return torch.stack([distance - 2 / 128, 0 * distance], dim=1)

    sparse, dense = (sample_scores(Boundary(band_scores), *SQUARE, 256, CPU, dense=dense) for dense in (False, True))
    assert (sparse.corner_classes() == dense.corner_classes()).all()
    assert sparse.evaluated.mean() < 0.2


def test_a_circle_is_found_to_second_order() -> None:
    disc = Boundary(lambda x: torch.stack([x.norm(dim=1), torch.full((len(x),), 0.7)], dim=1))
    resolutions = (32, 64, 128, 256)
    errors = []
    for resolution in resolutions:
        [surface] = sample_scores(disc, *SQUARE, resolution, CPU).pairwise_boundaries()
        errors.append(np.sqrt(np.mean((np.linalg.norm(surface.mesh.vertices, axis=1) - 0.7) ** 2)))
    assert -np.polyfit(np.log(resolutions), np.log(errors), 1)[0] == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("dim", [2, 3])
def test_three_sectors_on_a_grid_meet_without_a_rounded_corner(dim: int) -> None:
    angles = torch.tensor([90.0, -30.0, 210.0]).deg2rad()
    directions = torch.zeros(3, dim)
    directions[:, :2] = torch.stack([angles.cos(), angles.sin()], dim=1)
    box = SQUARE if dim == 2 else CUBE
    surfaces = sample_scores(Boundary(lambda x: x @ directions.T), *box, 24, CPU).pairwise_boundaries()
    oblique = 2 / 3**0.5
    height = 2.0 ** (dim - 2)
    assert [s.mesh.area for s in surfaces] == pytest.approx([oblique * height, oblique * height, height], rel=1e-5)


def test_scores_are_multilinear_between_the_corners_and_those_of_the_classifier_at_them() -> None:
    stream = generator(2, "bilinear")
    scores = torch.randn(4, 4, 3, generator=stream)
    grid = SampledGrid(scores.numpy(), (0.0, 0.0), (3.0, 3.0), np.ones((4, 4), dtype=bool))
    u = 3 * torch.rand(50, 2, generator=stream)
    image = torch.nn.functional.grid_sample(
        scores.permute(2, 1, 0)[None], (u / 1.5 - 1)[None, None], align_corners=True, padding_mode="border"
    )
    assert torch.allclose(grid(u), image[0, :, 0].T, atol=1e-5)
    corners = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0))
    assert torch.equal(grid(corners), scores.reshape(-1, 3))


def test_a_subsampled_grid_equals_a_grid_sampled_at_that_resolution() -> None:
    boundary = Boundary(random_network(2, 4, 7))
    fine, coarse = (sample_scores(boundary, *SQUARE, resolution, CPU, dense=True) for resolution in (128, 32))
    assert torch.allclose(fine.subsample(4).scores, coarse.scores, atol=1e-5)


def test_the_classes_of_a_box_face_are_those_of_its_plane() -> None:
    boundary = Boundary(random_network(3, 4, 3))
    grid = sample_scores(boundary, *CUBE, 24, CPU, dense=True)
    upper = AffineSlice(torch.tensor([0.0, 0.0, 1.0]), torch.eye(3)[:, :2])
    plane = class_regions(restrict_to_slice(Boundary(grid), upper), (-1, -1), (1, 1), 40)
    assert (grid.box_face_classes(40)[2, 1] == plane.T).all()


def test_resolutions_are_powers_of_two_times_a_coarse_resolution() -> None:
    for dim in (2, 3):
        for resolution in range(8, 200):
            coarse, levels = refinement_levels(resolution, dim)
            assert resolution <= coarse << levels < resolution + (1 << levels)
    with pytest.raises(ShapeError, match="resolution is 250, not a power of two times 63; take 252"):
        sample_scores(Boundary(random_network(2, 3)), *SQUARE, 250, CPU)
