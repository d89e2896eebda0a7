"""Auto-PGD: exact on linear classifiers, within its ball and bounds, and as strong as the reference implementation."""

import functools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from dimple.attacks.apgd import apgd_ce, apgd_targeted
from dimple.attacks.search import SearchProblem, SearchState
from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary import Boundary
from dimple.errors import SceneError
from dimple.networks import MLP
from dimple.probes import Margin
from dimple.tensors import generator, norm

ATTACKS: list[Callable[..., SearchState]] = [apgd_ce, apgd_targeted]
every_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
every_norm = pytest.mark.parametrize("kind", ["l2", "linf"])


def linear_problem(kind: str, classes: int = 5, bounds: tuple[float, float] | None = None) -> SearchProblem:
    stream = generator(0, "linear", classes)
    weight = torch.randn(classes, 20, generator=stream)
    x = torch.rand(60, 20, generator=stream)
    boundary = Boundary(lambda z: (z - 0.5) @ weight.T.to(z), bounds)
    return SearchProblem(boundary, x, boundary.predict(x), kind)


def linear_margin(problem: SearchProblem) -> Tensor:
    """The distance from the nearest of the hyperplanes, by the dual norm of the differences of the weights."""
    _, _, margins, gradients = problem.class_margins_and_gradients(
        problem.all_rows, problem.origin, problem.boundary.class_count(problem.x) - 1
    )
    lengths = torch.linalg.vector_norm(gradients, ord=2 if problem.norm == "l2" else 1, dim=2)
    return (margins / lengths).amin(1)


@every_norm
@every_attack
@pytest.mark.parametrize("classes", [2, 3, 4, 10])
def test_on_linear_classifiers_exactly_the_samples_within_the_radius_are_found(
    attack: Callable[..., SearchState], kind: str, classes: int
) -> None:
    problem = linear_problem(kind, classes)
    margin = linear_margin(problem)
    radius = float(margin.median())
    found = attack(problem, radius).found
    decided = (margin / radius - 1).abs() > 1e-4
    # The cross-entropy may climb towards another class than the nearest one.
    if attack is apgd_targeted or classes == 2:
        assert torch.equal(found[decided], (margin < radius)[decided])
    assert not bool((found & (margin > radius * (1 + 1e-4))).any())
    assert found.sum() > 20


@every_norm
@every_attack
@pytest.mark.parametrize("radius", [1e-3, 0.05, 0.4, 3.0])
def test_points_are_adversarial_and_within_the_radius_and_the_bounds(
    attack: Callable[..., SearchState], kind: str, radius: float
) -> None:
    problem = linear_problem(kind, bounds=(0.0, 1.0))
    state = attack(problem, radius, steps=20)
    points = state.points[state.found]
    assert norm(points - problem.x[state.found], kind).max() <= radius if len(points) else radius == 1e-3
    assert points.min() >= 0 if len(points) else True
    assert points.max() <= 1 if len(points) else True
    assert torch.equal(problem.boundary.predict(points) == problem.y[state.found], torch.zeros(len(points)).bool())


@every_attack
def test_samples_do_not_depend_on_each_other(attack: Callable[..., SearchState]) -> None:
    problem = linear_problem("l2")
    radius = float(linear_margin(problem).median())
    full = attack(problem, radius)
    rows = torch.tensor([7, 3, 11])
    part = attack(problem.select(rows), radius)
    assert torch.equal(part.found, full.found[rows])
    torch.testing.assert_close(part.points, full.points[rows])


def test_a_sample_is_left_at_its_first_adversarial_point() -> None:
    problem = linear_problem("linf", classes=2)
    margin = linear_margin(problem)
    state = apgd_ce(problem, 10 * float(margin.max()))
    assert bool(state.found.all())
    assert state.passes.max() <= 10


def test_restarts_find_more() -> None:
    """On a random network with kinks the cross-entropy from one point misses what further starts find."""
    architecture = MLP(widths=(64, 64), first_layer_weight_scale=4.0, initial_logit_bias=0.0)
    network = architecture.build(8, generator(0, "network")).requires_grad_(False)
    x = torch.randn(200, 8, generator=generator(1, "x"))
    boundary = Boundary(network)
    problem = SearchProblem(boundary, x, boundary.predict(x), "linf")
    one, ten = (apgd_ce(problem, 1.2, steps=10, restarts=restarts).found for restarts in (1, 10))
    assert bool((ten | ~one).all())
    assert ten.sum() >= 1.1 * one.sum() > 0


