"""The closest boundary point against geometry that is known, and the laws that the search obeys."""

from pathlib import Path

import pytest
import torch
from scipy.optimize import linprog
from scipy.spatial import cKDTree
from torch import Tensor, nn

from dimple.attacks import closest
from dimple.attacks.projections import dual_norm, smallest_step
from dimple.attacks.search import CONVERGED, MAX_PASSES_REACHED, NO_CROSSING, SearchProblem, SearchState
from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary import Boundary
from dimple.data import load_images
from dimple.levelsets import Dense
from dimple.networks import MLP, load_model
from dimple.protocols import Classifier
from dimple.tangents import RandomSubspace
from dimple.tensors import Box, generator, project_onto_span
from tests.oracles import ball, half_space, wedge

pytestmark = pytest.mark.usefixtures("double")


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed, "gaussian"))


def closest_point(
    boundary: Boundary,
    x: Tensor,
    y: Tensor,
    kind: str = "l2",
    max_passes: float = 40.0,
    restarts: int | None = None,
    constraint: SubspaceConstraint | None = None,
) -> SearchState:
    return closest.closest_point(SearchProblem(boundary, x, y, kind, constraint), max_passes, restarts)


def make_network(n: int = 12) -> nn.Module:
    network = MLP(widths=(32, 32), first_layer_weight_scale=2.0).build(n, generator(3, "network"))
    return network.double().requires_grad_(False)


def train_on_spirals() -> tuple[nn.Module, Tensor]:
    """Return a network with a curved boundary in the plane, trained on two arms of a spiral, and its data."""
    t = torch.linspace(0.4, 1.6, 60)
    arm = torch.stack([t * torch.cos(4 * t), t * torch.sin(4 * t)], 1)
    x = torch.cat([arm, -arm])
    y = torch.arange(2).repeat_interleave(60)
    network = MLP(widths=(48, 48), first_layer_weight_scale=2.0).build(2, generator(0, "spirals")).double()
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(400):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()
    return network.requires_grad_(False), x


@pytest.mark.parametrize("kind", ["l2", "linf"])
def test_step_within_bounds_is_that_of_a_bisection_of_its_multiplier(kind: str) -> None:
    origin = torch.rand(40, 30, generator=generator(0, "origin"))
    gradient = gaussian(40, 30, seed=1)
    change = 2.5 * gaussian(40, seed=2)
    step = smallest_step(origin, gradient, change, kind, Box())
    assert bool(((origin + step >= -1e-12) & (origin + step <= 1 + 1e-12)).all())
    direction = gradient.sign() * change.sign()[:, None]
    rate = gradient.abs() if kind == "l2" else torch.ones_like(gradient)
    max_step = torch.where(direction > 0, 1 - origin, origin)
    low = torch.zeros(40)
    high = torch.full((40,), 1e4)
    for _ in range(200):
        middle = (low + high) / 2
        is_low = (gradient.abs() * torch.minimum(middle[:, None] * rate, max_step)).sum(1) < change.abs()
        low = torch.where(is_low, middle, low)
        high = torch.where(is_low, high, middle)
    expected = direction * torch.minimum(high[:, None] * rate, max_step)
    torch.testing.assert_close(step, expected, rtol=1e-8, atol=1e-8)


def test_l1_step_within_bounds_is_that_of_linear_programming() -> None:
    origin = torch.rand(20, 12, generator=generator(0, "origin"))
    gradient = gaussian(20, 12, seed=1)
    change = gaussian(20, seed=2)
    steps = smallest_step(origin, gradient, change, "l1", Box())
    for o, g, c, step in zip(origin, gradient, change, steps, strict=True):
        # The variables are the positive and the negative parts of the step.
        limits = [(0.0, float(1 - v)) for v in o] + [(0.0, float(v)) for v in o]
        best = linprog([1.0] * 24, A_eq=torch.cat([g, -g])[None].numpy(), b_eq=[float(c)], bounds=limits)
        assert best.success
        assert float(step.abs().sum()) == pytest.approx(best.fun, rel=1e-9)
        assert float(g @ step) == pytest.approx(float(c), rel=1e-9)
        assert bool(((o + step >= -1e-12) & (o + step <= 1 + 1e-12)).all())


