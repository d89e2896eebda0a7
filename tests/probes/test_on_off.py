"""On- and off-manifold margins of a half-space against their formulas, and their null against theory."""

import math
from typing import Literal

import pytest
import torch

from dimple.boundary import Boundary
from dimple.experiment.probing.tables import compute_changes
from dimple.probes import OnOff
from dimple.stats.null_bands import interval_coverage, isotropic_margin_ratio, judge, prediction_interval
from dimple.tangents import RandomSubspace
from tests.oracles import half_space

pytestmark = pytest.mark.usefixtures("double")


@pytest.mark.parametrize("method", ["deepfool", "closest"])
def test_constrained_margins_of_a_half_space_are_exact(method: Literal["deepfool", "closest"]) -> None:
    stream = torch.Generator().manual_seed(0)
    normal = torch.randn(10, generator=stream)
    x = torch.randn(30, 10, generator=stream)
    tangents = RandomSubspace(dim=3, seed=1, draw=0)
    q = tangents.basis(10)
    result = OnOff(method=method)(half_space(normal), x, torch.ones(30, dtype=torch.long), tangents).columns
    signed = x @ normal
    on = (q.T @ normal).norm()
    off = (normal - q @ q.T @ normal).norm()
    torch.testing.assert_close(result["margin_on"], signed / on, rtol=1e-7, atol=0)
    torch.testing.assert_close(result["margin_off"], signed / off, rtol=1e-7, atol=0)
    fraction = (on / normal.norm()) ** 2
    torch.testing.assert_close(result["perturbation_on_manifold_fraction"], fraction.expand(30), rtol=1e-7, atol=0)
    torch.testing.assert_close(result["gradient_off_manifold_fraction"], (1 - fraction).expand(30), rtol=1e-7, atol=0)


def test_constrained_margins_of_ten_affine_scores_are_those_of_the_nearest_class() -> None:
    stream = torch.Generator().manual_seed(2)
    weights = torch.randn(10, 20, generator=stream)
    x = torch.randn(60, 20, generator=stream)
    scores = x @ weights.T
    y = scores.argmax(1)
    tangents = RandomSubspace(dim=4, seed=7, draw=0)
    basis = tangents.tangent_basis(x)[0]
    columns = OnOff(null_draws=1)(Boundary(lambda z: z @ weights.T), x, y, tangents).columns
    projection = basis @ basis.T
    for name, allowed in (("margin_on", projection), ("margin_off", torch.eye(20) - projection)):
        lengths = ((weights[y][:, None] - weights) @ allowed).norm(dim=2)
        distance = ((scores.gather(1, y[:, None]) - scores) / lengths).nan_to_num(nan=torch.inf).amin(1)
        torch.testing.assert_close(columns[name], distance, rtol=1e-2, atol=0)


@pytest.mark.parametrize(("n", "d"), [(60, 6), (100, 25)])
def test_the_null_of_an_isotropic_gradient_approaches_its_analytic_value(n: int, d: int) -> None:
    stream = torch.Generator().manual_seed(5)
    normal = torch.randn(n, generator=stream)
    x = 0.1 * normal.expand(1, -1) / normal.norm()
    tangents = RandomSubspace(dim=d, seed=3, draw=0)
    result = OnOff(null_draws=200)(half_space(normal), x, torch.ones(1, dtype=torch.long), tangents)
    inverse_squares = (0.1 / result.details["margin_on_draws"]) ** 2
    # The mean fraction d/n of 200 independent draws, within four standard errors of a Beta(d/2, (n-d)/2) mean.
    standard_error = math.sqrt(2 * d * (n - d) / (n**2 * (n + 2)) / 200)
    assert abs(float(inverse_squares.mean()) - d / n) < 4 * standard_error
    assert abs(
        float(result.columns["margin_on_null"]) / 0.1 - isotropic_margin_ratio(n, d)
    ) < 0.1 * isotropic_margin_ratio(n, d)


def test_a_random_subspace_is_orthonormal_and_uniform() -> None:
    columns = torch.stack([RandomSubspace(2, seed=0, draw=draw).basis(5) for draw in range(400)])
    eye = torch.eye(2).expand(400, 2, 2)
    torch.testing.assert_close(columns.transpose(1, 2) @ columns, eye, rtol=0, atol=1e-12)
    mean_projector = (columns @ columns.transpose(1, 2)).mean(0)
    assert (mean_projector - 0.4 * torch.eye(5)).abs().max() < 0.1


@pytest.mark.parametrize(("draws", "coverage"), [(19, 0.9), (39, 0.95), (79, 0.95), (200, 0.95)])
def test_the_prediction_interval_has_its_coverage_of_further_draws(draws: int, coverage: float) -> None:
    stream = torch.Generator().manual_seed(5)
    known = torch.rand(20_000, draws, generator=stream)
    further = torch.rand(20_000, generator=stream)
    low, high = prediction_interval(known)
    inside = float(((further >= low) & (further <= high)).double().mean())
    # Four standard errors of a fraction of 20,000.
    assert abs(inside - interval_coverage(draws)) < 4 * math.sqrt(coverage * (1 - coverage) / 20_000)
    assert coverage - 0.001 <= interval_coverage(draws) < coverage + 0.03


@pytest.mark.parametrize(
    ("interval", "word"),
    [
        ((5.5, 6.0), "above"),
        ((5.0, 6.0), "not decided"),
        ((4.6, 5.4), "inside"),
        ((2.0, 15.6), "not decided"),
        ((3.0, 4.5), "below"),
        ((6.0, math.inf), "above"),
        ((math.nan, 6.0), "not judged: the value or its null is undefined"),
    ],
)
def test_a_verdict_compares_the_interval_with_the_band(interval: tuple[float, float], word: str) -> None:
    assert judge(5.81, interval, (4.6, 5.4), 19) == word


def test_more_search_that_changes_a_statistic_or_its_null_leaves_no_verdict() -> None:
    assert [judge(6.0, (5.5, 6.5), (4.0, 5.0), 19, [change]) for change in (0.02, 0.021, -0.69, math.nan)] == [
        "above",
        "unsettled",
        "unsettled",
        "above",
    ]
    assert judge(6.0, (5.5, 6.5), (4.0, 5.0), 19, [0.0, -0.1]) == "unsettled"


def test_a_longer_search_changes_nothing_if_the_boundary_is_flat() -> None:
    stream = torch.Generator().manual_seed(5)
    normal = torch.randn(10, generator=stream)
    x = torch.randn(30, 10, generator=stream)
    tangents = RandomSubspace(dim=3, seed=1, draw=0)
    flat = half_space(normal)
    y = torch.ones(30, dtype=torch.long)
    found = [probe(flat, x, y, tangents) for probe in (OnOff(), OnOff().refined())]
    changes = compute_changes(
        *({name: v.numpy() for name, v in (one.columns | one.details).items()} for one in found), {}
    )
    for name in ("margin_on", "margin_off_ratio", "margin_off_null", "margin_on_ratio_null"):
        assert abs(changes[f"{name}_change"]) < 1e-6
