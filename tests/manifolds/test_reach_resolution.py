"""The reach of facing sheets: found at any number of turns, or refused."""

import pytest
import torch

from dimple.errors import SceneError
from dimple.manifolds import Helix, Sphere, Spiral
from dimple.manifolds.geometry.reach import require_resolved_reach
from dimple.tensors import generator


@pytest.mark.parametrize(
    ("inner", "turns"), [(0.25, 60.0), (0.25, 300.0), (0.25, 2000.0), (0.99, 100.0), (0.9999, 2.0)]
)
def test_the_reach_of_a_tight_spiral_is_half_the_distance_of_its_turns(inner: float, turns: float) -> None:
    spiral = Spiral(inner=inner, outer=1.0, turns=turns)
    assert spiral.reach == pytest.approx((1 - inner) / (2 * turns), rel=1e-4)
    require_resolved_reach(spiral, spiral.sample(500, generator(0, "points")))


def test_sheets_nearer_than_rounding_are_refused() -> None:
    spiral = Spiral(inner=1 - 2e-7, outer=1.0, turns=2.0)
    with pytest.raises(SceneError, match="it may take facing sheets for one"):
        require_resolved_reach(spiral, spiral.sample(500, generator(0, "points")))


def test_the_reach_of_a_flat_helix_is_half_its_pitch() -> None:
    assert Helix(radius=1.0, pitch=0.001, turns=20.0).reach == pytest.approx(0.0005, rel=1e-5)


def test_a_reach_by_formula_is_not_questioned() -> None:
    require_resolved_reach(Sphere(), torch.tensor([[0.0, 0.0, 0.0], [1e6, 0.0, 0.0]]))