@pytest.mark.parametrize("kind", ["l1", "l2", "linf"])
def test_half_space(kind: str) -> None:
    normal = gaussian(12, seed=1)
    x = gaussian(60, 12)
    boundary = half_space(normal, 0.3)
    found = closest_point(boundary, x, boundary.predict(x), kind)
    exact = (x @ normal - 0.3).abs() / dual_norm(normal, kind)
    torch.testing.assert_close(found.distance, exact, rtol=1e-9, atol=0)
    assert bool((found.status == CONVERGED).all())
    assert bool((boundary.logit_margin(found.points, boundary.predict(x)) <= 1e-12).all())


@pytest.mark.parametrize("kind", ["l2", "linf"])
def test_half_space_in_a_box(kind: str) -> None:
    """Class 1 is x1 + .2 x2 > 1.1 in the unit square; in l2 the second sample reaches the bound x1 = 1."""
    boundary = half_space(torch.tensor([1.0, 0.2]), 1.1, Box())
    x = torch.tensor([[0.5, 0.5], [0.2, 0.1]])
    y = torch.tensor([0, 0])
    found = closest_point(boundary, x, y, kind)
    exact = {"l2": [0.5 / 1.04**0.5, 0.8**0.5], "linf": [0.5 / 1.2, 0.88 / 1.2]}[kind]
    assert found.distance.tolist() == pytest.approx(exact, rel=2e-3)
    assert float(boundary.logit_margin(found.points, y).abs().max()) < 1e-9


@pytest.mark.parametrize("restarts", [1, None])
def test_ball_from_inside_and_outside(restarts: int | None) -> None:
    x = gaussian(60, 5)
    boundary = ball(2.0)
    found = closest_point(boundary, x, boundary.predict(x), restarts=restarts)
    torch.testing.assert_close(found.distance, (2 - x.norm(dim=1)).abs(), rtol=1e-4, atol=1e-6)


def test_nearer_of_two_classes_is_found_though_the_other_scores_higher() -> None:
    x = torch.zeros(1, 2)
    found = closest_point(wedge(near=0.5, far=2.0), x, torch.tensor([0]), restarts=1)
    assert float(found.distance) == pytest.approx(0.5, rel=1e-9)


def test_distances_in_the_plane_are_exact_to_one_percent() -> None:
    network, points = train_on_spirals()
    x = points + 0.05 * gaussian(*points.shape)
    boundary = Boundary(network)
    boundary_of_floats = Boundary(lambda z: network(z.double()))
    mesh = Dense(resolution=1000).extract(boundary_of_floats, 1, (-3.0, -3.0), (3.0, 3.0), torch.device("cpu"))
    exact = torch.tensor(cKDTree(mesh.vertices).query(x.numpy())[0])
    found = closest_point(boundary, x, boundary.predict(x), max_passes=400.0).distance
    # The mesh itself is exact only to a fraction of its cell size, .006.
    assert ((found <= 1.01 * exact + 1e-4).double().mean()) >= 0.99
    assert bool((found >= exact - 5e-3).all())


@pytest.mark.parametrize("kind", ["l2", "linf"])
def test_every_point_is_verified_and_counted(kind: str) -> None:
    x = gaussian(50, 12)
    boundary = Boundary(make_network(), Box(-4.0, 4.0))
    y = boundary.predict(x)
    boundary.forwards = boundary.backwards = 0
    result = closest_point(boundary, x, y, kind, max_passes=15.0, restarts=3)
    assert float(result.passes.sum()) == pytest.approx(0.4 * boundary.forwards + 0.6 * boundary.backwards)
    assert float(result.passes.mean()) <= 3 * 15
    assert bool(result.found.any())
    assert bool((boundary.logit_margin(result.points, y)[result.found] <= 1e-12).all())
    assert bool((result.status[~result.found] == NO_CROSSING).all())
    assert set(result.status[result.found].tolist()) <= {CONVERGED, MAX_PASSES_REACHED}


