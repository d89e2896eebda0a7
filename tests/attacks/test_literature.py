"""The literature's searches against boundaries whose distance is known, and the contract that every search owes."""

import math

import pytest
import torch
from torch import Tensor, nn

from dimple.attacks.base import BUDGET, CONVERGED, NO_CROSSING, Search
from dimple.attacks.closest import closest
from dimple.attacks.fab import fab
from dimple.attacks.lbfgs import lbfgs
from dimple.attacks.pgd import pgd
from dimple.attacks.projections import dual_norm
from dimple.attacks.subspace_constraint import Restriction
from dimple.boundary import Boundary
from dimple.errors import DimpleError
from dimple.networks import MLP
from dimple.probes import Margin
from dimple.tangents import RandomSubspace
from dimple.tensors import Box, generator, norm, project
from tests.oracles import ball, half_space, wedge

pytestmark = pytest.mark.usefixtures("double")
SEARCHES: dict[str, tuple[Search, float]] = {"fab": (fab, 60.0), "lbfgs": (lbfgs, 120.0), "pgd": (pgd, 120.0)}
# Where a radius or a weight only just succeeds, rounding decides; a hundredth is how far PGD's bisection goes.
ROUNDING = {"fab": 1e-6, "lbfgs": 5e-2, "pgd": 1e-2}
IN_EVERY_NORM = [(name, kind) for name in ("fab", "pgd") for kind in ("l1", "l2", "linf")] + [("lbfgs", "l2")]
every_search = pytest.mark.parametrize("name", sorted(SEARCHES))
every_search_and_norm = pytest.mark.parametrize(("name", "kind"), IN_EVERY_NORM)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed, "gaussian"))


def network() -> nn.Module:
    """Three classes in 12 dimensions."""
    mlp = MLP(widths=(24, 24), input_scale=2.0).build(12, generator(3, "network")).double()
    mlp.requires_grad_(False)
    third = gaussian(12, seed=8)
    return lambda x: torch.cat([mlp(x), 0.3 * (x @ third)[:, None] - 0.3], dim=1)  # type: ignore[return-value]


def margins(name: str, boundary: Boundary, x: Tensor, kind: str = "l2") -> Tensor:
    margin = Margin(norm=kind, method=name, budget=SEARCHES[name][1])  # type: ignore[arg-type]
    return margin(boundary, x, boundary.predict(x)).columns["margin"]


@every_search_and_norm
def test_half_space(name: str, kind: str) -> None:
    normal, x = gaussian(12, seed=1), gaussian(8, 12)
    boundary = half_space(normal, 0.3)
    exact = (x @ normal - 0.3).abs() / dual_norm(normal, kind)
    tolerance = 1e-3 if name == "lbfgs" else 1e-6
    torch.testing.assert_close(margins(name, boundary, x, kind), exact, rtol=tolerance, atol=0)


@every_search_and_norm
def test_half_space_in_a_box(name: str, kind: str) -> None:
    """Beyond x1 + .2 x2 > 1.1 in the unit square; in l1 and l2 the second sample meets the wall x1 = 1."""
    boundary = half_space(torch.tensor([1.0, 0.2]), 1.1, Box())
    exact = {"l1": [0.5, 1.2], "l2": [0.5 / 1.04**0.5, 0.8**0.5], "linf": [0.5 / 1.2, 0.88 / 1.2]}[kind]
    found = margins(name, boundary, torch.tensor([[0.5, 0.5], [0.2, 0.1]]), kind)
    assert found.tolist() == pytest.approx(exact, rel=0.02)


@every_search
def test_ball_from_inside_and_outside(name: str) -> None:
    x = gaussian(8, 5)
    torch.testing.assert_close(margins(name, ball(2.0), x), (2 - x.norm(dim=1)).abs(), rtol=1e-2, atol=1e-4)


@every_search
def test_the_nearer_of_two_rivals_is_found_though_the_other_scores_higher(name: str) -> None:
    found = margins(name, wedge(near=0.5, far=2.0), torch.zeros(1, 2))
    # Its steps down the gap go towards the highest score, which is the farther rival's.
    exact = 2.0 if name == "pgd" else 0.5
    assert float(found) == pytest.approx(exact, rel=2e-3)


@every_search
def test_a_target_is_reached_and_not_nearer_than_the_nearest_point_of_any_class(name: str) -> None:
    boundary, x = Boundary(network()), gaussian(6, 12)
    y, (search, budget) = boundary.predict(x), SEARCHES[name]
    targets = (y + 1) % 3
    sought = search(boundary, x, y, "l2", budget, None, targets)
    there, nearest = sought.found, norm(closest(boundary, x, y, budget=100.0).points - x)
    assert int(there.sum()) >= 5
    assert bool((boundary.gap(sought.points, y, targets)[there] <= 0).all())
    assert bool((norm(sought.points - x) >= 0.999 * nearest)[there].all())


@every_search_and_norm
def test_every_point_is_verified_inside_the_box_and_paid_for(name: str, kind: str) -> None:
    boundary, x = Boundary(network(), Box(-2.5, 2.5)), gaussian(6, 12).clamp(-2.5, 2.5)
    y = boundary.predict(x)
    for budget in (5.0, 33.0):
        boundary.forwards = boundary.backwards = 0
        answer = SEARCHES[name][0](boundary, x, y, kind, budget)
        assert float(answer.passes.sum()) == pytest.approx(0.4 * boundary.forwards + 0.6 * boundary.backwards)
        assert float(answer.passes.max()) <= budget + 1e-9
        assert bool((boundary.gap(answer.points, y)[answer.found] <= 0).all())
        assert bool((answer.points.abs() <= 2.5).all())
        assert torch.equal(answer.points[~answer.found], x[~answer.found])
        assert bool(((answer.status == NO_CROSSING) == ~answer.found).all())
        assert set(answer.status[answer.found].tolist()) <= {CONVERGED, BUDGET}


