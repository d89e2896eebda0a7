"""Robustness curve: exact on a linear classifier, certified below found, and the attacks that are drawn into it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from dimple.attacks.search import SearchProblem
from dimple.attacks.square import square
from dimple.boundary import Boundary
from dimple.cli.app import app
from dimple.errors import SceneError, UsageError
from dimple.experiment import ProbeConfig
from dimple.networks import MLP
from dimple.probes.robust import STANDARD_ATTACKS, Robust, RobustnessCurve
from dimple.tensors import generator
from dimple.views.charts.robustness_curve import robust_fraction, summarize_robustness_curve


def linear(norm: str) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """Return a linear classifier, samples, labels, and the distances in closed form; one sample in ten is wrong."""
    stream = generator(0, "curve")
    # In single precision the nearest sample is known to some percent.
    network = nn.Linear(12, 3).double().requires_grad_(False)
    network.weight.copy_(torch.randn(3, 12, generator=stream))
    x = torch.rand(40, 12, generator=stream).double()
    y = network(x).argmax(1)
    y[::10] = (y[::10] + 1) % 3
    scores = network(x)
    dual = torch.linalg.vector_norm(network.weight[y][:, None] - network.weight, ord=2 if norm == "l2" else 1, dim=2)
    distance = ((scores.gather(1, y[:, None]) - scores) / dual).scatter(1, y[:, None], torch.inf).amin(1)
    return network.eval(), x, y, distance.clamp(min=0)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_certified_found_and_standard_attacks_agree_on_a_linear_classifier(norm: Any) -> None:
    network, x, y, distance = linear(norm)
    eps = tuple(float(q) for q in distance[distance > 0].quantile(torch.tensor([0.3, 0.7], dtype=torch.float64)))
    found = RobustnessCurve(norm=norm, max_passes=100.0, eps=eps, queries=200)(Boundary(network), x, y).columns
    torch.testing.assert_close(found["certified_radius"], distance, rtol=2e-3, atol=1e-5)
    torch.testing.assert_close(found["robust_radius_upper"], distance, rtol=1e-3, atol=1e-5)
    for radius in eps:
        decided = (distance / radius - 1).abs() > 1e-3
        assert torch.equal(found[f"robust_at_{radius:g}"][decided], (distance > radius)[decided])


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("certificate", ["crown", "ibp", "optimized"])
def test_the_certified_curve_is_below_every_other_one(norm: Any, certificate: Any) -> None:
    network = MLP(widths=(24,), first_layer_weight_scale=2.0).build(6, generator(5, "network")).requires_grad_(False)
    boundary = Boundary(network, (0, 1))
    x = torch.rand(12, 6, generator=generator(6, "x"))
    y = boundary.predict(x)
    probe = RobustnessCurve(norm=norm, certificate=certificate, max_passes=60.0, eps=(0.1, 0.2), steps=20, queries=100)
    found = probe(boundary, x, y).columns
    certified = found["certified_radius"]
    assert bool((certified > 0).any())
    assert bool((certified <= found["robust_radius_upper"] * (1 + 1e-4)).all())
    for radius in (0.1, 0.2):
        assert bool((found[f"robust_at_{radius:g}"] | (certified <= radius)).all())


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("shape", [(3, 8, 8), (30,)])
def test_square_attack_finds_points_within_the_radius_and_the_bounds(norm: str, shape: tuple[int, ...]) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 4)).requires_grad_(False)
    network[1].weight.copy_(torch.randn(network[1].weight.shape, generator=generator(1, "weights")))
    network[1].bias.zero_()
    boundary = Boundary(network, (0, 1))
    x = torch.rand(24, *shape, generator=generator(2, "x"))
    problem = SearchProblem(boundary, x, boundary.predict(x), norm)
    exact = Robust(norm=norm, attacks=("margin",))(boundary, x, problem.y).columns["robust_radius_upper"]  # type: ignore[arg-type]
    radius = 2 * float(exact.median())
    state = square(problem, radius, queries=400)
    assert bool((state.distance[state.found] <= radius).all())
    assert bool((exact[state.found] <= state.distance[state.found] * (1 + 1e-3)).all())
    # A linear classifier has no traps: the search finds most points that are nearer than half the radius.
    assert float(state.found[exact < radius / 2].float().mean()) >= 0.7
    points = state.points[state.found]
    assert float(points.min()) >= 0
    assert float(points.max()) <= 1
    assert bool((boundary.predict(points.reshape(-1, *shape)) != problem.y[state.found]).all())


def test_square_attack_needs_a_ball() -> None:
    network, x, y, _ = linear("l2")
    with pytest.raises(SceneError, match="square searches in l2 or linf"):
        square(SearchProblem(Boundary(network), x, y, "l1"), 0.1)


def test_fab_towards_each_class_is_exact_on_a_linear_classifier() -> None:
    network, x, y, distance = linear("l2")
    found = Robust(attacks=("fab_targeted",), steps=30)(Boundary(network), x, y).columns["robust_radius_upper"]
    torch.testing.assert_close(found, distance, rtol=1e-3, atol=1e-5)
    assert set(STANDARD_ATTACKS) == {"apgd_ce", "apgd_targeted", "fab_targeted", "square"}


def test_the_table_has_the_fractions_of_all_samples() -> None:
    columns = {
        "certified_radius": np.array([0.0, 0.1, 0.3, 0.5]),
        "robust_radius_upper": np.array([0.0, 0.2, 0.4, np.inf]),
        "robust_at_0.3": np.array([False, False, True, True]),
        "robust_at_0.15": np.array([False, True, True, True]),
    }
    curve = summarize_robustness_curve(columns, "l2, input units")
    assert curve is not None
    assert curve["lines"] == [
        ["0", "0.750", "0.750", ""],
        ["0.150", "0.500", "0.750", "0.750"],
        ["0.300", "0.250", "0.500", "0.500"],
    ]
    assert "svg" in curve["charts"][0]["svg"]
    assert robust_fraction(columns["robust_radius_upper"], 0.4) == 0.25
    assert summarize_robustness_curve({"robust_radius_upper": np.ones(3)}, "") is None


def test_the_command_line_draws_the_curve_and_chooses_the_certificate(tmp_path: Path) -> None:
    command = ["probe", "--samples", "4", "--weights", "none", "--max-passes", "40", "--jobs", "1"]
    out = tmp_path / "run"
    shown = CliRunner().invoke(app, [*command, "--probe", "curve", "--certificate", "ibp", "--out", str(out)])
    assert shown.exit_code == 0, shown.output
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Robustness curve" in page
    assert "no example found" in page
    refused = CliRunner().invoke(app, [*command, "--certificate", "ibp", "--out", str(tmp_path / "other")])
    assert "--certificate chooses the bounds of --probe certified and curve" in str(refused.exception)


def test_certificates_have_three_kinds() -> None:
    with pytest.raises(SceneError, match="certificate"):
        ProbeConfig(probes=("certified",), certificate="lp")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--probe curve attacks in l2 and linf"):
        ProbeConfig(probes=("curve",), norm="l1")
    assert "--certificate optimized" in ProbeConfig(probes=("certified",), certificate="optimized").command