def test_without_boundary_nothing_is_found_and_a_misclassified_sample_is_its_own_closest_point() -> None:
    nothing = closest_point(half_space(torch.zeros(2), -1.0), gaussian(3, 2), torch.tensor([1, 1, 1]))
    assert not nothing.found.any()
    assert nothing.status.tolist() == [NO_CROSSING] * 3
    boundary = half_space(torch.tensor([1.0, 0.0]), 0.0)
    misclassified = closest_point(boundary, torch.tensor([[2.0, 1.0]]), torch.tensor([0]))
    assert misclassified.found.tolist() == [True]
    assert misclassified.points.tolist() == [[2.0, 1.0]]


@pytest.mark.parametrize("kind", ["l2", "linf"])
def test_batch_order_and_score_scale_do_not_matter(kind: str) -> None:
    network = make_network()
    x = gaussian(24, 12)
    y = network(x).argmax(1)

    def find(classifier: Classifier, rows: Tensor) -> Tensor:
        return closest_point(Boundary(classifier), x[rows], y[rows], kind).distance

    all_rows = torch.arange(24)
    expected = find(network, all_rows)
    order = torch.randperm(24, generator=generator(0, "order"))
    torch.testing.assert_close(find(network, order), expected[order])
    torch.testing.assert_close(find(network, all_rows[5:6]), expected[5:6])
    for scale in (2.0**-13, 2.0**13):
        torch.testing.assert_close(find(lambda z, scale=scale: scale * network(z), all_rows), expected)


