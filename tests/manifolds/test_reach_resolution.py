"""The reach of facing sheets: found, or refused where the search may take two for one."""

import pytest
import torch

from dimple.errors import SceneError
from dimple.manifolds import Sphere, Spiral
from dimple.manifolds.geometry.reach import require_resolved_reach
from dimple.tensors import generator


def test_a_spiral_of_too_many_turns_is_refused_and_not_given_twice_its_reach() -> None:
    for turns in (60.0, 150.0):
        spiral = Spiral(turns=turns)
        assert spiral.reach == pytest.approx(0.75 / (2 * turns), rel=1e-3)
        require_resolved_reach(spiral, spiral.sample(500, generator(0, "points")))
    spiral = Spiral(turns=400.0)
    with pytest.raises(SceneError, match=r"reach finds 0\.00187, and below 0\.0020"):
        require_resolved_reach(spiral, spiral.sample(500, generator(0, "points")))


def test_a_reach_by_formula_is_not_questioned() -> None:
    require_resolved_reach(Sphere(), torch.tensor([[0.0, 0.0, 0.0], [1e6, 0.0, 0.0]]))
