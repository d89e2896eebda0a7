"""Laws of every search: its bound of passes, what moves with the problem, and scores that are no numbers."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from dimple.attacks.search import DECISIONS_ONLY, NO_CROSSING, NO_SCORES, SearchProblem
from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary import Boundary
from dimple.networks import MLP
from dimple.probes import Margin, OnOff
from dimple.probes.margin import METHODS
from dimple.protocols import Classifier
from dimple.tangents import RandomSubspace
from dimple.tensors import Box, generator
from tests.oracles import ball, half_space

pytestmark = pytest.mark.usefixtures("double")
METHODS_AND_NORMS = [
    (method, norm) for method in sorted(METHODS) for norm in ("l1", "l2", "linf") if method != "lbfgs" or norm == "l2"
]
each_method = pytest.mark.parametrize("method", sorted(METHODS))
# Decisions at random points give no number that holds to rounding.
GRADIENT_METHODS = [method for method in sorted(METHODS) if method != "bisection"]
each_gradient_method = pytest.mark.parametrize("method", GRADIENT_METHODS)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed, "gaussian"))


def make_network(n: int) -> nn.Module:
    network = MLP(widths=(24, 24), first_layer_weight_scale=2.0).build(n, generator(3, "network"))
    return network.double().requires_grad_(False)


class CountBackwards(torch.autograd.Function):
    """Identity that counts the backward passes."""

    @staticmethod
    def forward(ctx: "torch.autograd.function.FunctionCtx", x: Tensor, counter: "PassCounter") -> Tensor:  # type: ignore[override]
        ctx.counter = counter  # type: ignore[attr-defined]
        return x.view_as(x)

    @staticmethod
    def backward(ctx: "torch.autograd.function.FunctionCtx", gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        ctx.counter.passes += 0.6 * len(gradient)  # type: ignore[attr-defined]
        return gradient, None


class PassCounter:
    """A classifier that counts its own passes."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.passes = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        self.passes += 0.4 * len(x)
        return self.classifier(CountBackwards.apply(x, self))