def test_rotating_and_scaling_input_and_classifier_together_scales_the_distance() -> None:
    network = make_network()
    x = gaussian(24, 12)
    y = network(x).argmax(1)
    rotation = torch.linalg.qr(gaussian(12, 12, seed=9)).Q
    transformed_x = 3 * x @ rotation.T
    result = closest_point(Boundary(network), x, y, restarts=1)
    transformed = closest_point(Boundary(lambda z: network(z @ rotation / 3)), transformed_x, y, restarts=1)
    torch.testing.assert_close(transformed.distance, 3 * result.distance, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("orthogonal", [False, True])
def test_constrained_search_stays_in_its_subspace_and_is_never_nearer(orthogonal: bool) -> None:
    x = gaussian(24, 12)
    boundary = Boundary(make_network())
    basis = RandomSubspace(4, 0, 0).basis(12).to(x)
    y = boundary.predict(x)
    result = closest_point(boundary, x, y, constraint=SubspaceConstraint(basis, orthogonal))
    assert bool(result.found.any())
    step = (result.points - x)[result.found]
    along = project_onto_span(basis, step)
    assert float((along if orthogonal else step - along).abs().max()) < 1e-9
    free = closest_point(boundary, x, y, max_passes=300.0)
    assert bool((result.distance >= free.distance * 0.99).all())


def test_more_passes_and_restarts_reduce_the_distance() -> None:
    x = gaussian(60, 12)
    boundary = Boundary(make_network())
    y = boundary.predict(x)
    medians = [
        float(closest_point(boundary, x, y, max_passes=max_passes, restarts=1).distance.median())
        for max_passes in (5.0, 15.0, 40.0)
    ]
    assert medians[0] >= medians[1] >= medians[2]
    one, five = (closest_point(boundary, x, y, max_passes=max_passes).distance for max_passes in (40.0, 200.0))
    assert bool((five <= one * (1 + 1e-9)).all())


@pytest.mark.parametrize("kind", ["l1", "l2", "linf"])
def test_passes_beyond_forty_never_increase_a_distance(kind: str) -> None:
    x = gaussian(40, 12)
    boundary = Boundary(make_network(), Box(-4.0, 4.0))
    y = boundary.predict(x)
    forty, more = (
        closest_point(boundary, x, y, kind, max_passes=max_passes, restarts=1).distance for max_passes in (40.0, 120.0)
    )
    assert bool((more <= forty * (1 + 1e-9)).all())


def test_boundary_that_the_gradient_hides_is_found_by_restarts_and_flagged() -> None:
    """The score falls towards a boundary at distance 6; the near boundary, x2 = .3, is a step with zero gradient."""

    def scores(x: Tensor) -> Tensor:
        level = torch.minimum(1 - 0.2 * x[:, 0], torch.where(x[:, 1] > 0.3, -1.0, 1.0))
        return torch.stack([level, -level], dim=1)

    x = torch.tensor([[-1.0, 0.0]])
    hidden = closest_point(Boundary(scores), x, torch.tensor([0]), restarts=9)
    assert bool((hidden.restart_ratio < 0.9).all())
    assert float(hidden.distance) < 3.0
    samples = gaussian(20, 2)
    boundary = half_space(gaussian(2, seed=1), 0.3)
    visible = closest_point(boundary, samples, boundary.predict(samples), restarts=9)
    assert not bool((visible.restart_ratio < 0.9).any())


@pytest.mark.parametrize("kind", ["l1", "l2", "linf"])
@pytest.mark.parametrize("max_passes", [5.0, 8.0, 15.0, 40.0])
def test_no_sample_exceeds_max_passes(kind: str, max_passes: float) -> None:
    """Far samples are included, which find no crossing at first and need many forwards for the refinement."""
    x = 3 * gaussian(64, 12, seed=5)
    boundary = Boundary(make_network())
    result = closest_point(boundary, x, boundary.predict(x), kind, max_passes=max_passes, restarts=1)
    assert float(result.passes.max()) <= max_passes + 1e-3
    spent = 0.4 * boundary.forwards + 0.6 * boundary.backwards - 0.4 * len(x)
    assert spent / len(x) == pytest.approx(float(result.passes.mean()), rel=1e-6)


@pytest.mark.parametrize("kind", ["l2", "linf"])
def test_six_passes_are_enough_to_cross_the_boundary_of_a_robust_network(shared_data: Path, kind: str) -> None:
    images = load_images(f"mnist:{shared_data}/mnist", "test")
    network = load_model("mnist_convnet", shared_data / "checkpoints" / "mnist_pgd.pth").double()
    x, y = images.batch(torch.randperm(len(images), generator=generator(0, "benchmark"))[:128])
    boundary = Boundary(network, images.bounds)
    result = closest_point(boundary, x.double(), y, kind, max_passes=6.0)
    assert float(result.passes.max()) <= 6 + 1e-3
    assert bool(result.found.all() and (boundary.logit_margin(result.points.reshape(x.shape), y) <= 0).all())


def test_descent_within_bounds_passes_the_thresholds_of_a_robust_network(shared_data: Path) -> None:
    """With l2 steps alone the mean is 1.54; adv-lib's FAB finds 1.99 with 100 passes, on 128 such images."""
    images = load_images(f"mnist:{shared_data}/mnist", "test")
    network = load_model("mnist_convnet", shared_data / "checkpoints" / "mnist_pgd.pth").double()
    x, y = images.batch(torch.randperm(len(images), generator=generator(0, "benchmark"))[:48])
    found = closest_point(Boundary(network, images.bounds), x.double(), y, max_passes=25.0).distance
    assert float(found.mean()) < 1.45


@pytest.mark.parametrize("n", [2, 10, 100])
def test_ten_passes_find_the_nearest_of_four_linear_classes(n: int) -> None:
    stream = generator(0, "linear", n)
    x, weight, bias = (torch.randn(*shape, generator=stream, dtype=torch.float64) for shape in ((64, n), (4, n), (4,)))
    scores = x @ weight.T + bias
    y = scores.argmax(1)
    distances = (scores.gather(1, y[:, None]) - scores) / (weight[y][:, None] - weight).norm(dim=2)
    exact = distances.nan_to_num(nan=torch.inf).amin(1)
    found = closest_point(Boundary(lambda z: z @ weight.T + bias), x, y, "l2", max_passes=8.2)
    torch.testing.assert_close(found.distance, exact, rtol=2e-3, atol=0)
