"""Level sets where they are hard to name: on grid points, at zero, at infinite scores and far from the origin."""

import itertools
import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.errors import SceneError
from dimple.levelsets import Adaptive, Auto, Dense, Exact, LevelSet, class_regions, extract_pairwise_boundaries
from dimple.levelsets.multiclass import NO_CLASS
from dimple.levelsets.sampled_grid import sample_scores
from dimple.tensors import generator

CPU = torch.device("cpu")
LEVEL_SETS = [Dense(resolution=16), Adaptive(resolution=16), Adaptive(resolution=64), Auto(resolution=16), Exact()]
# Normal, offset and area of the part of the plane w . x + b = 0 in the box [-1, 1]^n. All pass through grid points.
PLANES = [
    ((1.0, 0.0), 0.0, 2.0),
    ((1.0, -1.0), 0.0, 8**0.5),
    ((1.0, 2.0), 0.0, 5**0.5),
    ((0.0, 1.0), -0.25, 2.0),
    ((0.0, 1.0, 0.0), 0.0, 4.0),
    ((1.0, 1.0, 0.0), 0.0, 32**0.5),
    ((1.0, 1.0, 1.0), 0.0, 27**0.5),
    ((0.0, 0.0, 1.0), -0.25, 4.0),
]


def plane_network(weight: Any, bias: float, kind: str) -> nn.Sequential:
    """Return a network of two classes with the logit margin w . x + b, or one with the same zeros."""
    w = torch.tensor(weight)
    first = {"linear": [w], "tanh": [w], "kink on the plane": [w, -w]}[kind]
    activation = {"linear": nn.Identity, "tanh": nn.Tanh, "kink on the plane": nn.ReLU}[kind]
    network = nn.Sequential(nn.Linear(len(w), len(first)), activation(), nn.Linear(len(first), 2))
    network.requires_grad_(False)
    network[0].weight.copy_(torch.stack(first))
    network[0].bias.copy_(torch.tensor([bias, -bias][: len(first)]))
    network[2].weight.copy_(torch.tensor([[-0.5, 0.5], [0.5, -0.5]])[:, : len(first)])
    network[2].bias.zero_()
    return network


def slab(x: Tensor) -> Tensor:
    """Return scores whose difference is zero for -1/2 <= x <= 0, negative below and positive above."""
    return torch.stack([0 * x[:, 0], x[:, 0].relu() - (-x[:, 0] - 0.5).relu()], dim=1)


def half_space(x: Tensor) -> Tensor:
    return torch.stack([0.013 - x[:, 0], x[:, 0] - 0.013], dim=1)


def total_area(surfaces: Any) -> float:
    return sum(surface.mesh.area for surface in surfaces)


@pytest.mark.parametrize("kind", ["linear", "tanh", "kink on the plane"])
@pytest.mark.parametrize(("weight", "bias", "area"), PLANES)
def test_every_extractor_finds_a_plane_through_grid_points(weight: Any, bias: float, area: float, kind: str) -> None:
    box = (-1,) * len(weight), (1,) * len(weight)
    for sign, label in itertools.product((1, -1), (0, 1)):
        boundary = Boundary(plane_network([sign * w for w in weight], sign * bias, kind))
        for level_set in LEVEL_SETS[:-1] if kind == "tanh" else LEVEL_SETS:
            assert level_set.extract(boundary, label, *box, CPU).area == pytest.approx(area, rel=1e-5), level_set
    cells = 64 if len(weight) == 2 else 24
    for dense in (False, True):
        grid = sample_scores(boundary, *box, cells, CPU, dense=dense)
        assert total_area(grid.pairwise_boundaries()) == pytest.approx(area, rel=1e-5)
    with_third = Boundary(lambda x: torch.cat([boundary.scores(x), torch.full((len(x), 1), -9.0)], dim=1))
    for pairwise in (LEVEL_SETS[0], LEVEL_SETS[1]):
        assert total_area(extract_pairwise_boundaries(with_third, *box, pairwise)) == pytest.approx(area, rel=1e-5)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("level_set", [Dense(resolution=16), Adaptive(resolution=16), Exact()])
