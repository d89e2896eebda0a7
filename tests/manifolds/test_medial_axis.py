"""Medial axis distances, compared with the projection on every kind of manifold and with formulas."""

import math

import pytest
import torch

from dimple.manifolds import CliffordTorus, ConcentricSpheres, Embedding, Paraboloid, Sphere, Torus
from dimple.tensors import generator
from tests.manifolds.members import NAMES, members


def rows(*points: list[float]) -> torch.Tensor:
    return torch.tensor(points, dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
def test_the_closest_point_is_constant_up_to_the_medial_axis_and_changes_beyond(name: str) -> None:
    manifold = members()[name]
    x = manifold.sample(16, generator(0, "on"))
    size = float((x.amax(0) - x.amin(0)).norm())
    y = x + 0.1 * size * torch.randn(x.shape, generator=generator(1, "away"), dtype=torch.float64)
    closest = manifold.project(y)
    remaining = manifold.medial_axis_distance(y)
    normal = torch.nn.functional.normalize(y - closest, dim=1)
    assert bool((remaining > 0).all())
    # At a distance of several times its size a manifold is almost a point.
    step = torch.where(torch.isfinite(remaining), remaining, 4 * size).clamp(max=4 * size)

    def displacement(fraction: float) -> torch.Tensor:
        return (manifold.project(y + fraction * step[:, None] * normal) - closest).norm(dim=1)

    assert float(displacement(0.97).max()) < 1e-4 * size
    # A closest point that only slides moves less.
    assert bool((displacement(1.03)[remaining < 4 * size] > 1e-3 * size).all())


@pytest.mark.parametrize("name", NAMES)
def test_on_the_manifold_it_is_the_reach(name: str) -> None:
    manifold = members()[name]
    remaining = manifold.medial_axis_distance(manifold.sample(10, generator(2, "on")))
    if math.isfinite(manifold.reach):
        assert float(remaining.max()) <= manifold.reach * (1 + 1e-6)
        assert float(remaining.min()) >= manifold.reach * (1 - 1e-6)
        assert bool(torch.isfinite(remaining).all())


def test_known_medial_axis_distances() -> None:
    # A bowl along its axis: the focal point lies 1 / bend above the bottom.
    bowl = Paraboloid(bend=2.0)
    assert bowl.medial_axis_distance(rows([0.0, 0.0, 0.2], [0.0, 0.0, -0.2])).tolist() == pytest.approx(
        [0.3, math.inf], rel=1e-5
    )
    # Between two spheres the medial axis is the sphere in the middle; outside of both there is none.
    spheres = ConcentricSpheres(2, (1.0, 2.0))
    assert spheres.medial_axis_distance(rows([1.2, 0, 0], [0, 1.6, 0], [0, 0, 3.0])).tolist() == pytest.approx(
        [0.3, 0.1, math.inf]
    )


def test_directions_off_the_base_space_reach_farther() -> None:
    embedding = Embedding(Sphere(2), ambient_dim=5, frame="axes")
    # Offsets perpendicular to the base space, within it, and oblique; the last one leaves 0.7 within it, at 3/5 of the
    # direction.
    distance = embedding.medial_axis_distance(rows([1, 0, 0, 0.5, 0], [0.5, 0, 0, 0, 0], [0.7, 0, 0, 0.4, 0]))
    assert distance.tolist() == pytest.approx([math.inf, 0.5, 0.7 / 0.6])


def test_a_product_has_the_minimum_over_its_factors() -> None:
    torus = CliffordTorus((1.0, 2.0))
    # Offsets of 0.3 and 0.4 towards the axes leave 0.7 of 1.0 and 1.6 of 2.0, at 3/5 and 4/5 of the direction.
    distance = torus.medial_axis_distance(rows([0.7, 0, 1.6, 0]))
    assert distance.tolist() == pytest.approx([min(0.7 / 0.6, 1.6 / 0.8)])
    assert Torus().medial_axis_distance(Torus().sample(50, generator(0)).float()).max() < 0.4 + 1e-5


def test_points_on_a_sphere_have_its_radius() -> None:
    sphere = Sphere(3, 0.3)
    x = sphere.sample(200, generator(0)).float()
    torch.testing.assert_close(sphere.medial_axis_distance(x), torch.full((200,), 0.3), rtol=1e-5, atol=0)


@pytest.mark.parametrize(("minor", "reach"), [(0.6, 0.4), (0.5, 0.5), (0.4, 0.4)])
def test_on_a_torus_the_hole_counts_where_it_is_smaller_than_the_tube(minor: float, reach: float) -> None:
    torus = Torus(1.0, minor)
    points = rows([1 - minor, 0, 0], [1 + minor, 0, 0], [1, 0, minor])
    for x in (points, points.float()):
        torch.testing.assert_close(torus.medial_axis_distance(x), x.new_full((3,), reach), rtol=1e-6, atol=0)
    # Off the surface, inwards and outwards, the distance is that along the direction.
    assert torus.medial_axis_distance(rows([1 - 0.9 * minor, 0, 0]))[0] == pytest.approx(0.9 * minor)
    assert torus.medial_axis_distance(rows([0.9 * (1 - minor), 0, 0]))[0] == pytest.approx(0.9 * (1 - minor))
