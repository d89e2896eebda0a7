"""Position of the boundary and shape of dimples, on boundaries with known answers."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from dimple.boundary import Boundary
from dimple.data import DataSplits
from dimple.experiment.simulation.dimple_shape import (
    measure_widths,
    opposite_spacing,
    summarize_dimples,
    summarize_fall,
    summarize_position,
)
from dimple.manifolds import Flat, Manifold, Sphere
from dimple.probes import Offset, run_probes
from dimple.tensors import generator

pytestmark = pytest.mark.usefixtures("double")
LIMIT = 0.5
# Full width of a Gaussian at half of its height, in standard deviations.
GAUSSIAN_WIDTH = 2 * math.sqrt(2 * math.log(2))
PLANE = Flat(offset=(0.0,))


def measure_plane(height: float, degrees: float) -> dict[str, np.ndarray]:
    """Offsets of the plane of this height over the centroid (0.5, 0.5) of the square, turned about it."""
    slope = math.tan(math.radians(degrees))

    def level(x: torch.Tensor) -> torch.Tensor:
        return x[:, 2] - height - slope * (x[:, 0] - 0.5)

    boundary = Boundary(lambda x: torch.stack([-level(x), level(x)], dim=1))
    # Symmetric about the centroid, with the variance 1/12 of the square.
    points = PLANE.sample(1000, generator(0, "points"))
    points = torch.cat([points, torch.tensor([1.0, 1.0, 0.0]) - points])
    found = run_probes(boundary, points, torch.full((len(points),), -1), [Offset(limit=LIMIT)], PLANE, chunk_size=4096)
    return {name: values.numpy() for name, values in found.columns.items()}


@pytest.mark.parametrize(("height", "degrees"), [(0.2, 0.0), (0.1, 15.0), (0.0, 30.0)])
def test_translation_is_the_distance_at_the_centroid_and_tilt_the_rest(height: float, degrees: float) -> None:
    columns = measure_plane(height, degrees)
    position = summarize_position(columns, LIMIT)
    assert position["boundary_translation"] == pytest.approx(height, abs=1e-6)
    spread = math.sqrt(1 / 12)
    assert position["boundary_tilt"] == pytest.approx(math.tan(math.radians(degrees)) * spread, rel=0.05, abs=1e-6)
    assert position["boundary_angle"] == pytest.approx(degrees, abs=1e-5)
    assert position["boundary_angle_null"] == pytest.approx(60)
    square = np.square(columns["offset"]).mean()
    assert position["boundary_translation"] ** 2 + position["boundary_tilt"] ** 2 == pytest.approx(square)


def metrics_of(*planes: tuple[float, float]) -> dict[str, np.ndarray]:
    rows = [summarize_position(measure_plane(*plane), LIMIT) for plane in planes]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return columns | {"step": np.arange(len(rows)) * 10, "boundary_distance_found": np.ones(len(rows))}


def test_a_fall_by_translation_or_by_rotation_or_both_is_told_apart() -> None:
    planes = metrics_of((0.2, 10.0), (0.05, 10.0), (0.05, 2.0))
    assert summarize_fall(planes, 20)["translation_fraction"] == pytest.approx(1, abs=1e-6)
    turned = metrics_of((0.05, 10.0), (0.05, 2.0), (0.3, 2.0))
    fall = summarize_fall(turned, 20)
    assert fall["translation_fraction"] == pytest.approx(0, abs=1e-6)
    assert (fall["first_step"], fall["last_step"]) == (0, 10)
    assert fall["angle"] == pytest.approx([10, 2], abs=1e-4)
    tilts = planes["boundary_tilt"]
    both = summarize_fall(planes, None)["translation_fraction"]
    assert both == pytest.approx(0.0375 / (0.0375 + tilts[0] ** 2 - tilts[2] ** 2), rel=1e-5)
    assert summarize_fall(metrics_of((0.1, 5.0), (0.2, 10.0)), None)["translation_fraction"] is None


def test_a_fall_is_split_from_the_first_snapshot_on_at_which_no_distance_is_a_lower_bound() -> None:
    planes = metrics_of((0.9, 40.0), (0.2, 10.0), (0.05, 2.0))
    planes["boundary_distance_found"][0] = 0.4
    fall = summarize_fall(planes, None)
    assert (fall["first_step"], fall["last_step"]) == (10, 20)
    assert fall["translation"] == pytest.approx([0.2, 0.05], abs=1e-6)
    for name in ("translation", "tilt"):
        planes[f"boundary_{name}"][:] = np.nan
    planes["boundary_distance_found"][:] = 0.4
    assert summarize_fall(planes, None)["translation_fraction"] is None


def test_the_spacing_of_opposite_labels_does_not_depend_on_the_origin() -> None:
    x = 1e9 + torch.arange(40, dtype=torch.float64)[:, None] * torch.tensor([0.25, 0.0])
    labels = torch.arange(40) % 2
    samples = DataSplits(x, labels, x, labels, x, torch.arange(40), torch.arange(0), ("0", "1"))
    np.testing.assert_array_equal(opposite_spacing(samples), np.full(40, 0.25))


def test_the_shape_of_dimples_of_known_depth() -> None:
    train = torch.tensor([[0.2, 0.5, 0.0], [0.5, 0.5, 0.0], [0.9, 0.5, 0.0], [0.9, 0.9, 0.0]])
    labels = torch.tensor([0, 1, 0, 0])
    samples = DataSplits(train, labels, train, labels, train, torch.arange(len(train)), torch.arange(0), ("0", "1"))
    depth, deviation = torch.tensor([0.04, -0.02, 0.04, 0.04]), 0.03

    def level(x: torch.Tensor) -> torch.Tensor:
        squares = (x[:, None, :2] - train[:, :2]).square().sum(2)
        return 8 * (x[:, 2] - (depth * torch.exp(-squares / (2 * deviation**2))).sum(1))

    boundary = Boundary(lambda x: torch.stack([-level(x) / 2, level(x) / 2], dim=1))
    found = run_probes(boundary, train, labels, [Offset(limit=LIMIT)], PLANE)
    spacing = opposite_spacing(samples)
    np.testing.assert_allclose(spacing, [0.3, 0.3, 0.4, math.hypot(0.4, 0.4)])
    columns = {name: values.numpy() for name, values in found.columns.items()}
    columns["offset_draws"] = found.details["offset_draws"].numpy()
    columns["dimple_width"] = measure_widths(boundary, PLANE, train, found.details["offset_step"], LIMIT).numpy()
    shape = summarize_dimples(columns, spacing)
    assert shape["dimple_width"] == pytest.approx(GAUSSIAN_WIDTH * deviation, abs=1e-5)
    assert shape["dimple_width_found"] == 1
    assert shape["dimple_depth_over_spacing"] == pytest.approx(0.04 / math.hypot(0.4, 0.4), abs=1e-6)
    assert shape["dimple_depth_over_logit"] == pytest.approx(1 / 8, abs=1e-6)
    # The points are right, so their depths are positive; each draw of the null has a median of its own.
    draws = np.sort(columns["offset_draws"] / spacing[:, None], axis=0)[(len(spacing) - 1) // 2]
    assert shape["dimple_depth_over_spacing_null"] == pytest.approx(np.sort(draws)[(len(draws) - 1) // 2])
    ends = [shape[f"dimple_depth_over_spacing_null_{end}"] for end in ("low", "high")]
    assert ends == pytest.approx([draws.min(), draws.max()])


def graph_of(height: Callable[[torch.Tensor], torch.Tensor]) -> Boundary:
    """The graph of a function over the plane; class 1 lies above it."""

    def level(x: torch.Tensor) -> torch.Tensor:
        return x[:, 2] - height(x)

    return Boundary(lambda x: torch.stack([-level(x), level(x)], dim=1))


def width_over(manifold: Manifold, boundary: Boundary, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    found = Offset(limit=LIMIT)(boundary, x, boundary.predict(x), manifold)
    return found.columns["offset"], measure_widths(boundary, manifold, x, found.details["offset_step"], LIMIT)


@pytest.mark.parametrize(("depth", "deviation"), [(0.05, 0.03), (-0.1, 0.05), (0.02, 0.1)])
def test_depth_and_width_of_a_planted_gaussian_dimple(depth: float, deviation: float) -> None:
    x = torch.tensor([[0.5, 0.5, 0.0]])

    def height(points: torch.Tensor) -> torch.Tensor:
        return depth * torch.exp(-(points[:, :2] - x[:, :2]).square().sum(1) / (2 * deviation**2))

    found, width = width_over(PLANE, graph_of(height), x)
    assert float(found) == pytest.approx(abs(depth), abs=1e-7)
    assert float(width) == pytest.approx(GAUSSIAN_WIDTH * deviation, abs=1e-5)


@pytest.mark.parametrize("depth", [0.1, 0.02, -0.02, -0.1])
@pytest.mark.parametrize("deviation", [0.02, 0.1])
def test_depth_and_width_of_a_planted_gaussian_dimple_on_a_sphere(depth: float, deviation: float) -> None:
    def level(points: torch.Tensor) -> torch.Tensor:
        angle = torch.atan2(points[:, :2].norm(dim=1), points[:, 2])
        return points.norm(dim=1) - 1 - depth * torch.exp(-(angle / deviation).square() / 2)

    boundary = Boundary(lambda x: torch.stack([-level(x), level(x)], dim=1))
    found, width = width_over(Sphere(dim=2, radius=1.0), boundary, torch.tensor([[0.0, 0.0, 1.0]]))
    assert float(found) == pytest.approx(abs(depth), abs=1e-7)
    # The chord of the arc over this angle, from the middle to each side.
    assert float(width) == pytest.approx(4 * math.sin(GAUSSIAN_WIDTH * deviation / 4), abs=1e-5)


def test_the_width_is_the_mean_over_the_sides_that_are_found() -> None:
    def height(points: torch.Tensor) -> torch.Tensor:
        first, second = points[:, 0] - 0.5, points[:, 1] - 0.5
        ridge = 0.05 * torch.exp(-(first / 0.1).square() / 2 - (second / 0.03).square() / 2)
        return torch.where(points[:, 0] > 0.2, ridge, 0.05)

    points = torch.tensor([[0.5, 0.5, 0.0], [0.1, 0.5, 0.0]])
    _, width = width_over(PLANE, graph_of(height), points)
    assert float(width[0]) == pytest.approx(GAUSSIAN_WIDTH * (0.1 + 0.03) / 2, abs=1e-5)
    # The plateau ends at 0.2 and nowhere else.
    assert float(width[1]) == pytest.approx(0.2, abs=1e-5)
    _, flat = width_over(PLANE, graph_of(lambda x: torch.full_like(x[:, 0], 0.1)), points)
    _, far = width_over(PLANE, graph_of(lambda x: torch.full_like(x[:, 0], 0.9)), points)
    assert bool(flat.isinf().all()) and bool(far.isinf().all())