def test_an_open_region_of_zeros_gives_one_sentence(level_set: LevelSet, dim: int) -> None:
    network = nn.Sequential(nn.Linear(dim, 2), nn.ReLU(), nn.Linear(2, 2)).requires_grad_(False)
    network[0].weight.copy_(torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]])[:, :dim])
    network[0].bias.copy_(torch.tensor([0.0, -0.5]))
    network[2].weight.copy_(torch.tensor([[0.0, 0.0], [1.0, -1.0]]))
    network[2].bias.zero_()
    box = (-1,) * dim, (1,) * dim
    with pytest.warns(UserWarning, match="exactly zero in an open region around") as caught:
        mesh = level_set.extract(Boundary(network), 1, *box, CPU)
    assert len(caught) == 1
    # The region counts to class 1: its edge towards class 0 is drawn.
    assert mesh.area == pytest.approx(2.0 ** (dim - 1), rel=1e-5)
    assert np.allclose(mesh.vertices[:, 0], -0.5)


def test_a_slice_tells_of_equal_scores_and_of_missing_ones() -> None:
    with pytest.warns(UserWarning, match="exactly zero in an open region"):
        sample_scores(Boundary(slab), (-1, -1), (1, 1), 64, CPU)
    with pytest.warns(UserWarning, match="no finite answer .* at 4096 points"):
        sample_scores(Boundary(lambda x: half_space(x) * torch.nan), (-1,) * 3, (1,) * 3, 15, CPU, dense=True)


def test_zeros_at_grid_points_only_are_no_region() -> None:
    waves = Boundary(lambda x: torch.stack([0 * x[:, 0], (torch.pi * 8 * x[:, 0]).sin() + 1e-3 * x[:, 1]], dim=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Dense(resolution=16).extract(waves, 1, (-1, -1), (1, 1), CPU)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("dim", [2, 3])
def test_cells_without_a_finite_answer_have_no_boundary(dim: int, bad: float) -> None:
    """The half-space, with scores that are missing above y = 1/2."""
    boundary = Boundary(lambda x: torch.where(x[:, 1:2] > 0.5, bad, half_space(x)))
    box = (-1,) * dim, (1,) * dim
    area = 1.5 * 2 ** (dim - 2)
    for level_set in (Dense(resolution=16), Adaptive(resolution=16), Adaptive(resolution=64)):
        with pytest.warns(UserWarning, match="no finite answer"):
            mesh = level_set.extract(boundary, 1, *box, CPU)
        assert mesh.area == pytest.approx(area, rel=1e-4)
        assert mesh.vertices[:, 1].max() <= 0.5 + 1e-6
    with pytest.warns(UserWarning, match="no finite answer"):
        grid = sample_scores(boundary, *box, 32 if dim == 2 else 16, CPU)
    assert total_area(grid.pairwise_boundaries()) == pytest.approx(area, rel=1e-4)
    axis = np.linspace(-1, 1, grid.resolution + 1)
    assert ((grid.corner_classes() == NO_CLASS) == (np.meshgrid(*[axis] * dim, indexing="ij")[1] > 0.5)).all()
    if dim == 2:
        assert ((class_regions(boundary, *box, 8) == NO_CLASS).sum(1) == [0, 0, 0, 0, 0, 0, 8, 8]).all()
    else:
        assert (grid.box_face_classes(8)[1, 1] == NO_CLASS).all()
        assert (grid.box_face_classes(8)[1, 0] != NO_CLASS).all()


@pytest.mark.parametrize("mask", [-torch.inf, torch.finfo(torch.float32).min])
@pytest.mark.parametrize("dim", [2, 3])
def test_a_masked_class_changes_no_boundary(dim: int, mask: float) -> None:
    boundary = Boundary(lambda x: torch.cat([half_space(x), torch.full((len(x), 1), mask)], dim=1))
    box = (-1,) * dim, (1,) * dim
    grid = sample_scores(boundary, *box, 64 if dim == 2 else 24, CPU)
    pairs = [grid.pairwise_boundaries(), extract_pairwise_boundaries(boundary, *box, Adaptive(resolution=16))]
    for surfaces in pairs:
        assert [surface.pair for surface in surfaces] == [(0, 1)]
        assert total_area(surfaces) == pytest.approx(2.0 ** (dim - 1), rel=1e-5)
    assert (grid.corner_classes() < 2).all()


def test_scores_of_minus_infinity_lose_and_the_boundary_lies_within_a_cell() -> None:
    """The logarithm of probabilities that are 0 and 1, and a jump from 1 to -inf."""
    saturated = Boundary(lambda x: (1e4 * half_space(x)).softmax(1).log())
    jump = Boundary(lambda x: torch.stack([0 * x[:, 0], torch.where(x.norm(dim=1) > 0.5, -torch.inf, 1.0)], dim=1))
    for level_set in (Dense(resolution=32), Adaptive(resolution=32)):
        line = level_set.extract(saturated, 1, (-1, -1), (1, 1), CPU)
        assert line.area == pytest.approx(2.0)
        assert np.abs(line.vertices[:, 0] - 0.013).max() < 1 / 16
        circle = level_set.extract(jump, 1, (-1, -1), (1, 1), CPU)
        assert circle.area == pytest.approx(np.pi, rel=0.06)
        assert np.abs(np.linalg.norm(circle.vertices, axis=1) - 0.5).max() < 1 / 16
    [surface] = sample_scores(saturated, (-1, -1), (1, 1), 64, CPU).pairwise_boundaries()
    assert surface.mesh.area == pytest.approx(2.0)


@pytest.mark.parametrize("shift", [0.1, 1.0, 1000.0])
def test_a_mesh_moves_with_its_problem(shift: float) -> None:
    ball = Boundary(lambda x: torch.stack([(x - shift).double().norm(dim=1), torch.full((len(x),), 0.7)], dim=1))
    for dim, level_set in itertools.product((2, 3), (Dense(resolution=16), Adaptive(resolution=16))):
        mesh = level_set.extract(ball, 1, (shift - 1,) * dim, (shift + 1,) * dim, CPU)
        radius = np.linalg.norm(mesh.vertices - shift, axis=1)
        assert np.abs(radius - 0.7).max() < 0.02
        assert mesh.area == pytest.approx((2 * np.pi * 0.7, 4 * np.pi * 0.49)[dim - 2], rel=0.02)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (1.0, 1.0), (1e6, 1e6), (0.0, 1e6), (-1e6, 0.0)])
