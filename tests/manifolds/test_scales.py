"""Manifolds at the sizes and places that numbers allow: float32 squares overflow at 2e19 and vanish at 1e-23."""

import math

import pytest
import torch

from dimple.data.manifold_labels import RandomWaveLabels, VoronoiLabels
from dimple.manifolds import Circle, CliffordTorus, Embedding, Flat, Manifold, Segment, Sphere, Torus
from dimple.tensors import generator


def members(size: float) -> dict[str, Manifold]:
    """Return manifolds of a size whose formulas do not go through double precision."""
    return {
        "circle": Circle(size),
        "sphere": Sphere(3, size),
        "torus": Torus(size, 0.4 * size),
        "clifford torus": CliffordTorus((size, 2 * size)),
        "segment": Segment((0.0, 0.0), (size, 2 * size)),
        "flat": Flat((0.0, 0.0), (size, 2 * size), (0.5 * size,)),
        "embedded sphere": Embedding(Sphere(2, size), ambient_dim=5),
    }


@pytest.mark.parametrize("size", [1e20, 1e-25])
@pytest.mark.parametrize("name", members(1.0))
def test_float32_has_the_geometry_of_double_precision(name: str, size: float) -> None:
    unit = members(1.0)[name]
    scaled = members(size)[name]
    on = unit.sample(8, generator(0, "on"))
    x = on + 0.2 * torch.randn(on.shape, generator=generator(1, "off"), dtype=torch.float64)
    y = (x * size).float()
    x = y.double() / size
    for found, expected in (
        (scaled.project(y).double() / size, unit.project(x)),
        (scaled.distance(y).double() / size, unit.distance(x)),
        (scaled.tangent_basis(y).double(), unit.tangent_basis(x)),
        (scaled.second_fundamental_form(y).double() * size, unit.second_fundamental_form(x)),
        (scaled.coordinates(y).double(), unit.coordinates(x)),
        (scaled.medial_axis_distance(y).double() / size, unit.medial_axis_distance(x)),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    if name != "torus":
        lengths = scaled.geodesic_distance(y, y).double() / size
        torch.testing.assert_close(lengths, unit.geodesic_distance(x, x), rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize(("offset", "dtype"), [(30.0, torch.float32), (1000.0, torch.float32), (1e7, torch.float64)])
def test_labels_do_not_depend_on_the_place_of_the_origin(offset: float, dtype: torch.dtype) -> None:
    here, there = (Embedding(Sphere(), ambient_dim=3, frame="axes", offset=(shift,)) for shift in (0.0, offset))
    x = there.sample(2000, generator(7)).to(dtype)
    # Float32 itself moves points by up to 3e-5 of the radius.
    tolerance = math.ceil(2000 * 40 * offset * torch.finfo(dtype).eps)
    voronoi = VoronoiLabels(count=60, classes=10, seed=1)
    labels = [
        rule.label_new_points(points, points, points)
        for rule, points in ((voronoi.bind(there), x), (voronoi.bind(here), x.double() - offset))
    ]
    assert int((labels[0] != labels[1]).sum()) <= tolerance
    waves = RandomWaveLabels(wavelength=0.5).bind(there)
    double = waves.label_new_points(x.double(), x, x)
    assert torch.equal(waves.label_new_points(x, x, x), double)
