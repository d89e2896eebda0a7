"""Robust accuracy: exact on a linear classifier, monotone in the radius, consistent with margins and certificates."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor, nn
from typer.testing import CliRunner

from dimple import CertifiedRadius, Robust, measure
from dimple.boundary import Boundary
from dimple.cli.app import app
from dimple.errors import SceneError
from dimple.networks import MLP
from dimple.stats.intervals import proportion_interval
from dimple.tensors import generator

EPS = (0.05, 0.1, 0.2)


def linear() -> tuple[nn.Module, Tensor, Tensor]:
    stream = generator(0, "linear")
    network = nn.Linear(20, 4).requires_grad_(False)
    network.weight.copy_(torch.randn(4, 20, generator=stream))
    network.bias.copy_(-0.5 * network.weight.sum(1))
    x = torch.rand(120, 20, generator=stream)
    y = network(x).argmax(1)
    y[::10] = (y[::10] + 1) % 4
    return network.eval(), x, y


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("attacks", [("margin",), ("apgd_targeted",), ("margin", "apgd_ce", "apgd_targeted")])
def test_robust_accuracy_of_a_linear_classifier_is_its_closed_form(norm: str, attacks: Any) -> None:
    """Without bounds the distance from class k is (z_y - z_k) / |w_y - w_k|, in the dual norm."""
    network, x, y = linear()
    scores = network(x)
    difference = network.weight[y][:, None] - network.weight  # type: ignore[index, operator]
    dual = torch.linalg.vector_norm(difference, ord=2 if norm == "l2" else 1, dim=2)
    distance = (scores.gather(1, y[:, None]) - scores) / dual
    distance = distance.scatter(1, y[:, None], torch.inf).amin(1).clamp(min=0)
    eps = tuple(float(q) for q in distance[distance > 0].quantile(torch.tensor([0.2, 0.5, 0.8])))
    found = Robust(norm=norm, eps=eps, attacks=attacks)(Boundary(network), x, y)  # type: ignore[arg-type]
    for radius in eps:
        decided = (distance / radius - 1).abs() > 1e-3
        robust = found.columns[f"robust_at_{radius:g}"]
        assert torch.equal(robust[decided], (distance > radius)[decided])
    if "margin" in attacks:
        torch.testing.assert_close(found.columns["robust_radius_upper"], distance, rtol=1e-3, atol=1e-5)


def test_an_example_at_a_smaller_radius_counts_at_larger_ones() -> None:
    network = MLP(widths=(32, 32), first_layer_weight_scale=3.0).build(6, generator(1, "network")).requires_grad_(False)
    x = torch.rand(80, 6, generator=generator(2, "x"))
    y = torch.randint(0, 2, (80,), generator=generator(3, "y"))
    found = Robust(eps=(0.2, 0.05, 0.1), attacks=("apgd_ce",), steps=5)(Boundary(network, (0, 1)), x, y).columns
    robust = torch.stack([found[f"robust_at_{eps:g}"] for eps in EPS], 1).int()
    assert bool((robust.diff(dim=1) <= 0).all())
    wrong = network(x).argmax(1) != y
    assert not bool(robust[wrong].any())
    assert found["robust_radius_upper"][wrong].eq(0).all()
    assert found["robust_attack"].unique().tolist() == [-1, 0, 2]


def test_no_proven_radius_is_contradicted() -> None:
    network = MLP(widths=(24,), first_layer_weight_scale=2.0).build(6, generator(5, "network")).requires_grad_(False)
    x = torch.rand(60, 6, generator=generator(6, "x"))
    boundary = Boundary(network, (0, 1))
    y = boundary.predict(x)
    for norm in ("l2", "linf"):
        lower = CertifiedRadius(norm=norm)(boundary, x, y).columns["certified_radius"]  # type: ignore[arg-type]
        upper = Robust(norm=norm, eps=EPS)(boundary, x, y).columns["robust_radius_upper"]  # type: ignore[arg-type]
        assert bool((lower <= upper * (1 + 1e-4)).all())


def test_each_later_attack_only_adds() -> None:
    network = MLP(widths=(64, 64), first_layer_weight_scale=3.0).build(8, generator(7, "network")).requires_grad_(False)
    x = torch.rand(100, 8, generator=generator(8, "x"))
    boundary = Boundary(network, (0, 1))
    y = boundary.predict(x)
    all_attacks = Robust(eps=EPS)(boundary, x, y).columns["robust_at_0.1"]
    for name in ("margin", "apgd_ce", "apgd_targeted"):
        alone = Robust(eps=EPS, attacks=(name,))(boundary, x, y).columns["robust_at_0.1"]  # type: ignore[arg-type]
        assert bool((alone | ~all_attacks).all())


def test_the_summary_is_over_all_samples_with_the_interval_of_clopper_and_pearson() -> None:
    network, x, y = linear()
    found = measure(network, x, y, [Robust(norm="linf", eps=(0.05, 0.1))], bounds=(0, 1))
    robust = np.asarray(found["robust_at_0.05"])
    assert found.statistics["robust_at_0.05"] == pytest.approx(robust.mean())
    assert found.statistics["robust_at_0.05"] < found.statistics["accuracy"] == pytest.approx(0.9)
    interval = binomtest(int(robust.sum()), len(robust)).proportion_ci(method="exact")
    ends = [found.statistics[f"robust_at_0.05_{end}"] for end in ("low", "high")]
    assert ends == pytest.approx([interval.low, interval.high])
    text = found.summary()
    assert f" {ends[0]:.3f} to {ends[1]:.3f}  120 " in text
    assert "robust_at_0.05_low" not in text
    assert "robust accuracy within 0.05" in repr(found["robust_at_0.05"].label)


@pytest.mark.parametrize(("successes", "count"), [(0, 5), (5, 5), (3, 17), (150, 200)])
def test_intervals_are_those_of_scipy(successes: int, count: int) -> None:
    interval = binomtest(successes, count).proportion_ci(method="exact")
    assert proportion_interval(successes, count) == pytest.approx((interval.low, interval.high))


def test_unlabeled_samples_are_those_of_the_predicted_class() -> None:
    network, x, _ = linear()
    predicted = network(x).argmax(1)
    found = measure(network, x, None, [Robust(norm="linf", eps=(0.1,))], bounds=None)
    same = measure(network, x, predicted, [Robust(norm="linf", eps=(0.1,))], bounds=None)
    assert found.statistics["robust_at_0.1"] == same.statistics["robust_at_0.1"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eps": ()}, "eps"),
        ({"eps": (0.1, 0.1)}, "name each radius once"),
        ({"eps": (-0.1,)}, "greater than 0"),
        ({"norm": "l1"}, "norm is 'l1'"),
        ({"attacks": ("spsa",)}, "attacks"),
    ],
)
def test_unusable_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SceneError, match=message):
        Robust(**settings)


def test_the_command_line_takes_a_list_of_radii(tmp_path: Any) -> None:
    command = ["probe", "--probe", "robust", "--samples", "12", "--norm", "linf", "--weights", "none", "--json"]
    shown = CliRunner().invoke(app, [*command, "--eps", "0.01,0.05", "--out", str(tmp_path / "run")])
    assert shown.exit_code == 0, shown.output
    row = json.loads(shown.stdout.splitlines()[-1])["rows"][0]
    assert {"robust_at_0.01", "robust_at_0.05", "robust_at_0.05_low", "robust_at_0.05_high"} <= set(row)
    for arguments, message in (
        (["--eps", "0.1;0.2"], "write numbers with commas"),
        (["--eps", "-1"], "greater than 0"),
        (["--norm", "l1"], "attacks in l2 and linf"),
    ):
        refused = CliRunner().invoke(app, [*command, *arguments, "--out", str(tmp_path / "other")])
        assert message in str(refused.exception)
