"""Laws of every objective: a number with a gradient, the same for the same batch, that a small step makes smaller."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from dimple.networks import MLP
from dimple.tangents import RandomSubspace
from dimple.tensors import generator
from dimple.testing.law import require
from dimple.training.objectives import Batch, Objective
from dimple.training.schedules import Schedule, Stop

ObjectiveLaw: TypeAlias = Callable[[Objective], None]
# The step of a descent, as a fraction of the length of the weights.
STEP = 1e-5


def check_objective(objective: Objective) -> None:
    """Check an objective against the laws of the family, on a small network in double precision.

    Raises:
        LawError: naming the law and the values.

    Example:
        >>> from dimple.training.objectives import Standard
        >>> check_objective(Standard())
    """
    for law in OBJECTIVE_LAWS:
        law(objective)


def is_a_finite_scalar_with_gradients(objective: Objective) -> None:
    """The loss is one finite number, with a finite gradient for the weights."""
    network, batch = _start(objective)
    loss = objective.loss(network, batch)
    require(
        loss.shape == () and bool(torch.isfinite(loss)) and loss.requires_grad,
        f"{_name(objective)}: the loss is {_describe(loss)}, not one finite number with a gradient",
    )
    objective.differentiate(network, batch)
    gradients = [parameter.grad for parameter in network.parameters()]
    found = [gradient for gradient in gradients if gradient is not None]
    require(
        bool(found) and all(bool(torch.isfinite(gradient).all()) for gradient in found),
        f"{_name(objective)}: no weight has a gradient, or one is not finite",
    )


def repeats_with_its_batch(objective: Objective) -> None:
    """The same weights and batch give the same loss, and no number is drawn from a global stream."""
    state = torch.get_rng_state()
    first, again = (float(objective.loss(*_start(objective)).detach()) for _ in range(2))
    require(torch.equal(state, torch.get_rng_state()), f"{_name(objective)}: draws from the global generator of torch")
    require(first == again, f"{_name(objective)}: the same batch gives {first!r} and then {again!r}")


def leaves_weights_samples_and_mode_alone(objective: Objective) -> None:
    """The loss changes neither the weights, the samples and labels, nor the mode of the network."""
    network, batch = _start(objective)
    tensors = [batch.x, batch.y, *network.parameters()]
    before = [tensor.detach().clone() for tensor in tensors]
    objective.loss(network, batch)
    require(all(map(torch.equal, before, tensors)), f"{_name(objective)}: the loss changes weights, samples or labels")
    require(network.training, f"{_name(objective)}: the loss leaves the network in eval mode")


def a_small_step_down_makes_it_smaller(objective: Objective) -> None:
    """A small step along the negative gradient makes the loss of the same batch smaller."""
    network, batch = _start(objective)
    before = float(objective.differentiate(network, batch))
    weights = [(weight, weight.grad) for weight in network.parameters() if weight.grad is not None]
    with torch.no_grad():
        step = STEP * _length([weight for weight, _ in weights]) / _length([gradient for _, gradient in weights])
        for weight, gradient in weights:
            weight.sub_(step * gradient)
    network, batch = _start(objective, network)
    after = float(objective.loss(network, batch).detach())
    require(
        after < before,
        f"{_name(objective)}: a small step down its gradient changes the loss from {before!r} to {after!r}",
    )


OBJECTIVE_LAWS: tuple[ObjectiveLaw, ...] = (
    is_a_finite_scalar_with_gradients,
    repeats_with_its_batch,
    leaves_weights_samples_and_mode_alone,
    a_small_step_down_makes_it_smaller,
)


def _start(objective: Objective, network: nn.Module | None = None) -> tuple[nn.Module, Batch]:
    """Return a network, by default always the same, and the batch with which its training would begin."""
    if network is None:
        network = MLP(widths=(16, 16)).build(4, generator(3, "network")).double()
    stream = generator(1, "samples")
    x = torch.randn(32, 4, generator=stream, dtype=torch.float64)
    y = torch.randint(0, 2, (32,), generator=stream)
    basis = RandomSubspace(dim=2, seed=7, draw=0).tangent_basis(x) if objective.needs_tangents else None
    batch = Batch(x, y, lambda: generator(5, "step"), basis)
    return network, objective.prepare(network, batch, _train_nothing)


def _train_nothing(
    network: nn.Module, objective: Objective, stop: Stop | None, schedule: Schedule | None = None
) -> nn.Module:
    del objective, stop, schedule
    return network


def _describe(loss: Tensor) -> str:
    return repr(loss) if loss.numel() == 1 else f"a tensor of shape {tuple(loss.shape)}"


def _length(tensors: list[Tensor]) -> float:
    return float(torch.cat([tensor.flatten() for tensor in tensors]).norm())


def _name(objective: Objective) -> str:
    return type(objective).__name__
