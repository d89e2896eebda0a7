"""Directions in which the weights of a network move: what training does in a step, and what chance would."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from dimple.errors import ModelError
from dimple.tensors import generator

# Whose running statistics training moves, though no gradient does.
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
# The rate of change of named parameters and buffers of a network.
Direction = Mapping[str, Tensor]


def descent(
    network: nn.Module, x: Tensor, y: Tensor, loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy
) -> dict[str, Tensor]:
    """The direction of a step of gradient descent, `-d loss / d parameters`, for each parameter.

    A step of learning rate h moves along it by the time h. The network itself stays as it is.

    Args:
        x, y: the batch `(B, *shape)` with labels `(B,)`; give adversarial inputs for adversarial training's step.
        loss: scores and labels to one number, by default the mean cross-entropy.

    Raises:
        ModelError: if the network is in training mode.

    Example:
        >>> layer = nn.Linear(2, 2).eval()
        >>> sorted(descent(layer, torch.zeros(1, 2), torch.tensor([0])))
        ['bias', 'weight']
    """
    require_eval(network)
    leaves = {name: value.detach().requires_grad_(True) for name, value in network.named_parameters()}
    with torch.enable_grad():
        value = loss(functional_call(network, leaves, (x,)), y)
        gradients = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True, allow_unused=True)
    return {name: -gradient for name, gradient in zip(leaves, gradients, strict=True)}


def difference(before: nn.Module, after: nn.Module) -> dict[str, Tensor]:
    """The direction from one snapshot to another, so that time 1 leads from the one to the other.

    Floating-point buffers, such as the running statistics of batch norm, move with the parameters.

    Raises:
        ModelError: if the two are not of the same architecture.
    """
    first, second = _moving(before), _moving(after)
    if {name: value.shape for name, value in first.items()} != {name: value.shape for name, value in second.items()}:
        raise ModelError(
            f"{type(before).__name__} and {type(after).__name__} hold tensors of other names or shapes; "
            "a direction leads between two snapshots of one network"
        )
    return {name: second[name].to(value) - value for name, value in first.items()}


def moved(network: nn.Module, direction: Direction, time: float) -> nn.Module:
    """A copy of the network after it has moved for `time` along a direction.

    Raises:
        ModelError: if the direction names what the network does not have.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> bool(moved(layer, {"bias": torch.ones(1)}, 0.5).bias == layer.bias + 0.5)
        True
    """
    other = copy.deepcopy(network)
    tensors = _moving(other)
    require_names(direction, tensors)
    with torch.no_grad():
        for name, rate in direction.items():
            tensors[name] += time * rate
    return other


def random_direction(like: Direction, seed: int, draw: int = 0) -> dict[str, Tensor]:
    """The null of a direction: each tensor replaced by a random one of the same length."""
    drawn = {}
    for name, rate in like.items():
        stream = generator(seed, "parameter direction", name, draw)
        noise = torch.randn(rate.shape, generator=stream, dtype=torch.float64).to(rate)
        drawn[name] = noise * (rate.norm() / noise.norm().clamp(min=math.ulp(0.0)))
    return drawn


def rates_along(
    outputs: Callable[[dict[str, Tensor]], Tensor], network: nn.Module, directions: Sequence[Direction]
) -> Tensor:
    """How fast each output changes while the weights move along each direction, `(B, directions)`.

    Exact, by two backward passes for all directions and one more for each.

    Args:
        outputs: from the tensors that move, by name, to `(B,)`; it calls the network with them.

    Raises:
        ModelError: if a direction names what the network does not have, or in another shape.
    """
    tensors = _moving(network)
    rates = [_statistics_as_weights(network, direction, tensors) for direction in directions]
    leaves = {
        name: tensors[name].requires_grad_(True) for name in dict.fromkeys(name for rate in rates for name in rate)
    }
    with torch.enable_grad():
        values = outputs(leaves)
        if not leaves:
            return values.detach().new_zeros(len(values), len(directions))
        # Backward passes are linear in what they are fed, so that the derivative by it is the forward derivative.
        fed = torch.ones_like(values, requires_grad=True)
        gradients = torch.autograd.grad(
            values, list(leaves.values()), fed, create_graph=True, allow_unused=True, materialize_grads=True
        )
    found = []
    for rate in rates:
        pairs = [
            (gradient, rate[name].to(gradient))
            for name, gradient in zip(leaves, gradients, strict=True)
            if name in rate and gradient.requires_grad
        ]
        if pairs:
            moving, fed_back = zip(*pairs, strict=True)
            found.append(torch.autograd.grad(moving, fed, fed_back, retain_graph=True)[0])
        else:
            found.append(torch.zeros_like(values.detach()))
    return torch.stack(found, 1)


def _statistics_as_weights(
    network: nn.Module, direction: Direction, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The direction with the motion of batch norm's running statistics, which autograd does not see, as its weights'.

    To first order a moving mean is a moving bias, and a moving variance a moving weight.
    """
    require_names(direction, tensors)
    rates = {name: rate for name, rate in direction.items() if bool(rate.any())}
    for prefix, module in network.named_modules():
        names = {end: f"{prefix}.{end}" if prefix else end for end in ("running_mean", "running_var", "weight", "bias")}
        moving = {end: rates.pop(names[end], None) for end in ("running_mean", "running_var")}
        if not isinstance(module, NORMS) or all(rate is None for rate in moving.values()):
            rates |= {names[end]: rate for end, rate in moving.items() if rate is not None}
            continue
        if names["weight"] not in tensors:
            raise ModelError(
                f"{names['running_mean']} moves, and its batch norm has no weight to say it by; use affine=True, or "
                "leave the running statistics out of the direction"
            )
        weight, spread = tensors[names["weight"]], tensors[names["running_var"]] + module.eps
        changes = {
            "weight": (moving["running_var"], -weight / (2 * spread)),
            "bias": (moving["running_mean"], -weight / spread.sqrt()),
        }
        for end, (rate, factor) in changes.items():
            if rate is not None:
                rates[names[end]] = rates.get(names[end], torch.zeros_like(factor)) + factor * rate
    return rates


def require_names(direction: Direction, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a direction that is not one of these tensors'."""
    for name, rate in direction.items():
        if name not in tensors or tensors[name].shape != rate.shape:
            have = f"of shape {tuple(tensors[name].shape)}" if name in tensors else "not a tensor of the network"
            raise ModelError(
                f"direction {name!r} has shape {tuple(rate.shape)} and is {have}; "
                "take it from descent or difference of the same network"
            )


def require_eval(network: nn.Module) -> None:
    """Refuse a network whose answers depend on the batch and on chance, and leave its mode to its owner."""
    if any(module.training for module in network.modules()):
        raise ModelError(f"{type(network).__name__} is in training mode; call .eval() on it, or measure a frozen copy")


def _moving(network: nn.Module) -> dict[str, Tensor]:
    """The parameters and the floating-point buffers by their names."""
    buffers = {name: value.detach() for name, value in network.named_buffers() if value.is_floating_point()}
    return {name: value.detach() for name, value in network.named_parameters()} | buffers