@pytest.mark.parametrize("n", [2, 12])
@pytest.mark.parametrize(("method", "norm"), METHODS_AND_NORMS)
def test_no_sample_costs_more_than_its_passes(method: str, norm: str, n: int) -> None:
    x = 2 * gaussian(2, n)
    constraints = [None, SubspaceConstraint(torch.eye(n)[:, : max(1, n // 2)])] if norm == "l2" else [None]
    restarts = [None, 1, 4] if method == "closest" else [None]
    for max_passes, bounds, constraint, count in itertools.product(
        (0.5, 1.9, 3.0, 5.0, 15.0, 40.0, 173.0), (None, Box(-20.0, 20.0)), constraints, restarts
    ):
        margin = Margin(norm=norm, method=method, max_passes=max_passes, restarts=count)  # type: ignore[arg-type]
        for sample in x.split(1):
            counter = PassCounter(make_network(n))
            boundary = Boundary(counter, bounds)
            predicted = boundary.predict(sample)
            counter.passes = 0.0
            found = margin.search(boundary, sample, predicted, constraint)
            assert counter.passes <= max_passes + 1e-6
            assert float(found.passes) == pytest.approx(counter.passes)
            if not bool(found.found):
                assert float(found.distance) == torch.inf and int(found.status) == NO_CROSSING


@each_method
def test_the_passes_of_a_probe_are_those_of_its_samples(method: str) -> None:
    counter = PassCounter(make_network(12))
    boundary = Boundary(counter)
    x = gaussian(8, 12)
    boundary.class_count(x)
    for max_passes in (1.0, 40.0):
        counter.passes = 0.0
        columns = Margin(method=method, max_passes=max_passes)(boundary, x, torch.zeros(8, dtype=torch.long)).columns  # type: ignore[arg-type]
        assert float(columns["margin_passes"].sum()) == pytest.approx(counter.passes)
        assert float(columns["margin_passes"].max()) <= max(max_passes, 1.4) + 1e-6
        assert bool(columns["margin_found"].any()) == (max_passes > 1.0)


def test_the_cost_of_a_probe_is_that_of_all_its_searches() -> None:
    """Three searches, and two in each of the random subspaces; besides them the prediction and a gradient."""
    counter = PassCounter(make_network(12))
    boundary = Boundary(counter)
    probe = OnOff(null_draws=3, max_passes=20.0)
    probe(boundary, gaussian(5, 12), torch.zeros(5, dtype=torch.long), RandomSubspace(4, 0, 0))
    assert counter.passes == pytest.approx(0.4 * boundary.forwards + 0.6 * boundary.backwards)
    assert counter.passes / 5 <= (3 + 2 * 3) * 20.0 + 1.4 + 1e-6


@each_gradient_method
@pytest.mark.parametrize("shift", [0.1, 1.0, 1e6])
def test_the_answer_moves_with_the_problem(method: str, shift: float) -> None:
    """At kinks of a network, rounding decides whether a radius of PGD or a step of FAB succeeds; a ball has none."""
    network = make_network(3) if method in ("closest", "deepfool") else ball(2.0).model
    x = gaussian(10, 3)
    margin = Margin(method=method, max_passes=60.0)  # type: ignore[arg-type]
    plain = margin(Boundary(network), x, torch.zeros(10, dtype=torch.long))
    moved = margin(Boundary(lambda z: network(z - shift)), x + shift, torch.zeros(10, dtype=torch.long))
    torch.testing.assert_close(moved.columns["margin"], plain.columns["margin"], rtol=1e-6, atol=1e-6)


@each_gradient_method
@pytest.mark.parametrize("scale", [1e-3, 0.1, 1e3])
def test_the_answer_scales_with_the_problem(method: str, scale: float) -> None:
    network = make_network(3) if method in ("closest", "deepfool", "pgd") else ball(2.0).model
    x = gaussian(10, 3)
    margin = Margin(method=method, max_passes=60.0)  # type: ignore[arg-type]
    plain = margin(Boundary(network), x, torch.zeros(10, dtype=torch.long)).columns["margin"]
    scaled = margin(Boundary(lambda z: network(z / scale)), scale * x, torch.zeros(10, dtype=torch.long)).columns[
        "margin"
    ]
    torch.testing.assert_close(scaled / scale, plain, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-10, 1.0, 1e10])
@each_method
def test_in_single_precision_a_half_space_of_any_scale_has_its_distance(method: str, scale: float) -> None:
    normal = torch.tensor([0.6, 0.8], dtype=torch.float32)
    x = scale * torch.tensor([[0.5, 0.25], [-0.75, 1.5], [0.25, -1.0]], dtype=torch.float32)
    level = x @ normal / scale
    boundary = Boundary(lambda z: torch.stack([-(z @ normal), z @ normal], 1) / scale)
    found = Margin(method=method, max_passes=400.0)(boundary, x, (level > 0).long()).columns["margin"]  # type: ignore[arg-type]
    torch.testing.assert_close(found / scale, level.abs(), rtol=0.02, atol=0)


@pytest.mark.parametrize(("method", "norm"), METHODS_AND_NORMS)
@pytest.mark.parametrize("bounds", [None, Box(-4.0, 4.0)])
def test_scores_whose_squares_overflow_or_vanish_give_the_same_points(
    method: str, norm: str, bounds: Box | None
) -> None:
    network = make_network(6).float()
    x = gaussian(8, 6).float()
    margin = Margin(method=method, norm=norm)  # type: ignore[arg-type]
    plain = margin(Boundary(network, bounds), x, torch.zeros(8, dtype=torch.long))
    for power in (-80, -66, 66, 100):
        boundary = Boundary(lambda z, factor=2.0**power: factor * network(z), bounds)
        scaled = margin(boundary, x, torch.zeros(8, dtype=torch.long))
        assert torch.equal(scaled.details["boundary_point"], plain.details["boundary_point"])
        angles = [found.columns["stationarity_angle"].nan_to_num(nan=-1.0) for found in (scaled, plain)]
        assert torch.equal(*angles)


def make_switched_off_unit(shift: float, scale: float) -> Classifier:
    """Return a classifier whose one unit is off at the sample `(shift, shift)`; its boundary is .75 / root 2 away."""

    def scores(z: Tensor) -> Tensor:
        unit = torch.relu(((z - shift) / scale).sum(1) - 0.5)
        return torch.stack([torch.full_like(unit, 0.25), unit], 1)

    return scores


@pytest.mark.parametrize("bounds", [None, Box(-3.0, 3.0)])
@pytest.mark.parametrize("shift", [0.0, 1e-3, 0.1, 1.0, 1e6])
def test_where_the_gradient_is_zero_the_distance_does_not_depend_on_the_origin(
    shift: float, bounds: Box | None
) -> None:
    if bounds is not None:
        bounds = Box(bounds.low + shift, bounds.high + shift)
    boundary = Boundary(make_switched_off_unit(shift, 1.0), bounds)
    for norm, exact in (("l2", 0.75 / 2**0.5), ("linf", 0.375)):
        found = Margin(norm=norm)(boundary, torch.full((1, 2), shift), torch.tensor([0])).columns  # type: ignore[arg-type]
        assert float(found["margin"]) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_where_the_gradient_is_zero_the_distance_scales_with_the_problem(scale: float) -> None:
    boundary = Boundary(make_switched_off_unit(0.0, scale))
    found = Margin()(boundary, torch.zeros(1, 2), torch.tensor([0])).columns
    assert float(found["margin"]) == pytest.approx(scale * 0.75 / 2**0.5, rel=1e-5)


@pytest.mark.parametrize("single_logit", [False, True])
def test_no_crossing_is_lost_where_the_scores_vanish_to_rounding(single_logit: bool) -> None:
    for seed in range(40):
        x = torch.rand(6, 16, generator=generator(seed, "samples"), dtype=torch.float32)
        normal = gaussian(16, seed=seed).float()
        normal /= normal.norm()
        level = float((x @ normal).mean())

        def scores(z: Tensor, normal: Tensor = normal, level: float = level) -> Tensor:
            height = z @ normal - level
            return torch.stack([torch.zeros_like(height) if single_logit else -height, height], 1)

        boundary = Boundary(scores)
        y = boundary.predict(x)
        found = Margin()(boundary, x, y)
        exact = (x.double() @ normal.double() - level).abs()
        torch.testing.assert_close(found.columns["margin"].double(), exact, rtol=2e-4, atol=1e-6)
        assert bool((boundary.predict(found.details["boundary_point"]) != y).all())


@each_method
@pytest.mark.parametrize("rounding", [1e-7, 1e-6, 1e-3])
def test_no_crossing_is_lost_where_rounding_depends_on_the_batch(method: str, rounding: float) -> None:
    """A crossing that was reached in one batch and lies on the near side in another one by rounding is a crossing."""
    x = torch.rand(6, 16, generator=generator(0, "samples"), dtype=torch.float32)
    normal = nn.functional.normalize(gaussian(16), dim=0).float()
    level = float((x @ normal).mean())

    def scores(z: Tensor) -> Tensor:
        height = z @ normal - level
        height = height + rounding * (-1) ** len(z) * torch.sign(x[:1] @ normal - level) * (height.abs() < 1e-2)
        return torch.stack([torch.zeros_like(height), height], 1)

    boundary = Boundary(scores)
    y = boundary.predict(x)
    exact = (x @ normal - level).abs()
    for max_passes in (3.0, 4.0, 5.0, 10.0, 40.0, 100.0):
        found = Margin(method=method, max_passes=max_passes)(boundary, x, y).columns  # type: ignore[arg-type]
        assert torch.equal(found["margin_found"], torch.isfinite(found["margin_unrefined"]))
        if bool(found["margin_found"].all()) and method != "bisection":
            torch.testing.assert_close(found["margin"], exact, rtol=0.2, atol=2 * rounding)


@each_method
def test_a_sample_without_scores_is_marked_and_has_no_margin(method: str) -> None:
    def scores(z: Tensor) -> Tensor:
        return torch.stack([0.5 - z[:, 0], z[:, 0] - 0.5], 1) + torch.where(z[:, :1] > 0.7, torch.nan, 0.0)

    x = torch.tensor([[0.6, 0.5], [0.9, 0.5], [0.2, 0.5]])
    columns = Margin(method=method, max_passes=100.0)(Boundary(scores), x, torch.tensor([1, 1, 0])).columns  # type: ignore[arg-type]
    assert columns["margin_found"].tolist() == [True, False, True]
    assert bool(columns["margin"][1].isnan()) and int(columns["margin_status"][1]) == NO_SCORES
    torch.testing.assert_close(columns["margin"][[0, 2]], torch.tensor([0.1, 0.3]), rtol=2e-2, atol=0)


def test_classes_that_are_masked_out_are_left_out() -> None:
    normal = gaussian(4, seed=1)
    plain = half_space(normal, 0.3)
    masked = Boundary(lambda z: torch.cat([plain.model(z), torch.full((len(z), 2), -torch.inf)], 1))
    x = gaussian(8, 4)
    for method in sorted(METHODS):
        found = Margin(method=method, max_passes=100.0)(masked, x, masked.predict(x)).columns  # type: ignore[arg-type]
        rtol = 2e-2 if method == "bisection" else 1e-3
        torch.testing.assert_close(found["margin"], (x @ normal - 0.3).abs() / normal.norm(), rtol=rtol, atol=0)
        assert torch.equal(found["adversarial_class"], 1 - masked.predict(x))


@pytest.mark.parametrize("name", ["half precision", "log of probabilities"])
def test_where_only_the_sign_of_the_scores_is_known_the_crossing_is_bisected(name: str) -> None:
    normal = torch.full((16,), 0.25)

    def height(z: Tensor) -> Tensor:
        return torch.stack([2 - z @ normal.to(z), z @ normal.to(z) - 2], 1)

    def scores(z: Tensor) -> Tensor:
        return (1e6 * height(z)).half() if name == "half precision" else (1e4 * height(z)).softmax(1).log()

    x = (0.3 * torch.rand(6, 16, generator=generator(0, "samples")) + 0.42).float()
    boundary = Boundary(scores, Box())
    y = boundary.predict(x)
    found = Margin()(boundary, x, y)
    exact = (x @ normal.float() - 2).abs()
    torch.testing.assert_close(found.columns["margin"], exact, rtol=2e-2, atol=0)
    assert bool((boundary.predict(found.details["boundary_point"]) != y).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_along_a_tangent_plane_whose_gradient_vanishes_the_distance_is_exact(dtype: torch.dtype) -> None:
    """A ball of radius .4 around a sphere of radius .3: along the tangent plane it is left after root of .07."""
    directions = nn.functional.normalize(gaussian(12, 3, seed=4), dim=1)
    x = (0.3 * directions).to(dtype)
    planes = torch.linalg.svd(directions[:, :, None], full_matrices=True).U[:, :, 1:].to(dtype)
    boundary = Boundary(lambda z: torch.stack([z.square().sum(1), torch.full_like(z[:, 0], 0.16)], 1))
    for method in ("closest", "deepfool"):
        problem = SearchProblem(boundary, x, torch.ones(12, dtype=torch.long), constraint=SubspaceConstraint(planes))
        found = METHODS[method](problem, 40.0)
        step = found.points - problem.origin
        off_plane = (step * directions.to(dtype)).sum(1).abs()
        assert float(off_plane.max()) < 1e-6
        if method == "closest":
            torch.testing.assert_close(found.distance, torch.full_like(found.distance, 0.07**0.5), rtol=1e-5, atol=0)


def test_no_restricted_margin_is_below_the_free_one() -> None:
    boundary = Boundary(make_network(6))
    x = gaussian(40, 6)
    y = boundary.predict(x)
    measured = OnOff(null_draws=5, max_passes=6.0)(boundary, x, y, RandomSubspace(3, 0, 0))
    free = measured.columns["margin_unbounded"]
    for values in (measured.columns["margin_on"], measured.columns["margin_off"]):
        assert bool((free <= values).all())
    for draws in (measured.details["margin_on_draws"], measured.details["margin_off_draws"]):
        assert bool((free[:, None] <= draws).all())
    step = measured.details["on_part"] + measured.details["off_part"]
    is_found = torch.isfinite(free)
    torch.testing.assert_close(step.norm(dim=1)[is_found], free[is_found])
    assert bool((boundary.predict(x + step) != y)[is_found].all())


HARD_CASES = [(2, 40.0, 1.05), (2, 400.0, 1.01), (16, 200.0, 1.15), (16, 1000.0, 1.06), (64, 1000.0, 1.15)]


@pytest.mark.parametrize("bounds", [None, Box(0.0, 1.0)])
@pytest.mark.parametrize(("n", "max_passes", "bound"), HARD_CASES)
def test_decisions_alone_give_an_upper_bound_near_the_exact_distance(
    n: int, max_passes: float, bound: float, bounds: Box | None
) -> None:
    normal = nn.functional.normalize(gaussian(n), dim=0)
    x = torch.rand(20, n, generator=generator(0, "samples"))
    level = float((x @ normal).mean())

    def decide(z: Tensor) -> Tensor:
        return nn.functional.one_hot((z @ normal > level).long(), 2).to(z)

    counter = PassCounter(decide)
    boundary = Boundary(counter, bounds)
    y = boundary.predict(x)
    counter.passes = 0.0
    found = Margin(method="bisection", max_passes=max_passes)(boundary, x, y)
    ratio = found.columns["margin"] / (x @ normal - level).abs()
    assert bool(((ratio >= 1 - 1e-9) & (ratio <= bound)).all())
    assert bool((found.columns["margin_status"] == DECISIONS_ONLY).all())
    assert bool(found.columns["stationarity_angle"].isnan().all()) and boundary.backwards == 0
    assert float(found.columns["margin_passes"].sum()) == pytest.approx(counter.passes)
    assert float(found.columns["margin_passes"].max()) <= max_passes + 1e-6
    points = found.details["boundary_point"]
    assert bool((boundary.predict(points) != y).all())
    # Where another sample of the batch lies changes nothing.
    alone = Margin(method="bisection", max_passes=max_passes)(boundary, x[3:4], y[3:4]).columns["margin"]
    torch.testing.assert_close(alone, found.columns["margin"][3:4], rtol=bound - 1, atol=0)


@pytest.mark.parametrize("norm", ["l1", "linf"])
def test_decisions_alone_give_an_upper_bound_in_other_norms(norm: str) -> None:
    normal = torch.tensor([0.6, -0.8])
    x = torch.rand(20, 2, generator=generator(0, "samples"))
    boundary = Boundary(lambda z: torch.stack([0.1 - z @ normal, z @ normal - 0.1], 1).sign())
    found = Margin(method="bisection", norm=norm, max_passes=400.0)(boundary, x, boundary.predict(x))  # type: ignore[arg-type]
    ratio = found.columns["margin"] / ((x @ normal - 0.1).abs() / {"l1": 0.8, "linf": 1.4}[norm])
    assert bool(((ratio >= 1 - 1e-9) & (ratio <= 1.25)).all())


def test_every_point_changes_the_class_in_the_precision_of_the_classifier() -> None:
    network = make_network(8).float()
    x = gaussian(60, 8)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        classifier = network.to(dtype)
        boundary = Boundary(lambda z, f=classifier, d=dtype: f(z.to(d)).to(z.dtype))
        for method in sorted(METHODS):
            y = boundary.predict(x)
            result = Margin(method=method, max_passes=60.0)(boundary, x, y)  # type: ignore[arg-type]
            found = result.columns["margin_found"]
            assert float(found.double().mean()) > 0.8
            assert bool((boundary.predict(result.details["boundary_point"]) != y)[found].all())
