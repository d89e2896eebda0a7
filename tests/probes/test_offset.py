"""The distance along the normals, on boundaries whose height over a plane is known."""

import math
from collections.abc import Callable

import pytest
import torch

from dimple.boundary import Boundary
from dimple.manifolds import Flat, Manifold, Sphere
from dimple.probes import Offset
from dimple.stats.aggregate import statistic, verdict
from dimple.stats.null_bands import isotropic_angle
from dimple.tangents import RandomSubspace
from dimple.tensors import generator
from tests.oracles import ball

pytestmark = pytest.mark.usefixtures("double")


def test_the_height_of_a_wavy_sheet_over_a_plane() -> None:
    def height(x: torch.Tensor) -> torch.Tensor:
        return 0.1 * torch.sin(7 * x[:, 0]) * torch.cos(5 * x[:, 1])

    sheet = Boundary(lambda x: torch.stack([height(x) - (x[:, 2] - 0.5), (x[:, 2] - 0.5) - height(x)], dim=1))
    x = Flat().sample(80, generator(0, "points"))
    result = Offset(limit=0.5)(sheet, x, torch.zeros(80, dtype=torch.long), Flat())
    torch.testing.assert_close(result.columns["offset"], height(x), rtol=1e-6, atol=1e-8)


def test_the_offset_of_a_concentric_sphere_is_constant() -> None:
    sphere = Sphere(dim=2, radius=1.0)
    x = sphere.sample(50, generator(1, "points"))
    result = Offset(limit=1.0)(ball(1.2), x, torch.ones(50, dtype=torch.long), sphere).columns
    assert (result["offset"] - 0.2).abs().max() < 1e-7
    assert (result["gradient_off_manifold_fraction"] - 1).abs().max() < 1e-12
    assert bool((result["offset_null"] > result["offset"] - 1e-9).all())


def test_the_offset_is_that_of_the_nearer_sheet_on_either_side() -> None:
    def level(x: torch.Tensor) -> torch.Tensor:
        return (x[:, 2] - 0.3) * (0.8 - x[:, 2])

    sheets = Boundary(lambda x: torch.stack([-level(x), level(x)], dim=1))
    x = torch.tensor([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]])
    plane = Flat(offset=(0.5,))
    result = Offset(limit=1.0)(sheets, x, torch.tensor([1, 0]), plane)
    torch.testing.assert_close(result.columns["offset"], torch.tensor([0.2, -0.2]), rtol=0, atol=1e-8)


def test_without_codimension_no_crossing_is_found_off_the_tangent_space_or_a_random_one() -> None:
    x = torch.randn(6, 3, generator=generator(0, "inside"))
    found = Offset(limit=9.0)(ball(2.0), x, torch.ones(6, dtype=torch.long), RandomSubspace(dim=3, seed=1, draw=0))
    assert found.columns["offset"].isinf().all() and found.details["offset_draws"].isinf().all()
    assert (
        not found.columns["gradient_off_manifold_fraction"].any()
        and not found.columns["gradient_off_manifold_fraction_null"].any()
    )


def test_crossings_beyond_the_limit_are_not_found() -> None:
    sphere = Sphere(dim=2, radius=1.0)
    x = sphere.sample(10, generator(1, "points"))
    result = Offset(limit=0.1)(ball(1.2), x, torch.ones(10, dtype=torch.long), sphere)
    assert bool(torch.isinf(result.columns["offset"]).all())


@pytest.mark.parametrize("resolution", [1, 2, 3, 5, 8, 32, 33])
def test_every_cell_of_a_ray_is_searched(resolution: int) -> None:
    # One sheet in the middle of each cell in turn.
    heights = (torch.arange(resolution) + 0.5) / resolution
    x = torch.cat([torch.rand(resolution, 2, generator=generator(2, "points")), torch.zeros(resolution, 1)], dim=1)

    def level(points: torch.Tensor) -> torch.Tensor:
        row = (points[:, None, :2] - x[:, :2]).square().sum(2).argmin(1)
        return points[:, 2] - heights[row]

    sheets = Boundary(lambda points: torch.stack([-level(points), level(points)], dim=1))
    result = Offset(limit=1.0, resolution=resolution)(sheets, x, torch.zeros(resolution, dtype=torch.long), Flat())
    torch.testing.assert_close(result.columns["offset"], heights, rtol=0, atol=1e-8)