@every_search
def test_batch_mates_order_and_score_scale_do_not_matter(name: str) -> None:
    net, x = network(), gaussian(4, 12)
    whole = margins(name, Boundary(net), x)
    order = torch.tensor([2, 0, 3, 1])
    for found, expected in (
        (margins(name, Boundary(net), x[order]), whole[order]),
        (margins(name, Boundary(net), x[3:4]), whole[3:4]),
        (margins(name, Boundary(lambda z: 2.0**9 * net(z)), x), whole),
    ):
        torch.testing.assert_close(found, expected, rtol=ROUNDING[name], atol=0)


@every_search
def test_rotating_input_and_classifier_together_changes_no_l2_margin(name: str) -> None:
    net, x = network(), gaussian(4, 12)
    rotation = torch.linalg.qr(gaussian(12, 12, seed=9)).Q
    turned = margins(name, Boundary(lambda z: net(z @ rotation)), x @ rotation.T)
    torch.testing.assert_close(turned, margins(name, Boundary(net), x), rtol=ROUNDING[name], atol=0)


@pytest.mark.parametrize("off", [False, True])
@every_search
def test_a_restricted_search_stays_in_its_subspace(name: str, off: bool) -> None:
    normal, x = gaussian(12, seed=1), gaussian(6, 12)
    boundary, basis = half_space(normal, 0.3, Box(-0.1, 0.1)), RandomSubspace(4, 0, 0).columns(12).to(x)
    y, (search, budget) = boundary.predict(x), SEARCHES[name]
    answer = search(boundary, x, y, "l2", budget, Restriction(basis, off))
    step = answer.points - x
    along = project(basis, step)
    allowed = project(basis, normal[None])
    exact = (x @ normal - 0.3).abs() / (normal - allowed if off else allowed).norm()
    assert bool(answer.found.all())
    assert float((along if off else step - along).abs().max()) < 1e-9
    # Before the landing: FAB aims 5 % beyond the plane, and comes back.
    assert bool((norm(step) <= 1.03 * exact).all() and (norm(step) >= exact * (1 - 1e-9)).all())


@every_search
def test_without_a_boundary_nothing_is_found_and_a_misclassified_sample_is_its_own_nearest_point(name: str) -> None:
    search, budget = SEARCHES[name]
    nowhere = search(half_space(torch.zeros(2), -1.0), gaussian(3, 2), torch.tensor([1, 1, 1]), "l2", budget)
    assert nowhere.status.tolist() == [NO_CROSSING] * 3
    x = torch.tensor([[2.0, 1.0]])
    wrong = search(half_space(torch.tensor([1.0, 0.0])), x, torch.tensor([0]), "l2", budget)
    assert wrong.points.tolist() == [[2.0, 1.0]]
    assert wrong.status.tolist() == [CONVERGED]


@pytest.mark.parametrize("kind", ["l1", "l2", "linf"])
def test_pgd_within_a_radius_finds_what_lies_within_and_nothing_else(kind: str) -> None:
    normal, x = gaussian(12, seed=1), gaussian(40, 12)
    boundary = half_space(normal, 0.3)
    exact = (x @ normal - 0.3).abs() / dual_norm(normal, kind)
    radius = float(exact.median())
    found = Margin(norm=kind, method="pgd", budget=40.0, radius=radius)(boundary, x, boundary.predict(x))  # type: ignore[arg-type]
    within = exact < radius * (1 - 1e-9)
    assert torch.equal(found.columns["margin_found"][exact != radius], within[exact != radius])
    torch.testing.assert_close(found.columns["margin"][within], exact[within], rtol=1e-6, atol=0)
    assert set(found.columns["margin"][exact > radius].tolist()) == {math.inf}


def test_the_weight_of_the_distance_is_the_largest_that_succeeds() -> None:
    """With the smallest weight that succeeds, the minimiser lies far beyond the boundary; the paper prints smallest."""
    boundary, x = half_space(torch.tensor([1.0, 0.0])), torch.tensor([[-1.0, 0.0]])
    answer = lbfgs(boundary, x, torch.tensor([0]), "l2", 300.0)
    assert answer.status.tolist() == [CONVERGED]
    assert 1.0 <= float(norm(answer.points - x)) < 1.02


def test_searches_refuse_what_they_cannot_do() -> None:
    x, y, basis = gaussian(2, 12), torch.tensor([0, 0]), RandomSubspace(4, 0, 0).columns(12)
    boundary = half_space(gaussian(12, seed=1), 9.0)
    with pytest.raises(DimpleError, match="lbfgs minimises the l2 distance, and norm is linf; choose norm: l2"):
        Margin(norm="linf", method="lbfgs")(boundary, x, y)
    with pytest.raises(DimpleError, match=r"pgd along a subspace .* norm is linf; choose norm: l2"):
        pgd(boundary, x, y, "linf", 20.0, Restriction(basis))
    with pytest.raises(DimpleError, match=r"fab along a subspace .* norm is l1; choose norm: l2"):
        fab(boundary, x, y, "l1", 20.0, Restriction(basis))
