"""How far one may go: against the projection itself, on every kind, and against formulas."""

import math

import pytest
import torch

from dimple.manifolds import CliffordTorus, ConcentricSpheres, Lift, Paraboloid, Sphere, Torus
from dimple.tensors import generator
from tests.manifolds.members import NAMES, members


def rows(*points: list[float]) -> torch.Tensor:
    return torch.tensor(points, dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
def test_the_foot_stays_within_the_room_and_another_one_takes_over_beyond(name: str) -> None:
    manifold = members()[name]
    x = manifold.sample(16, generator(0, "on"))
    size = float((x.amax(0) - x.amin(0)).norm())
    y = x + 0.1 * size * torch.randn(x.shape, generator=generator(1, "away"), dtype=torch.float64)
    foot, room = manifold.project(y), manifold.room(y)
    away = torch.nn.functional.normalize(y - foot, dim=1)
    assert bool((room > 0).all())
    # Beyond some times its size a manifold is as good as a point.
    step = torch.where(torch.isfinite(room), room, 4 * size).clamp(max=4 * size)

    def moved(share: float) -> torch.Tensor:
        return (manifold.project(y + share * step[:, None] * away) - foot).norm(dim=1)

    assert float(moved(0.97).max()) < 1e-4 * size
    # By more than a foot moves that only slides.
    assert bool((moved(1.03)[room < 4 * size] > 1e-3 * size).all())


@pytest.mark.parametrize("name", NAMES)
def test_on_the_manifold_it_is_the_reach(name: str) -> None:
    manifold = members()[name]
    room = manifold.room(manifold.sample(10, generator(2, "on")))
    if math.isfinite(manifold.reach):
        assert float(room.min()) >= manifold.reach * (1 - 1e-6)
        assert bool(torch.isfinite(room).all())


def test_where_a_formula_is_known() -> None:
    # A bowl along its axis: the focal point lies 1 / bend above the bottom.
    bowl = Paraboloid(bend=2.0)
    assert bowl.room(rows([0.0, 0.0, 0.2], [0.0, 0.0, -0.2])).tolist() == pytest.approx([0.3, math.inf], rel=1e-5)
    # Between two spheres the medial axis is the sphere half-way; outside of both there is none.
    spheres = ConcentricSpheres(2, (1.0, 2.0))
    assert spheres.room(rows([1.2, 0, 0], [0, 1.6, 0], [0, 0, 3.0])).tolist() == pytest.approx([0.3, 0.1, math.inf])


def test_a_way_across_the_space_of_the_original_has_no_end() -> None:
    lift = Lift(Sphere(2), ambient_dim=5, frame="axes")
    straight, within, askew = rows([1, 0, 0, 0.5, 0], [0.5, 0, 0, 0, 0], [0.7, 0, 0, 0.4, 0])
    room = lift.room(torch.stack([straight, within, askew]))
    # Askew the way has 0.7 to go within the space, and goes 3/5 of its length there.
    assert room.tolist() == pytest.approx([math.inf, 0.5, 0.7 / 0.6])


def test_of_a_product_the_first_factor_to_end_counts() -> None:
    torus = CliffordTorus((1.0, 2.0))
    # Moves by 0.3 and 0.4 towards the axes: 0.7 of 1.0 and 1.6 of 2.0 are left, at 3/5 and 4/5 of the way.
    room = torus.room(rows([0.7, 0, 1.6, 0]))
    assert room.tolist() == pytest.approx([min(0.7 / 0.6, 1.6 / 0.8)])
    assert Torus().room(Torus().sample(50, generator(0)).float()).max() < 0.4 + 1e-5


def test_points_of_the_sphere_itself_have_its_radius() -> None:
    sphere = Sphere(3, 0.3)
    x = sphere.sample(200, generator(0)).float()
    torch.testing.assert_close(sphere.room(x), torch.full((200,), 0.3), rtol=1e-5, atol=0)
