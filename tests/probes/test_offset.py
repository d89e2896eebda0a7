"""The distance along the normals, on boundaries whose height over a plane is known."""

import pytest
import torch

from dimple.boundary import Boundary
from dimple.manifolds import Flat, Sphere
from dimple.probes import Offset
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
