"""Bounds that are arrays: equal to numbers where they are constant, and exact where they differ by coordinate."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dimple import measure
from dimple.boundary import Boundary
from dimple.errors import ShapeError, UsageError
from dimple.experiment.outputs.report import report
from dimple.experiment.probing.measurement import Measurement
from dimple.probes import CertifiedRadius, ExactMargin, Margin
from dimple.tensors import Box, generator

pytestmark = pytest.mark.usefixtures("double")
METHODS = [
    (method, norm)
    for method in ("closest", "deepfool", "fab", "pgd", "lbfgs")
    for norm in ("l1", "l2", "linf")
    if (method, norm) not in (("pgd", "l1"), ("lbfgs", "l1"), ("lbfgs", "linf"), ("deepfool", "l1"))
]


def make_network() -> nn.Module:
    stream = generator(0, "bounds")
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream))
    return network.eval()


def half_space(weight: Tensor, level: float) -> nn.Module:
    """Return a network whose second class wins where `weight . x > level`."""
    layer = nn.Linear(len(weight), 2)
    with torch.no_grad():
        layer.weight.copy_(torch.stack([-weight, weight]))
        layer.bias.copy_(torch.tensor([level, -level]))
    return nn.Sequential(nn.Flatten(), layer).eval()


@pytest.mark.parametrize(("method", "norm"), METHODS)
def test_constant_arrays_give_the_result_of_numbers(method: Any, norm: Any) -> None:
    network = make_network()
    x = torch.rand(8, 3, 2, 2, generator=generator(1, "bounds"))
    y = Boundary(network).predict(x)
    margin = Margin(method=method, norm=norm)
    expected = margin(Boundary(network, (0, 1)), x, y).columns
    for bounds in ((torch.zeros(3, 1, 1), 1), (np.zeros((3, 2, 2)), np.ones((2, 2))), ([[[0.0]]], [1.0, 1.0])):
        found = margin(Boundary(network, bounds), x, y).columns
        for name, values in expected.items():
            torch.testing.assert_close(found[name], values, equal_nan=True)


@pytest.mark.parametrize(("method", "norm"), METHODS)
def test_a_half_space_with_a_range_of_each_channel_has_the_distance_of_the_formula(method: Any, norm: Any) -> None:
    """Weights (2, 1), bounds [0, 0.1] and [-5, 5], level 1: the first coordinate stops at 0.1, the second goes on."""
    x = torch.zeros(1, 2, 1, 1)
    bounds = torch.tensor([0.0, -5.0]).reshape(2, 1, 1), torch.tensor([0.1, 5.0]).reshape(2, 1, 1)
    boundary = Boundary(half_space(torch.tensor([2.0, 1.0]), 1.0), bounds)
    step = (0.1, 0.8)
    expected = {"l1": sum(step), "l2": math.hypot(*step), "linf": max(step)}[norm]
    found = Margin(method=method, norm=norm, max_passes=200.0)(boundary, x, torch.tensor([0]))
    assert float(found.columns["margin"]) == pytest.approx(expected, rel=1e-3 if method == "closest" else 2e-2)
    assert bool((found.details["boundary_point"] <= bounds[1] + 1e-9).all())


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_proofs_use_the_range_of_each_coordinate(norm: Any) -> None:
    x = torch.zeros(1, 2)
    boundary = Boundary(half_space(torch.tensor([2.0, 1.0]), 1.0), ([0.0, -5.0], [0.1, 5.0]))
    step = (0.1, 0.8)
    expected = {"l2": math.hypot(*step), "linf": max(step)}[norm]
    y = torch.tensor([0])
    exact = ExactMargin(norm=norm)(boundary, x, y).columns
    assert float(exact["margin_exact_upper"]) == pytest.approx(expected, rel=1e-5)
    assert float(exact["margin_exact_lower"]) == pytest.approx(expected, rel=1e-5)
    radius = float(CertifiedRadius(norm=norm)(boundary, x, y).columns["certified_radius"])
    free = float(CertifiedRadius(norm=norm)(Boundary(boundary.model), x, y).columns["certified_radius"])
    assert free < radius <= expected * (1 + 1e-6)


def test_a_measurement_keeps_its_arrays_in_its_file_and_its_run(tmp_path: Path) -> None:
    bounds = np.zeros((3, 1, 1)), np.array([1.0, 0.5, 2.0]).reshape(3, 1, 1)
    x = 0.4 * torch.rand(6, 3, 2, 2, generator=generator(2, "bounds"))
    found = measure(make_network(), x, None, ["margin"], bounds=bounds, out=tmp_path / "run")
    assert "inputs within 0 to 2, narrower for some coordinates" in found.heading
    again = Measurement.load(found.save(tmp_path / "measurement.safetensors"))
    assert again.bounds is not None and found.bounds is not None
    assert again.bounds.to_lists() == found.bounds.to_lists() == [bounds[0].tolist(), bounds[1].tolist()]
    page = report(tmp_path / "run")
    assert "0 to 2, narrower for some coordinates" in page.read_text()


@pytest.mark.parametrize(
    ("bounds", "error", "message"),
    [
        (([0, 0], [1, 0]), ShapeError, "low\\[1\\] 0.0 must be below high\\[1\\] 0.0"),
        ((np.zeros(5), 1), ShapeError, "do not broadcast to a sample of the shape \\(3, 2, 2\\)"),
        ((np.zeros(5), np.ones(4)), ShapeError, "do not broadcast to one another"),
        (([0, math.nan], 1), UsageError, "nan or inf"),
        ((np.zeros((3, 1, 1)), [[[0.1]], [[1.0]], [[1.0]]]), ShapeError, "outside bounds 0 to 0.1"),
    ],
)
def test_wrong_arrays_are_answered_by_one_sentence(bounds: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        measure(make_network(), torch.full((2, 3, 2, 2), 0.4), None, bounds=bounds)


def test_bounds_stay_where_the_samples_are() -> None:
    box = Box(np.zeros(2), 1.0).for_rows(torch.zeros(3, 2, dtype=torch.float32))
    assert isinstance(box.low, Tensor) and box.low.dtype == torch.float32 and box.high == 1.0