def graph_of(height: Callable[[torch.Tensor], torch.Tensor]) -> Boundary:
    """The graph of a function over the plane at height 0.5; class 1 lies above it."""

    def level(x: torch.Tensor) -> torch.Tensor:
        return x[:, 2] - 0.5 - height(x)

    return Boundary(lambda x: torch.stack([-level(x), level(x)], dim=1))


@pytest.mark.parametrize("limit", [0.01, 1.0])
@pytest.mark.parametrize("angle", [0.0, 20.0, 80.0, 90.0])
def test_the_angle_of_a_tilted_plane(angle: float, limit: float) -> None:
    tilt = math.radians(angle)

    def level(x: torch.Tensor) -> torch.Tensor:
        return math.cos(tilt) * (x[:, 2] - 0.6) - math.sin(tilt) * (x[:, 0] - 0.7)

    x = Flat().sample(20, generator(0, "points"))
    boundary = Boundary(lambda x: torch.stack([-level(x), level(x)], dim=1))
    found = Offset(limit=limit)(boundary, x, torch.zeros(20, dtype=torch.long), Flat()).columns
    torch.testing.assert_close(found["boundary_angle"], torch.full((20,), angle), rtol=0, atol=1e-5)


def test_the_angle_is_that_at_the_crossing_and_not_at_the_sample() -> None:
    def height(x: torch.Tensor) -> torch.Tensor:
        return 0.1 * torch.sin(7 * x[:, 0]) * (1 + x[:, 2])

    x = Flat().sample(30, generator(0, "points"))
    found = Offset()(graph_of(height), x, torch.zeros(30, dtype=torch.long), Flat()).columns
    sine, cosine = torch.sin(7 * x[:, 0]), torch.cos(7 * x[:, 0])
    # The height z over the plane solves z = 0.1 sin(7 x) (1.5 + z).
    z = 0.15 * sine / (1 - 0.1 * sine)
    slope = 0.7 * cosine * (1.5 + z) / (1 - 0.1 * sine)
    torch.testing.assert_close(found["boundary_angle"], slope.abs().atan().rad2deg(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("n", "d"), [(2, 1), (3, 1), (3, 2), (100, 3)])
def test_the_null_of_the_angle_is_that_of_random_directions(n: int, d: int) -> None:
    squares = torch.randn(20000, n, generator=generator(0, "directions")).square()
    sine = (squares[:, :d].sum(1) / squares.sum(1)).sqrt()
    angles = sine.asin().rad2deg()
    for quantile in (0.025, 0.5, 0.975):
        expected = isotropic_angle(n, d, quantile)
        assert (angles < expected).double().mean() == pytest.approx(quantile, abs=4 * math.sqrt(0.25 / 20000))
    assert isotropic_angle(n, 0) == 0 and isotropic_angle(n, n) == 90


@pytest.mark.parametrize("manifold", [Sphere(dim=2, radius=0.3), Flat()], ids=["sphere", "plane"])
def test_the_null_of_a_median_angle_is_that_of_flat_boundaries_over_the_same_points(manifold: Manifold) -> None:
    """A plane meets a sphere at all angles, with the median of 60 degrees; a plane meets a plane at one angle."""
    normal = torch.tensor([0.0, 0.6, 0.8])
    plane = Boundary(lambda z: torch.stack([z @ normal, -z @ normal], dim=1))
    x = manifold.sample(400, generator(0, "points")).double()
    found = Offset(limit=1.0)(plane, x, plane.predict(x), manifold)
    columns = {name: values.numpy() for name, values in (found.columns | found.details).items()}
    row = statistic("boundary_angle", columns, {})
    low, high = row["boundary_angle_null_low"], row["boundary_angle_null_high"]
    if isinstance(manifold, Sphere):
        # 400 points of the sphere are not quite as symmetric as all of it.
        assert 55 < low < 60 < high < 65 and verdict(row, "boundary_angle") in ("inside", "not decided")
    else:
        # The angle of a direction to the normal of a plane: its cosine is uniform.
        assert low < 30 and high > 80 and verdict(row, "boundary_angle") == "inside"
    name = "gradient_off_manifold_fraction"
    row = statistic(name, columns, {name: "fraction"})
    assert row[f"{name}_null"] == pytest.approx(1 / 3)
    assert row[f"{name}_null_low"] < 1 / 3 < row[f"{name}_null_high"]
    assert verdict(row, name) in ("inside", "not decided")
