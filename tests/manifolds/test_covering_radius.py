"""Covering radii compared with exact ones: arcs of a circle, Delaunay triangles of a sphere, a grid in a square."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull

from dimple.manifolds import Arc, Circle, ConcentricSpheres, Embedding, Flat, Manifold, Sphere, SwissRoll, Torus
from dimple.manifolds.geometry.covering_radius import covering_radius
from dimple.tensors import generator


@pytest.mark.parametrize("seed", range(6))
def test_on_a_sphere_it_is_the_largest_circumradius_of_the_convex_hull(seed: int) -> None:
    sphere = Sphere(2, 0.3)
    x = sphere.sample(60, generator(seed, "points"))
    centers = 0.3 * ConvexHull(x.numpy()).equations[:, :3]
    known = max(np.linalg.norm(x.numpy() - center, axis=1).min() for center in centers)
    low, high = covering_radius(sphere, x)
    assert low <= known * (1 + 1e-12)
    assert known <= high <= 1.001 * low * (1 + 1e-9)
    assert covering_radius(Embedding(sphere, 6, offset=(5.0,)), Embedding(sphere, 6, offset=(5.0,)).embed(x)) == (
        pytest.approx((low, high), rel=1e-3)
    )


def test_on_curves_it_is_reached_at_an_end_or_in_the_middle_of_a_gap() -> None:
    angles = torch.tensor([0.2, 0.9, 2.5], dtype=torch.float64)
    for manifold, half_gap in ((Arc(2.0), 0.8), (Circle(2.0), (2 * math.pi - 2.3) / 2)):
        x = 2 * torch.stack([angles.cos(), angles.sin()], dim=1)
        known = 4 * math.sin(half_gap / 2)
        low, high = covering_radius(manifold, x)
        assert low <= known * (1 + 1e-12)
        assert known <= high <= 1.0011 * low


def test_a_grid_in_a_square_covers_with_half_its_diagonal() -> None:
    square = Flat((0.0, 0.0), (1.0, 1.0), (0.5,))
    x = square.regular_grid(5)
    assert x is not None
    low, high = covering_radius(square, x)
    assert low <= 0.125 * math.sqrt(2) * (1 + 1e-12)
    assert 0.125 * math.sqrt(2) <= high <= 1.0011 * low


@pytest.mark.parametrize(
    "manifold", [Torus(1.0, 0.7), SwissRoll(), ConcentricSpheres()], ids=lambda m: type(m).__name__
)
def test_no_point_is_farther_than_the_upper_bound(manifold: Manifold) -> None:
    x = manifold.sample(80, generator(0, "points"))
    low, high = covering_radius(manifold, x)
    far = torch.cdist(manifold.sample(20_000, generator(1, "points")), x).amin(1).max()
    assert float(far) <= high
    assert 0.95 * float(far) < low <= high <= 1.0011 * low


def test_above_dimension_2_only_a_lower_bound_is_known() -> None:
    low, high = covering_radius(Sphere(3), Sphere(3).sample(50, generator(0)))
    assert 0 < low < high == math.inf
