"""Every rule for training points: on the manifold, repeatable, and distributed as it says."""

import pytest
import torch
from scipy.stats import kstest

from dimple.data import SAMPLINGS, Sampling
from dimple.data.sampling import Clustered, Graded, Imbalanced, Lattice, Listed, Spread, Uniform
from dimple.errors import SceneError
from dimple.manifolds import Circle, Flat, Lift, Manifold, Moons, Segment, Sphere, SwissRoll, Torus
from dimple.tensors import generator

RULES = {
    "clustered": (Clustered(90), Torus(), 90),
    "graded": (Graded(70), Sphere(2), 70),
    "imbalanced": (Imbalanced(50), Moons(), 50),
    "lattice": (Lattice(4), SwissRoll(), 16),
    "listed": (Listed(((1.0, 0.0), (0.0, -1.0))), Circle(), 2),
    "spread": (Spread(40), Torus(), 40),
    "uniform": (Uniform(30), Torus(), 30),
}


@pytest.mark.parametrize("name", SAMPLINGS)
def test_points_lie_on_the_manifold_and_repeat(name: str) -> None:
    rule, manifold, count = RULES[name]
    x = rule.points(manifold, generator(0))
    assert (len(x), x.dtype) == (count, torch.float64)
    assert float(manifold.distance(x).max()) < 1e-8
    assert torch.equal(x, rule.points(manifold, generator(0)))


def test_spread_points_keep_their_distance() -> None:
    sphere = Sphere(2)
    least = [
        torch.cdist(x, x).fill_diagonal_(9).min()
        for x in (rule.points(sphere, generator(0)) for rule in (Spread(60), Uniform(60)))
    ]
    assert float(least[0]) > 3 * float(least[1])
    # Sixty caps of half the distance cannot cover more than the sphere.
    assert float(least[0]) < 4 / 60**0.5


def test_a_grade_is_exponential() -> None:
    """Along a segment the distribution function is (1 - r^-t) / (1 - 1/r)."""
    x = Graded(2000, ratio=8.0).points(Segment((0.0, 1.0), (1.0, 1.0)), generator(0))[:, 0]
    assert kstest(x.numpy(), lambda t: (1 - 8.0**-t) / (1 - 1 / 8)).pvalue > 1e-3
    reverse = Graded(2000, ratio=1 / 8).points(Segment((0.0, 1.0), (1.0, 1.0)), generator(0))[:, 0]
    assert kstest(1 - reverse.numpy(), lambda t: (1 - 8.0**-t) / (1 - 1 / 8)).pvalue > 1e-3
    upwards = Graded(500, direction=(0.0, 0.0, 2.0)).points(Sphere(2), generator(0))
    assert float(upwards[:, 2].mean()) < -0.3


def test_the_pieces_get_their_shares() -> None:
    moons = Moons()
    x = Imbalanced(100, (0.9, 0.1)).points(moons, generator(0))
    assert moons.component(x).bincount().tolist() == [90, 10]
    few = Imbalanced(20, (1000.0, 1.0)).points(moons, generator(0))
    assert moons.component(few).bincount().tolist()[1] == 1


def test_clusters_are_narrow() -> None:
    sphere = Sphere(2)
    x = Clustered(200, clusters=4, width=0.02).points(sphere, generator(0))
    places = sphere.sample(4, generator(0))
    distance = torch.cdist(x, places).amin(1)
    # In the plane the root mean square distance of a Gaussian of width w is sqrt(2) w.
    assert float(distance.square().mean().sqrt()) == pytest.approx(0.02 * 2**0.5, rel=0.15)


def test_a_lattice_has_the_ends_and_follows_a_lift() -> None:
    square = Flat()
    grid = Lattice(3).points(square, generator(0))
    assert grid[:, 0].unique().tolist() == [0.0, 0.5, 1.0]
    assert Lattice(1).points(square, generator(0)).tolist() == [[0.5, 0.5, 0.5]]
    lift = Lift(square, ambient_dim=20)
    assert torch.allclose(torch.cdist(*[Lattice(3).points(lift, generator(0))] * 2), torch.cdist(grid, grid))


BAD: dict[str, tuple[Sampling, Manifold]] = {
    "no single chart": (Lattice(), Sphere(2)),
    "shares has 2 numbers; the manifold has 1": (Imbalanced(), Sphere(2)),
    "direction is \\[1.0\\]": (Graded(direction=(1.0,)), Sphere(2)),
    "direction is \\[0.0, 0.0, 0.0\\]": (Graded(direction=(0.0, 0.0, 0.0)), Sphere(2)),
    "at\\[1\\] is .* off the manifold": (Listed(((1.0, 0.0), (0.0, 2.0))), Circle()),
    "with 2 numbers": (Listed(((1.0,),)), Circle()),
}


@pytest.mark.parametrize("message", BAD)
def test_what_does_not_fit_the_manifold_is_refused(message: str) -> None:
    rule, manifold = BAD[message]
    with pytest.raises(SceneError, match=message):
        rule.points(manifold, generator(0))
