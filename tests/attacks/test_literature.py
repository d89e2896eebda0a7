"""The attacks of the literature against boundaries of known distance, and the interface that every attack obeys."""

import math

import pytest
import torch
from torch import Tensor, nn

from dimple.attacks.closest import closest_point
from dimple.attacks.fab import fab
from dimple.attacks.lbfgs import lbfgs
from dimple.attacks.pgd import pgd
from dimple.attacks.projections import dual_norm
from dimple.attacks.search import CONVERGED, MAX_PASSES_REACHED, NO_CROSSING, MinimumNormAttack, SearchProblem
from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary import Boundary
from dimple.errors import DimpleError
from dimple.networks import MLP
from dimple.probes import Margin
from dimple.tangents import RandomSubspace
from dimple.tensors import Box, generator, norm, project_onto_span
from tests.oracles import ball, half_space, wedge

pytestmark = pytest.mark.usefixtures("double")
# Each attack with the passes that it needs.
ATTACKS: dict[str, tuple[MinimumNormAttack, float]] = {
    "fab": (fab, 60.0),
    "lbfgs": (lbfgs, 120.0),
    "pgd": (pgd, 120.0),
}
# Rounding decides whether a radius or a weight at the limit succeeds; the bisection of PGD ends within a hundredth.
INVARIANCE_TOLERANCE = {"fab": 1e-6, "lbfgs": 5e-2, "pgd": 1e-6}
ATTACKS_AND_NORMS = [(name, kind) for name in ("fab", "pgd") for kind in ("l1", "l2", "linf")] + [("lbfgs", "l2")]
each_attack = pytest.mark.parametrize("name", sorted(ATTACKS))
each_attack_and_norm = pytest.mark.parametrize(("name", "kind"), ATTACKS_AND_NORMS)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed, "gaussian"))


def make_network() -> nn.Module:
    """Return a network with three classes in 12 dimensions."""
    mlp = MLP(widths=(24, 24), first_layer_weight_scale=2.0).build(12, generator(3, "network")).double()
    mlp.requires_grad_(False)
    third = gaussian(12, seed=8)
    return lambda x: torch.cat([mlp(x), 0.3 * (x @ third)[:, None] - 0.3], dim=1)  # type: ignore[return-value]


def measure_margins(name: str, boundary: Boundary, x: Tensor, kind: str = "l2") -> Tensor:
    margin = Margin(norm=kind, method=name, max_passes=ATTACKS[name][1])  # type: ignore[arg-type]
    return margin(boundary, x, boundary.predict(x)).columns["margin"]


@each_attack_and_norm
def test_half_space(name: str, kind: str) -> None:
    normal = gaussian(12, seed=1)
    x = gaussian(8, 12)
    boundary = half_space(normal, 0.3)
    exact = (x @ normal - 0.3).abs() / dual_norm(normal, kind)
    tolerance = 1e-3 if name == "lbfgs" else 1e-6
    torch.testing.assert_close(measure_margins(name, boundary, x, kind), exact, rtol=tolerance, atol=0)


@each_attack_and_norm
def test_half_space_in_a_box(name: str, kind: str) -> None:
    """Class 1 is x1 + .2 x2 > 1.1 in the unit square; in l1 and l2 the second sample reaches the bound x1 = 1."""
    boundary = half_space(torch.tensor([1.0, 0.2]), 1.1, Box())
    exact = {"l1": [0.5, 1.2], "l2": [0.5 / 1.04**0.5, 0.8**0.5], "linf": [0.5 / 1.2, 0.88 / 1.2]}[kind]
    margins = measure_margins(name, boundary, torch.tensor([[0.5, 0.5], [0.2, 0.1]]), kind)
    assert margins.tolist() == pytest.approx(exact, rel=0.02)


@each_attack
def test_ball_from_inside_and_outside(name: str) -> None:
    x = gaussian(8, 5)
    exact = (2 - x.norm(dim=1)).abs()
    torch.testing.assert_close(measure_margins(name, ball(2.0), x), exact, rtol=1e-2, atol=1e-4)