@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3])
def test_the_exact_level_set_moves_with_its_network(shift: tuple[float, float], scale: float) -> None:
    network = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)).double().requires_grad_(False)
    for parameter in network.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator(0, parameter.shape), dtype=torch.float64))
    network[2].bias += torch.tensor([0.2, -0.2]) - network(torch.full((1, 2), 0.2, dtype=torch.float64))[0]
    origin = Exact().extract(Boundary(network), 1, (-1, -1), (1, 1), CPU)
    network[0].weight /= scale
    network[0].bias -= network[0].weight @ torch.tensor(shift, dtype=torch.float64)
    box = [center - scale for center in shift], [center + scale for center in shift]
    moved = Exact().extract(Boundary(network), 1, *box, CPU)
    assert origin.area > 0.5
    # The weights and corners are rounded to double precision, by a part of the box that grows with its distance.
    rounding = 1e-14 * max(abs(center) for center in shift) / scale
    assert moved.area == pytest.approx(scale * origin.area, rel=max(1e-9, 10 * rounding))


def test_sampled_scores_that_float32_cannot_resolve_are_refused() -> None:
    with pytest.raises(SceneError, match="lost in the rounding of float32") as caught:
        sample_scores(Boundary(half_space), (1e6, 0), (1e6 + 1, 1), 64, CPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_scores_in_half_precision_have_a_level_set(dtype: torch.dtype) -> None:
    def circle(x: Tensor) -> Tensor:
        # Scores up to 5e4 of either sign, whose difference is no number of half precision.
        score = (1e5 * (x.norm(dim=1) - 0.5)).clamp(-5e4, 5e4)
        return torch.stack([-score, score], dim=1).to(dtype)

    for kind in (Dense, Adaptive, Auto):
        mesh = kind(resolution=32).extract(Boundary(circle), 1, (-1, -1), (1, 1), torch.device("cpu"))
        assert mesh.area == pytest.approx(math.pi, rel=2e-3)