def test_other_questions_are_refused() -> None:
    problem = linear_problem("l1")
    with pytest.raises(SceneError, match="norm is l1"):
        apgd_ce(problem, 0.1)
    l2 = linear_problem("l2")
    with pytest.raises(SceneError, match="with targets; choose the method closest"):
        apgd_targeted(SearchProblem(l2.boundary, l2.x, l2.y, targets=(l2.y + 1) % 5), 0.1)
    constraint = SubspaceConstraint(torch.eye(20)[:, :3].expand(60, -1, -1))
    with pytest.raises(SceneError, match="within a subspace"):
        apgd_ce(SearchProblem(l2.boundary, l2.x, l2.y, constraint=constraint), 0.1)


def rounded_up_checkpoints(steps: int) -> list[int]:
    """The steps of algorithm 1 after which the step size is judged, with 0 before them."""
    checkpoints, fraction, previous = [0], 0.22, 0.0
    while fraction <= 1:
        checkpoints.append(math.ceil(round(fraction * steps, 6)))
        fraction, previous = fraction + max(fraction - previous - 0.03, 0.06), fraction
    return checkpoints


def reference_run(
    scores: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, radius: float, kind: str, start: Tensor, steps: int = 100
) -> bool:
    """True if Auto-PGD on the cross-entropy breaks one sample; written line by line after algorithm 1 of the paper."""

    def project(z: Tensor) -> Tensor:
        delta = z - x
        inside = delta.clamp(-radius, radius) if kind == "linf" else delta * (radius / max(float(delta.norm()), radius))
        return (x + inside).clamp(0, 1)

    def loss_and_direction(z: Tensor) -> tuple[float, Tensor]:
        leaf = z.clone().requires_grad_()
        loss = nn.functional.cross_entropy(scores(leaf), y)
        (gradient,) = torch.autograd.grad(loss, leaf)
        return float(loss.detach()), gradient.sign() if kind == "linf" else gradient / gradient.norm().clamp(min=1e-12)

    checkpoints = rounded_up_checkpoints(steps)
    current = previous = best = project(x + start)
    loss, direction = loss_and_direction(current)
    best_loss, best_direction, losses = loss, direction, [loss]
    size = size_at_check = 2 * radius
    loss_at_check = best_loss
    is_broken = bool(scores(current).argmax(1) != y)
    for k in range(steps):
        ahead = project(current + size * direction)
        weight = 1.0 if k == 0 else 0.75
        moved = project(current + weight * (ahead - current) + (1 - weight) * (current - previous))
        current, previous = moved, current
        loss, direction = loss_and_direction(current)
        is_broken |= bool(scores(current).argmax(1) != y)
        losses.append(loss)
        if loss > best_loss:
            best, best_loss, best_direction = current, loss, direction
        if k + 1 in checkpoints:
            last = checkpoints[checkpoints.index(k + 1) - 1]
            rises = sum(losses[i + 1] > losses[i] for i in range(last, k + 1))
            is_stalled = last > 0 and size == size_at_check and best_loss == loss_at_check
            size_at_check, loss_at_check = size, best_loss
            if rises <= 0.75 * (k + 1 - last) or is_stalled:
                size, current, direction = size / 2, best, best_direction
    return is_broken


@every_norm
def test_as_strong_as_the_algorithm_of_the_paper_step_by_step(kind: str) -> None:
    network = MLP(widths=(64, 64), first_layer_weight_scale=3.0).build(8, generator(4, "network"))
    network.requires_grad_(False)
    x = torch.rand(60, 8, generator=generator(1, "x"))
    boundary = Boundary(network, (0, 1))
    y = boundary.predict(x)
    radius = float(Margin(norm=kind)(boundary, x, y).columns["margin"].median())  # type: ignore[arg-type]
    stream = generator(3, "start")
    draw = torch.randn(1, 8, generator=stream)
    start = radius * (draw / draw.norm() if kind == "l2" else draw.sign())
    rows = [slice(row, row + 1) for row in range(len(x))]
    expected = torch.tensor([reference_run(network, x[row], y[row], radius, kind, start) for row in rows])
    found = apgd_ce(SearchProblem(boundary, x, y, kind), radius).found
    # Another random start decides otherwise for a few samples next to the radius.
    assert 10 < expected.sum() < 50
    assert (expected != found).sum() <= 2


def test_half_of_the_steps_already_finds_most() -> None:
    problem = linear_problem("linf", classes=10)
    radius = float(linear_margin(problem).median())
    counts = [int(attack(problem, radius).found.sum()) for attack in (functools.partial(apgd_ce, steps=50), apgd_ce)]
    assert counts[0] >= counts[1] - 1