@each_attack
def test_nearer_of_two_classes_is_found_though_the_other_scores_higher(name: str) -> None:
    margin = measure_margins(name, wedge(near=0.5, far=2.0), torch.zeros(1, 2))
    # The steps of PGD reduce the logit margin towards the class with the highest score, which is the farther one.
    exact = 2.0 if name == "pgd" else 0.5
    assert float(margin) == pytest.approx(exact, rel=2e-3)


@each_attack
def test_target_is_reached_and_not_nearer_than_the_closest_point_of_any_class(name: str) -> None:
    boundary = Boundary(make_network())
    x = gaussian(6, 12)
    y = boundary.predict(x)
    attack, max_passes = ATTACKS[name]
    targets = (y + 1) % 3
    result = attack(SearchProblem(boundary, x, y, targets=targets), max_passes)
    distance = result.distance[result.found]
    closest = closest_point(SearchProblem(boundary, x, y), 100.0).distance
    assert int(result.found.sum()) >= 5
    assert bool((boundary.logit_margin(result.points, y, targets)[result.found] <= 0).all())
    assert bool((distance >= 0.999 * closest[result.found]).all())


@each_attack_and_norm
def test_every_point_is_verified_within_bounds_and_counted(name: str, kind: str) -> None:
    boundary = Boundary(make_network(), Box(-2.5, 2.5))
    x = gaussian(6, 12).clamp(-2.5, 2.5)
    y = boundary.predict(x)
    for max_passes in (5.0, 33.0):
        boundary.forwards = boundary.backwards = 0
        result = ATTACKS[name][0](SearchProblem(boundary, x, y, kind), max_passes)
        assert float(result.passes.sum()) == pytest.approx(0.4 * boundary.forwards + 0.6 * boundary.backwards)
        assert float(result.passes.max()) <= max_passes + 1e-9
        assert bool((boundary.logit_margin(result.points, y)[result.found] <= 0).all())
        assert bool((result.points.abs() <= 2.5).all())
        assert torch.equal(result.points[~result.found], x[~result.found])
        assert bool(((result.status == NO_CROSSING) == ~result.found).all())
        assert set(result.status[result.found].tolist()) <= {CONVERGED, MAX_PASSES_REACHED}


@each_attack
def test_batch_order_and_score_scale_do_not_matter(name: str) -> None:
    network = make_network()
    x = gaussian(4, 12)
    expected = measure_margins(name, Boundary(network), x)
    order = torch.tensor([2, 0, 3, 1])
    tolerance = INVARIANCE_TOLERANCE[name]
    for margins, expected_rows in (
        (measure_margins(name, Boundary(network), x[order]), expected[order]),
        (measure_margins(name, Boundary(network), x[3:4]), expected[3:4]),
        (measure_margins(name, Boundary(lambda z: 2.0**9 * network(z)), x), expected),
    ):
        torch.testing.assert_close(margins, expected_rows, rtol=tolerance, atol=0)


@each_attack
def test_rotating_input_and_classifier_together_does_not_change_l2_margins(name: str) -> None:
    network = make_network()
    x = gaussian(4, 12)
    rotation = torch.linalg.qr(gaussian(12, 12, seed=9)).Q
    rotated = measure_margins(name, Boundary(lambda z: network(z @ rotation)), x @ rotation.T)
    expected = measure_margins(name, Boundary(network), x)
    torch.testing.assert_close(rotated, expected, rtol=INVARIANCE_TOLERANCE[name], atol=0)


