"""Objectives, compared with closed forms on a linear network and with independent formulas."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from dimple.attacks.projections import smallest_step
from dimple.boundary.boundary import compute_logit_margin
from dimple.errors import SceneError
from dimple.networks import MLP
from dimple.tensors import Box, generator, norm, project_onto_span
from dimple.training.objectives import (
    OBJECTIVES,
    Adversarial,
    Batch,
    GradientPenalty,
    Lipschitz,
    Mart,
    Objective,
    Standard,
    Trades,
)

DUAL = {"l2": "l2", "linf": "l1"}


def make_batch(classes: int = 2, n: int = 5, with_basis: bool = False) -> Batch:
    stream = generator(0, "points")
    x = torch.randn(12, n, generator=stream, dtype=torch.float64)
    y = torch.randint(0, classes, (12,), generator=stream)
    basis = torch.linalg.qr(torch.randn(12, n, 2, generator=stream, dtype=torch.float64)).Q if with_basis else None
    return Batch(x, y, lambda: generator(0, "step"), basis)


def linear(classes: int = 2, n: int = 5) -> nn.Linear:
    layer = nn.Linear(n, classes).double()
    with torch.no_grad():
        layer.weight.copy_(torch.randn(classes, n, generator=generator(0, "weight"), dtype=torch.float64))
        layer.bias.copy_(torch.linspace(-0.2, 0.3, classes))
    return layer


def mlp(classes: int = 2) -> nn.Sequential:
    hidden = MLP(widths=(16,), activation="tanh").build(5, generator(0, "network"))[:2]
    return nn.Sequential(*hidden, linear(classes, 16)).double()


@pytest.mark.parametrize("loss", ["hinge", "logistic", "cross_entropy"])
@pytest.mark.parametrize("norm_kind", ["l2", "linf"])
@pytest.mark.parametrize(("steps", "random_start"), [(1, False), (40, True)])
def test_adversarial_training_of_a_linear_network_has_a_closed_form(
    loss: Any, norm_kind: Any, steps: int, random_start: bool
) -> None:
    """The largest loss in a ball is the loss at margin - eps times the dual norm of the weight."""
    network = linear()
    weight = (network.weight[0] - network.weight[1])[None]
    reach = 0.3 * norm(weight, DUAL[norm_kind])
    batch = make_batch()
    # The hinge loss has no gradient beyond a margin of 1; the ball of each point lies before it.
    before = compute_logit_margin(network(batch.x), batch.y) + reach < 1
    batch = dataclasses.replace(batch, x=batch.x[before], y=batch.y[before])
    margin = compute_logit_margin(network(batch.x), batch.y) - reach
    assert len(margin) > 3
    expected = functional.relu(1 - margin) if loss == "hinge" else functional.softplus(-margin)
    objective = Adversarial(
        norm=norm_kind, eps=0.3, steps=steps, step_size=0.3, random_start=random_start, loss_function=loss
    )
    torch.testing.assert_close(objective.loss(network, batch), expected.mean())


@pytest.mark.parametrize("norm_kind", ["l2", "linf"])
def test_one_step_equals_the_fast_gradient_method(norm_kind: Any) -> None:
    network = mlp(3)
    batch = make_batch(3)
    x = batch.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(functional.cross_entropy(network(x), batch.y), x)
    step = gradient.sign() if norm_kind == "linf" else gradient / gradient.norm(dim=1, keepdim=True)
    perturbed = Adversarial(norm=norm_kind, eps=0.2, steps=1, random_start=False).perturbed(network, batch)
    torch.testing.assert_close(perturbed, batch.x + 0.2 * step)


@pytest.mark.parametrize("steps", [1, 10])
@pytest.mark.parametrize("random_start", [False, True])
@pytest.mark.parametrize("restrict", ["none", "on", "off"])
@pytest.mark.parametrize("norm_kind", ["l2", "linf"])
def test_perturbations_stay_in_the_ball_and_in_the_subspace(
    norm_kind: Any, restrict: Any, random_start: bool, steps: int
) -> None:
    network = mlp()
    batch = make_batch(with_basis=True)
    assert batch.basis is not None
    objective = Adversarial(norm=norm_kind, eps=0.2, steps=steps, random_start=random_start, restrict=restrict)
    assert objective.needs_tangents == (restrict != "none")
    delta = objective.perturbed(network, batch) - batch.x
    assert float(norm(delta, norm_kind).max()) <= 0.2 + 1e-12
    along = project_onto_span(batch.basis, delta)
    if restrict == "on":
        torch.testing.assert_close(along, delta)
    if restrict == "off":
        torch.testing.assert_close(along, torch.zeros_like(along), atol=1e-12, rtol=0)
    with torch.no_grad():
        before = functional.cross_entropy(network(batch.x), batch.y)
        assert float(functional.cross_entropy(network(batch.x + delta), batch.y)) > float(before)


@pytest.mark.parametrize(
    "objective",
    [
        Adversarial(norm="l2", eps=0.5, steps=5),
        Adversarial(norm="linf", eps=0.5, steps=1),
        Adversarial(norm="linf", eps=0.5, steps=1, noise=2.0),
    ],
    ids=["pgd", "one step", "n-fgsm"],
)
def test_perturbed_samples_stay_in_the_bounds(objective: Adversarial) -> None:
    network = mlp()
    batch = make_batch()
    batch = dataclasses.replace(batch, x=batch.x.sigmoid())
    assert float(objective.perturbed(network, batch).max()) > 1
    bounded = dataclasses.replace(batch, bounds=Box())
    perturbed = objective.perturbed(network, bounded)
    assert float(perturbed.min()) >= 0 and float(perturbed.max()) <= 1
    assert float((perturbed - batch.x).abs().max()) > 0.1


@pytest.mark.parametrize("norm_kind", ["l2", "linf"])
def test_in_bounds_the_ascent_of_a_linear_network_reaches_the_best_sample_of_the_box(norm_kind: Any) -> None:
    """In l-infinity it is the clipped step of the sign; in l2 the solution of the linear program by its multiplier."""
    network = linear()
    batch = make_batch()
    batch = dataclasses.replace(batch, x=(0.3 * batch.x).sigmoid(), bounds=Box(0.3, 0.7))
    batch = dataclasses.replace(batch, x=batch.clamp(batch.x))
    eps = 0.2
    perturbed = Adversarial(norm=norm_kind, eps=eps, steps=300, step_size=0.005).perturbed(network, batch)
    weight = (network.weight[1] - network.weight[0]).detach()
    ascent = torch.where(batch.y[:, None] == 0, weight, -weight)
    if norm_kind == "linf":
        best = batch.clamp(batch.x + eps * ascent.sign())
    else:
        # The largest gain is that of the smallest step with this gain: bisect the gain by the length of the step.
        low, high = torch.zeros(12, dtype=torch.float64), torch.full((12,), 10.0, dtype=torch.float64)
        for _ in range(60):
            middle = (low + high) / 2
            length = smallest_step(batch.x, ascent, middle, "l2", batch.bounds).norm(dim=1)
            low, high = torch.where(length <= eps, middle, low), torch.where(length <= eps, high, middle)
        best = batch.x + smallest_step(batch.x, ascent, low, "l2", batch.bounds)
    gain = ((perturbed - batch.x) * ascent).sum(1)
    torch.testing.assert_close(gain, ((best - batch.x) * ascent).sum(1), rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("norm_kind", ["l2", "linf"])
def test_random_starts_are_uniform_in_the_ball(norm_kind: Any) -> None:
    """Half of the volume of the ball lies below the radius 2^(-1/n)."""
    batch = Batch(torch.zeros(4000, 3), torch.zeros(4000, dtype=torch.long), lambda: generator(0, "start"))
    start = Adversarial(norm=norm_kind, eps=1.0)._random_start(batch, None)
    inner = float((norm(start, norm_kind) < 2 ** (-1 / 3)).double().mean())
    assert inner == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(4000))


def test_n_fgsm_adds_a_step_to_noise_without_projection() -> None:
    network = linear()
    batch = make_batch()
    delta = Adversarial(norm="linf", eps=0.1, steps=1, noise=2.0).perturbed(network, batch) - batch.x
    x = batch.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(functional.cross_entropy(network(x), batch.y), x)
    noise = delta - 0.1 * gradient.sign()
    assert float(noise.abs().max()) <= 0.2 and float(delta.abs().max()) > 0.2
    with pytest.raises(SceneError, match=r"noise is 2\.0; it needs norm linf, steps 1"):
        Adversarial(noise=2.0)


def test_trades_adds_the_largest_divergence_of_torch() -> None:
    network = mlp(3)
    batch = make_batch(3)
    objective = Trades(eps=0.3, steps=5, beta=2.0)
    clean = network(batch.x)
    log_p = functional.log_softmax(clean, 1).detach()
    perturbed = objective.perturb(
        network,
        batch,
        lambda s: functional.kl_div(functional.log_softmax(s, 1), log_p, log_target=True, reduction="none").sum(1),
    )
    divergence = functional.kl_div(
        functional.log_softmax(network(perturbed), 1), functional.softmax(clean, 1), reduction="batchmean"
    )
    torch.testing.assert_close(
        objective.loss(network, batch), functional.cross_entropy(clean, batch.y) + 2.0 * divergence
    )
    assert float(divergence.detach()) > 0


def test_mart_is_the_formula_of_its_paper() -> None:
    network = mlp(3)
    batch = make_batch(3)
    objective = Mart(eps=0.3, steps=3, beta=4.0)
    perturbed = objective.perturb(network, batch, lambda s: functional.cross_entropy(s, batch.y, reduction="none"))
    p, q = network(batch.x).softmax(1).detach(), network(perturbed).softmax(1).detach()
    terms = []
    for p_row, q_row, y in zip(p, q, batch.y.tolist(), strict=True):
        other = max(float(q_row[k]) for k in range(3) if k != y)
        divergence = (p_row * (p_row / q_row).log()).sum()
        terms.append(-q_row[y].log() - math.log(1 - other) + 4.0 * divergence * (1 - p_row[y]))
    assert float(objective.loss(network, batch).detach()) == pytest.approx(float(sum(terms)) / len(terms))


def test_the_gradient_penalty_of_a_linear_network_has_a_closed_form() -> None:
    """The gradient of the cross-entropy is W^T (p - e_y)."""
    network = linear(3)
    batch = make_batch(3)
    scores = network(batch.x)
    gradient = (scores.softmax(1) - functional.one_hot(batch.y, 3)) @ network.weight
    expected = functional.cross_entropy(scores, batch.y) + 0.7 * gradient.square().sum(1).mean()
    torch.testing.assert_close(GradientPenalty(weight=0.7).loss(network, batch), expected)


def test_the_total_variation_of_the_gradient_is_that_of_a_linear_network() -> None:
    network = nn.Sequential(nn.Flatten(), linear(classes=3, n=6))
    x = torch.randn(12, 1, 2, 3, generator=generator(0, "images"), dtype=torch.float64)
    batch = Batch(x, torch.arange(12) % 3, lambda: generator(0, "step"))
    scores = network(x)
    gradient = (scores.softmax(1) - functional.one_hot(batch.y, 3)) @ network[1].weight
    a, b, c, d, e, f = gradient.T
    variation = sum((p - q).abs() for p, q in ((a, b), (b, c), (d, e), (e, f), (a, d), (b, e), (c, f)))
    expected = functional.cross_entropy(scores, batch.y) + 0.7 * variation.mean()
    penalty = GradientPenalty(weight=0.7, measure="total_variation")
    torch.testing.assert_close(penalty.loss(network, batch), expected)
    with pytest.raises(SceneError, match="needs images"):
        penalty.loss(linear(), make_batch())


def test_the_lipschitz_penalty_is_the_sum_of_the_largest_singular_values() -> None:
    network = mlp()
    batch = make_batch()
    penalty = sum(float(torch.linalg.svdvals(layer.weight.detach())[0]) for layer in (network[0], network[2]))
    found = Lipschitz(weight=0.5).loss(network, batch) - functional.cross_entropy(network(batch.x), batch.y)
    assert float(found.detach()) == pytest.approx(0.5 * penalty)
    with pytest.raises(SceneError, match="it needs a network of linear layers"):
        Lipschitz().loss(nn.Conv1d(1, 1, 1), batch)


@pytest.mark.parametrize(
    ("loss", "torch_loss"),
    [
        ("hinge", functional.multi_margin_loss),
        ("squared", lambda s, y: (s - functional.one_hot(y, 2)).square().sum(1).mean()),
        ("logistic", functional.cross_entropy),
    ],
)
def test_losses_of_two_classes_equal_those_of_torch(loss: Any, torch_loss: Any) -> None:
    network = mlp()
    batch = make_batch()
    expected = torch_loss(network(batch.x), batch.y)
    # The multi-class hinge loss of torch divides by the number of classes.
    factor = 2 if loss == "hinge" else 1
    torch.testing.assert_close(Standard(loss_function=loss).loss(network, batch), factor * expected)


def test_label_smoothing_is_that_of_torch() -> None:
    network = mlp(3)
    batch = make_batch(3)
    torch.testing.assert_close(
        Standard(label_smoothing=0.1).loss(network, batch),
        functional.cross_entropy(network(batch.x), batch.y, label_smoothing=0.1),
    )
    with pytest.raises(SceneError, match="needs loss_function cross_entropy"):
        Standard(loss_function="hinge", label_smoothing=0.1)


def test_decay_by_layer_is_lambda_over_the_units_times_the_squared_weights() -> None:
    network = mlp(3)
    batch = make_batch(3)
    first, last = network[0].weight, network[2].weight
    expected = functional.cross_entropy(network(batch.x), batch.y)
    expected = expected + 0.2 / 16 * first.square().sum() + 0.7 / 3 * last.square().sum()
    torch.testing.assert_close(Standard(layer_decay=(0.2, 0.7)).loss(network, batch), expected)
    equal = Standard(layer_decay=0.2).loss(network, batch)
    torch.testing.assert_close(equal, expected - 0.5 / 3 * last.square().sum())
    with pytest.raises(SceneError, match=r"layer_decay has 3 numbers; the network has 2 layers"):
        Standard(layer_decay=(0.1, 0.1, 0.1)).loss(network, batch)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_an_objective_draws_from_its_generator_alone_and_has_the_gradient_of_its_value(kind: str) -> None:
    objective: Objective = OBJECTIVES[kind]()
    network = mlp(3)
    batch = objective.prepare(network, make_batch(3), lambda trained, *_: trained)
    state = torch.get_rng_state()
    first = objective.differentiate(network, batch)
    gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    assert len(gradients) == 4
    assert torch.equal(first, objective.differentiate(network, dataclasses.replace(batch)))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(
        torch.equal(g, p.grad) for g, p in zip(gradients, network.parameters(), strict=True) if p.grad is not None
    )
