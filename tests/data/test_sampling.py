"""Sampling rules: their points lie on the manifold, are repeatable, and have the stated distribution."""

import pytest
import torch
from scipy.stats import kstest

from dimple.data import SAMPLINGS, Sampling
from dimple.data.sampling import (
    ClusteredSampling,
    DensityGradientSampling,
    ExplicitSampling,
    FarthestPointSampling,
    GridSampling,
    ImbalancedSampling,
    UniformSampling,
)
from dimple.errors import SceneError
from dimple.manifolds import Circle, Embedding, Flat, Manifold, Moons, Segment, Sphere, SwissRoll, Torus
from dimple.tensors import generator

RULES = {
    "clustered": (ClusteredSampling(90), Torus(), 90),
    "density_gradient": (DensityGradientSampling(70), Sphere(2), 70),
    "imbalanced": (ImbalancedSampling(50), Moons(), 50),
    "grid": (GridSampling(4), SwissRoll(), 16),
    "explicit": (ExplicitSampling(((1.0, 0.0), (0.0, -1.0))), Circle(), 2),
    "farthest_point": (FarthestPointSampling(40), Torus(), 40),
    "uniform": (UniformSampling(30), Torus(), 30),
}


@pytest.mark.parametrize("name", SAMPLINGS)
def test_points_lie_on_the_manifold_and_repeat(name: str) -> None:
    rule, manifold, count = RULES[name]
    x = rule.sample(manifold, generator(0))
    assert (len(x), x.dtype) == (count, torch.float64)
    assert float(manifold.distance(x).max()) < 1e-8
    assert torch.equal(x, rule.sample(manifold, generator(0)))


def test_farthest_points_are_far_apart() -> None:
    sphere = Sphere(2)
    separations = [
        torch.cdist(x, x).fill_diagonal_(9).min()
        for x in (rule.sample(sphere, generator(0)) for rule in (FarthestPointSampling(60), UniformSampling(60)))
    ]
    assert float(separations[0]) > 3 * float(separations[1])
    # Sixty disjoint caps of half this radius cannot cover more than the sphere.
    assert float(separations[0]) < 4 / 60**0.5


def test_a_density_gradient_is_exponential() -> None:
    """Along a segment the distribution function is (1 - r^-t) / (1 - 1/r)."""
    x = DensityGradientSampling(2000, ratio=8.0).sample(Segment((0.0, 1.0), (1.0, 1.0)), generator(0))[:, 0]
    assert kstest(x.numpy(), lambda t: (1 - 8.0**-t) / (1 - 1 / 8)).pvalue > 1e-3
    reverse = DensityGradientSampling(2000, ratio=1 / 8).sample(Segment((0.0, 1.0), (1.0, 1.0)), generator(0))[:, 0]
    assert kstest(1 - reverse.numpy(), lambda t: (1 - 8.0**-t) / (1 - 1 / 8)).pvalue > 1e-3
    upwards = DensityGradientSampling(500, direction=(0.0, 0.0, 2.0)).sample(Sphere(2), generator(0))
    assert float(upwards[:, 2].mean()) < -0.3


def test_components_get_their_fractions() -> None:
    moons = Moons()
    x = ImbalancedSampling(100, (0.9, 0.1)).sample(moons, generator(0))
    assert moons.component_index(x).bincount().tolist() == [90, 10]
    few = ImbalancedSampling(20, (1000.0, 1.0)).sample(moons, generator(0))
    assert moons.component_index(few).bincount().tolist()[1] == 1


def test_clusters_are_narrow() -> None:
    sphere = Sphere(2)
    x = ClusteredSampling(200, clusters=4, width=0.02).sample(sphere, generator(0))
    centers = sphere.sample(4, generator(0))
    distance = torch.cdist(x, centers).amin(1)
    # In the plane the root mean square distance of a Gaussian of width w is sqrt(2) w.
    assert float(distance.square().mean().sqrt()) == pytest.approx(0.02 * 2**0.5, rel=0.15)


def test_a_grid_includes_the_ends_and_agrees_with_its_embedding() -> None:
    square = Flat()
    grid = GridSampling(3).sample(square, generator(0))
    assert grid[:, 0].unique().tolist() == [0.0, 0.5, 1.0]
    assert GridSampling(1).sample(square, generator(0)).tolist() == [[0.5, 0.5, 0.5]]
    embedded = GridSampling(3).sample(Embedding(square, ambient_dim=20), generator(0))
    assert torch.allclose(torch.cdist(embedded, embedded), torch.cdist(grid, grid))


BAD: dict[str, tuple[Sampling, Manifold]] = {
    "no single chart": (GridSampling(), Sphere(2)),
    "fractions has 2 numbers; the number of components of the manifold is 1": (ImbalancedSampling(), Sphere(2)),
    "direction is \\[1.0\\]": (DensityGradientSampling(direction=(1.0,)), Sphere(2)),
    "direction is \\[0.0, 0.0, 0.0\\]": (DensityGradientSampling(direction=(0.0, 0.0, 0.0)), Sphere(2)),
    "points\\[1\\] is .* away from the manifold": (ExplicitSampling(((1.0, 0.0), (0.0, 2.0))), Circle()),
    "with 2 numbers": (ExplicitSampling(((1.0,),)), Circle()),
}


@pytest.mark.parametrize("message", BAD)
def test_settings_that_do_not_fit_the_manifold_are_refused(message: str) -> None:
    rule, manifold = BAD[message]
    with pytest.raises(SceneError, match=message):
        rule.sample(manifold, generator(0))
