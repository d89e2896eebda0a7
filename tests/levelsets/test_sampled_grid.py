"""The sampled classifier against regions that are known, and the adaptive lattice against the dense one."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary, Section, restricted
from dimple.errors import ShapeError
from dimple.levelsets import class_regions
from dimple.levelsets.sampled_grid import Sampled, levels_of, sample_scores
from dimple.tensors import generator

CPU = torch.device("cpu")
SQUARE, CUBE = ((-1.0, -1.0), (1.0, 1.0)), ((-1.0,) * 3, (1.0,) * 3)


def nearest_mean(means: Tensor) -> Any:
    """Minus half the squared distance from each mean: the gap of two classes is affine, their boundary its bisector."""
    flat = means.reshape(len(means), -1)
    return lambda x: x.reshape(len(x), -1) @ flat.T - (flat**2).sum(1) / 2


def random_network(dim: int, classes: int, seed: int = 0, width: int = 24) -> nn.Sequential:
    stream = generator(seed, "sampled")
    network = nn.Sequential(nn.Linear(dim, width), nn.ReLU(), nn.Linear(width, classes)).requires_grad_(False)
    for layer in (network[0], network[2]):
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=stream))
        layer.bias.copy_(torch.randn(layer.bias.shape, generator=stream))
    return network


def test_the_edges_of_nearest_mean_in_a_section_are_those_of_its_voronoi_cells() -> None:
    means = torch.randn(3, 2, 3, 2, generator=generator(0, "means"))
    section = Section.through(means)
    low, high = section.fitted_box(means, pad=0.5)
    known = sample_scores(restricted(Boundary(nearest_mean(means)), section), low, high, 64, CPU)
    places = section.coordinates(means).double().numpy()
    surfaces = known.surfaces()
    assert [surface.pair for surface in surfaces] == [(0, 1), (0, 2), (1, 2)]
    # Every two edges meet in the circumcentre, from which each runs along its bisector to the box.
    a, b, c = places
    centre = np.linalg.solve(2 * np.stack([b - a, c - a]), [b @ b - a @ a, c @ c - a @ a])
    for surface in surfaces:
        first, second, third = (*surface.pair, 3 - sum(surface.pair))
        way = np.array([[0.0, -1.0], [1.0, 0.0]]) @ (places[first] - places[second])
        way *= -np.sign(way @ (places[third] - centre)) / np.linalg.norm(way)
        walls = np.where(way > 0, np.array(high) - centre, np.array(low) - centre) / way
        assert surface.mesh.area == pytest.approx(walls.min(), rel=1e-4)
        offset = surface.mesh.vertices - centre
        assert np.abs(offset - np.outer(offset @ way, way)).max() < 1e-4
        assert (offset @ way).min() > -1e-4


def test_edges_face_the_first_class_of_their_pair() -> None:
    known = sample_scores(Boundary(lambda x: torch.stack([x[:, 0], -x[:, 0]], dim=1)), *SQUARE, 32, CPU)
    [surface] = known.surfaces()
    start, end = surface.mesh.vertices[surface.mesh.faces[0]]
    # Class 0 is where x is positive, and lies on the left of the segment.
    assert (end - start)[1] < 0


def test_flat_samples_and_images_give_the_same_bits() -> None:
    means = torch.randn(4, 12, generator=generator(1, "means"))
    found = []
    for shape in ((12,), (3, 2, 2)):
        points = means.reshape(4, *shape)
        section = Section.through(points[:3])
        within = restricted(Boundary(nearest_mean(points)), section)
        found.append(sample_scores(within, (-3.0, -3.0), (3.0, 3.0), 64, CPU))
    assert torch.equal(found[0].scores, found[1].scores)


@pytest.mark.parametrize(("dim", "cells"), [(2, 128), (3, 48)])
@pytest.mark.parametrize("seed", range(4))
def test_the_adaptive_lattice_has_the_classes_of_the_dense_one(dim: int, cells: int, seed: int) -> None:
    boundary = Boundary(random_network(dim, 5, seed))
    box = SQUARE if dim == 2 else CUBE
    sparse, dense = (sample_scores(boundary, *box, cells, CPU, dense=dense) for dense in (False, True))
    assert dense.asked.all()
    assert (sparse.winners() == dense.winners()).all()
    assert sparse.asked.mean() < 0.6
    ours, all_of_it = ({s.pair: s.mesh.area for s in known.surfaces()} for known in (sparse, dense))
    assert ours == pytest.approx(all_of_it, rel=1e-6)


def test_a_thin_region_is_followed_to_its_end_from_where_it_is_met() -> None:
    # A strip of two cells of the lattice, a quarter of a coarse one, along a line of slope 1/7.
    def strip(x: Tensor) -> Tensor:
        away = (x[:, 1] - x[:, 0] / 7 - 0.003).abs()
        return torch.stack([away - 2 / 128, 0 * away], dim=1)

    sparse, dense = (sample_scores(Boundary(strip), *SQUARE, 256, CPU, dense=dense) for dense in (False, True))
    assert (sparse.winners() == dense.winners()).all()
    assert sparse.asked.mean() < 0.2


def test_a_circle_is_found_to_second_order() -> None:
    disc = Boundary(lambda x: torch.stack([x.norm(dim=1), torch.full((len(x),), 0.7)], dim=1))
    sizes, errors = (32, 64, 128, 256), []
    for cells in sizes:
        [surface] = sample_scores(disc, *SQUARE, cells, CPU).surfaces()
        errors.append(np.sqrt(np.mean((np.linalg.norm(surface.mesh.vertices, axis=1) - 0.7) ** 2)))
    assert -np.polyfit(np.log(sizes), np.log(errors), 1)[0] == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("dim", [2, 3])
def test_three_sectors_in_a_lattice_meet_without_a_rounded_corner(dim: int) -> None:
    angles = torch.tensor([90.0, -30.0, 210.0]).deg2rad()
    ways = torch.zeros(3, dim)
    ways[:, :2] = torch.stack([angles.cos(), angles.sin()], dim=1)
    box = SQUARE if dim == 2 else CUBE
    surfaces = sample_scores(Boundary(lambda x: x @ ways.T), *box, 24, CPU).surfaces()
    oblique, height = 2 / 3**0.5, 2.0 ** (dim - 2)
    assert [s.mesh.area for s in surfaces] == pytest.approx([oblique * height, oblique * height, height], rel=1e-5)


def test_between_the_corners_scores_are_multilinear_and_at_them_the_classifiers_own() -> None:
    stream = generator(2, "bilinear")
    scores = torch.randn(4, 4, 3, generator=stream)
    known = Sampled(scores.numpy(), (0.0, 0.0), (3.0, 3.0), np.ones((4, 4), dtype=bool))
    u = 3 * torch.rand(50, 2, generator=stream)
    image = torch.nn.functional.grid_sample(
        scores.permute(2, 1, 0)[None], (u / 1.5 - 1)[None, None], align_corners=True, padding_mode="border"
    )
    assert torch.allclose(known(u), image[0, :, 0].T, atol=1e-5)
    corners = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0))
    assert torch.equal(known(corners), scores.reshape(-1, 3))


def test_a_coarser_lattice_is_the_one_that_would_have_been_asked() -> None:
    boundary = Boundary(random_network(2, 4, 7))
    fine, coarse = (sample_scores(boundary, *SQUARE, cells, CPU, dense=True) for cells in (128, 32))
    assert torch.allclose(fine.coarser(4).scores, coarse.scores, atol=1e-5)


def test_the_sides_of_a_box_are_planes_of_it() -> None:
    boundary = Boundary(random_network(3, 4, 3))
    known = sample_scores(boundary, *CUBE, 24, CPU, dense=True)
    upper = Section(torch.tensor([0.0, 0.0, 1.0]), torch.eye(3)[:, :2])
    plane = class_regions(restricted(Boundary(known), upper), (-1, -1), (1, 1), 40)
    assert (known.sides(40)[2, 1] == plane.T).all()


def test_lattices_are_powers_of_two_times_a_coarse_grid() -> None:
    for dim in (2, 3):
        for cells in range(8, 200):
            coarse, levels = levels_of(cells, dim)
            assert cells <= coarse << levels < cells + (1 << levels)
    with pytest.raises(ShapeError, match="250 cells are no power of two times 63; take 252"):
        sample_scores(Boundary(random_network(2, 3)), *SQUARE, 250, CPU)
