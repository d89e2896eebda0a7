"""Tests of the speed between the steps of a series, on boundaries that move by a known distance."""

import math

import pytest
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.experiment.probing.boundary_speed import fraction_with_chance, measure_speeds
from dimple.probes import Margin

pytestmark = pytest.mark.usefixtures("double")
# Points on both sides of the boundary, not sorted by their distance from it.
X = torch.tensor([[-0.9, 0.3], [-0.5, -0.05], [0.4, -0.2], [0.7, 0.1], [1.5, 0.9], [2.5, -1.0]], dtype=torch.float64)


def half_plane(threshold: float) -> nn.Linear:
    """Return a network with class 1 where the first coordinate exceeds `threshold`."""
    network = nn.Linear(2, 2).double().eval().requires_grad_(False)
    network.weight.copy_(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
    network.bias.copy_(torch.tensor([threshold, -threshold]))
    return network


def labels(network: nn.Module) -> Tensor:
    return Boundary(network).predict(X)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_boundary_moves_as_fast_as_its_weights_say(norm: str) -> None:
    series = [(0, half_plane(0.0)), (10, half_plane(-0.2)), (30, half_plane(0.1))]
    margin = Margin(norm=norm, restarts=1)  # type: ignore[arg-type]
    statistics, rows = measure_speeds(iter(series), Boundary, X, labels(half_plane(0.0)), margin)
    assert list(statistics) == [10, 30]
    # The boundary first moves away from four of the six points, and then towards them.
    for step, away, speed in ((10, 4 / 6, 0.2), (30, 2 / 6, -0.3)):
        assert statistics[step]["speed_positive_fraction"] == pytest.approx(away)
        assert statistics[step]["speed"] == pytest.approx(speed, rel=1e-6)
        for kind in ("initial", "full"):
            assert statistics[step][f"speed_sign_agreement_{kind}"] == 1.0
            # Rounding decides the order of equal speeds.
            assert statistics[step][f"speed_rank_correlation_{kind}"] > 0.8
    for boundary in ("exact", "soft"):
        groups = [row for row in rows if row["step"] == 10 and row["boundary"] == boundary]
        assert [row["margin_from"] for row in groups][:2] == [-math.inf, 0.0]
        assert sum(row["samples"] for row in groups) == len(X)
        assert all(row["from_step"] == 0 for row in groups)


def test_a_boundary_that_tilts_has_another_speed_at_each_sample() -> None:
    tilted = half_plane(0.0)
    tilted.weight.copy_(torch.tensor([[-1.0, -0.2], [1.0, 0.2]]))
    statistics, rows = measure_speeds(
        iter([(0, half_plane(0.0)), (1, tilted)]), Boundary, X, labels(half_plane(0.0)), Margin(restarts=1)
    )
    assert statistics[1]["speed_rank_correlation_initial"] == pytest.approx(1.0)
    assert statistics[1]["speed_rank_correlation_initial_verdict"].startswith("not judged: 6 samples")
    # The margins |x + 0.2 y| / sqrt(1.04) change by 0.2 y sign(x) to first order.
    side = X[:, 0].sign()
    assert statistics[1]["speed"] == pytest.approx(float((0.2 * X[:, 1] * side).median()), abs=1e-6)
    assert sum(row["positive"] * row["samples"] for row in rows if row["boundary"] == "exact" and row["samples"]) == 3


def test_a_network_into_which_every_step_is_loaded_has_the_same_speed() -> None:
    """A run may load each snapshot into the same module; the network of the step before must not change."""
    network = half_plane(0.0)
    progress = []

    def series() -> object:
        for step, threshold in enumerate((0.0, -0.2)):
            network.load_state_dict(half_plane(threshold).state_dict())
            yield step, network

    margin = Margin(restarts=1)
    y = labels(half_plane(0.0))
    statistics, _ = measure_speeds(series(), Boundary, X, y, margin, lambda: progress.append(1))  # type: ignore[arg-type]
    assert statistics[1]["speed"] == pytest.approx(0.2, rel=1e-6) and progress == [1]


def test_without_a_boundary_there_is_no_speed() -> None:
    constant = nn.Linear(2, 2).double().eval().requires_grad_(False)
    constant.weight.zero_()
    constant.bias.copy_(torch.tensor([1.0, 0.0]))
    statistics, _ = measure_speeds(
        iter([(0, constant), (1, constant)]), Boundary, X, torch.zeros(len(X), dtype=torch.long), Margin(restarts=1)
    )
    assert math.isnan(statistics[1]["speed"]) and math.isnan(statistics[1]["speed_sign_agreement_full"])


def test_a_fraction_of_no_samples_has_no_interval() -> None:
    row = fraction_with_chance("speed_positive_fraction", torch.zeros(0, dtype=torch.bool))
    assert math.isnan(row["speed_positive_fraction"])
    assert row["speed_positive_fraction_verdict"].startswith("not judged: the value")