@pytest.mark.parametrize("orthogonal", [False, True])
@each_attack
def test_constrained_search_stays_in_its_subspace(name: str, orthogonal: bool) -> None:
    normal = gaussian(12, seed=1)
    x = gaussian(6, 12)
    boundary = half_space(normal, 0.3, Box(-0.1, 0.1))
    basis = RandomSubspace(4, 0, 0).basis(12).to(x)
    y = boundary.predict(x)
    attack, max_passes = ATTACKS[name]
    result = attack(SearchProblem(boundary, x, y, constraint=SubspaceConstraint(basis, orthogonal)), max_passes)
    step = result.points - x
    along = project_onto_span(basis, step)
    projected_normal = project_onto_span(basis, normal[None])
    allowed_normal = normal - projected_normal if orthogonal else projected_normal
    exact = (x @ normal - 0.3).abs() / allowed_normal.norm()
    assert bool(result.found.all())
    assert float((along if orthogonal else step - along).abs().max()) < 1e-9
    # Before refinement: FAB aims 5 % beyond the plane and steps back.
    assert bool((norm(step) <= 1.03 * exact).all() and (norm(step) >= exact * (1 - 1e-9)).all())


@each_attack
def test_without_boundary_nothing_is_found_and_a_misclassified_sample_is_its_own_closest_point(name: str) -> None:
    attack, max_passes = ATTACKS[name]
    constant = half_space(torch.zeros(2), -1.0)
    nothing = attack(SearchProblem(constant, gaussian(3, 2), torch.tensor([1, 1, 1])), max_passes)
    assert nothing.status.tolist() == [NO_CROSSING] * 3
    x = torch.tensor([[2.0, 1.0]])
    misclassified = attack(SearchProblem(half_space(torch.tensor([1.0, 0.0])), x, torch.tensor([0])), max_passes)
    assert misclassified.points.tolist() == [[2.0, 1.0]]
    assert misclassified.status.tolist() == [CONVERGED]


@pytest.mark.parametrize("kind", ["l1", "l2", "linf"])
def test_pgd_with_a_radius_finds_all_points_inside_it_and_no_others(kind: str) -> None:
    normal = gaussian(12, seed=1)
    x = gaussian(40, 12)
    boundary = half_space(normal, 0.3)
    exact = (x @ normal - 0.3).abs() / dual_norm(normal, kind)
    radius = float(exact.median())
    margin = Margin(norm=kind, method="pgd", max_passes=40.0, radius=radius)  # type: ignore[arg-type]
    columns = margin(boundary, x, boundary.predict(x)).columns
    is_inside = exact < radius * (1 - 1e-9)
    assert torch.equal(columns["margin_found"][exact != radius], is_inside[exact != radius])
    torch.testing.assert_close(columns["margin"][is_inside], exact[is_inside], rtol=1e-6, atol=0)
    assert set(columns["margin"][exact > radius].tolist()) == {math.inf}


def test_weight_of_the_distance_is_the_largest_that_succeeds() -> None:
    """With the smallest weight that succeeds, which the paper prints, the minimum lies far beyond the boundary."""
    boundary = half_space(torch.tensor([1.0, 0.0]))
    x = torch.tensor([[-1.0, 0.0]])
    result = lbfgs(SearchProblem(boundary, x, torch.tensor([0])), 300.0)
    assert result.status.tolist() == [CONVERGED]
    assert 1.0 <= float(norm(result.points - x)) < 1.02


def test_attacks_refuse_norms_that_they_cannot_minimize() -> None:
    x = gaussian(2, 12)
    y = torch.tensor([0, 0])
    basis = RandomSubspace(4, 0, 0).basis(12)
    boundary = half_space(gaussian(12, seed=1), 9.0)
    with pytest.raises(DimpleError, match="lbfgs minimizes the l2 distance, and norm is linf; choose norm: l2"):
        Margin(norm="linf", method="lbfgs")(boundary, x, y)
    with pytest.raises(DimpleError, match=r"pgd along a subspace .* norm is linf; choose norm: l2"):
        pgd(SearchProblem(boundary, x, y, "linf", SubspaceConstraint(basis)), 20.0)
    with pytest.raises(DimpleError, match=r"fab along a subspace .* norm is l1; choose norm: l2"):
        fab(SearchProblem(boundary, x, y, "l1", SubspaceConstraint(basis)), 20.0)
