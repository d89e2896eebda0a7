"""The speed between the steps of a series, on boundaries that move by a known distance."""

import math

import pytest
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.experiment.probing.boundary_speed import speeds_between
from dimple.probes import Margin

pytestmark = pytest.mark.usefixtures("double")
# Both sides of the boundary, nearest first on neither.
X = torch.tensor([[-0.9, 0.3], [-0.5, -0.05], [0.4, -0.2], [0.7, 0.1], [1.5, 0.9], [2.5, -1.0]], dtype=torch.float64)


def wall(place: float) -> nn.Linear:
    """Class 1 where the first coordinate exceeds `place`."""
    line = nn.Linear(2, 2).double().eval().requires_grad_(False)
    line.weight.copy_(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
    line.bias.copy_(torch.tensor([place, -place]))
    return line


def labels(network: nn.Module) -> Tensor:
    return Boundary(network).predict(X)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_wall_moves_as_fast_as_its_weights_say(norm: str) -> None:
    series = [(0, wall(0.0)), (10, wall(-0.2)), (30, wall(0.1))]
    figures, rows = speeds_between(iter(series), Boundary, X, labels(wall(0.0)), Margin(norm=norm, starts=1))  # type: ignore[arg-type]
    assert list(figures) == [10, 30]
    # Four of the six lie on the side that the wall moves away from, then towards.
    for step, away, speed in ((10, 4 / 6, 0.2), (30, 2 / 6, -0.3)):
        assert figures[step]["speed_positive"] == pytest.approx(away)
        assert figures[step]["speed"] == pytest.approx(speed, rel=1e-6)
        for kind in ("short", "whole"):
            assert figures[step][f"speed_sign_{kind}"] == 1.0
            # Equal speeds are ordered by rounding alone.
            assert figures[step][f"speed_rank_{kind}"] > 0.8
    for boundary in ("exact", "soft"):
        mine = [row for row in rows if row["step"] == 10 and row["boundary"] == boundary]
        assert [row["margin_from"] for row in mine][:2] == [-math.inf, 0.0]
        assert sum(row["samples"] for row in mine) == len(X)
        assert all(row["from_step"] == 0 for row in mine)


def test_a_wall_that_tilts_moves_each_sample_at_its_own_speed() -> None:
    tilted = wall(0.0)
    tilted.weight.copy_(torch.tensor([[-1.0, -0.2], [1.0, 0.2]]))
    figures, rows = speeds_between(
        iter([(0, wall(0.0)), (1, tilted)]), Boundary, X, labels(wall(0.0)), Margin(starts=1)
    )
    assert figures[1]["speed_rank_short"] == pytest.approx(1.0) and figures[1]["speed_rank_short_verdict"] == "above"
    # The margins |x + 0.2 y| / sqrt(1.04) change by 0.2 y sign(x) to first order.
    side = X[:, 0].sign()
    assert figures[1]["speed"] == pytest.approx(float((0.2 * X[:, 1] * side).median()), abs=1e-6)
    assert sum(row["positive"] * row["samples"] for row in rows if row["boundary"] == "exact" and row["samples"]) == 3


def test_one_network_that_is_loaded_anew_for_every_step_moves_all_the_same() -> None:
    """A run loads each snapshot into the same module; what came before must not change with it."""
    network, told = wall(0.0), []

    def series() -> object:
        for step, place in enumerate((0.0, -0.2)):
            network.load_state_dict(wall(place).state_dict())
            yield step, network

    figures, _ = speeds_between(series(), Boundary, X, labels(wall(0.0)), Margin(starts=1), lambda: told.append(1))  # type: ignore[arg-type]
    assert figures[1]["speed"] == pytest.approx(0.2, rel=1e-6) and told == [1]


def test_where_no_boundary_is_met_there_is_no_speed() -> None:
    constant = nn.Linear(2, 2).double().eval().requires_grad_(False)
    constant.weight.zero_(), constant.bias.copy_(torch.tensor([1.0, 0.0]))
    figures, _ = speeds_between(
        iter([(0, constant), (1, constant)]), Boundary, X, torch.zeros(len(X), dtype=torch.long), Margin(starts=1)
    )
    assert math.isnan(figures[1]["speed"]) and math.isnan(figures[1]["speed_sign_whole"])
