"""Directions of movement of a network's weights: gradient steps, differences of snapshots, and random directions."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dimple.errors import ModelError
from dimple.tensors import generator

# Layers with running statistics, which training changes without a gradient.
BATCH_NORM_LAYERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
# The rate of change of named parameters and buffers of a network.
WeightDirection = Mapping[str, Tensor]


def gradient_descent_direction(
    network: nn.Module, x: Tensor, y: Tensor, loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy
) -> dict[str, Tensor]:
    """Return the direction of a step of gradient descent, `-d loss / d parameters`, for each parameter.

    A step with learning rate h moves the weights along it by time h. The network is not changed.

    Args:
        network: the network in eval mode.
        x: the batch `(B, *shape)`; adversarial inputs give the step of adversarial training.
        y: its labels `(B,)`.
        loss: maps scores and labels to a number, by default the mean cross-entropy.

    Raises:
        ModelError: if the network is in training mode.

    Example:
        >>> layer = nn.Linear(2, 2).eval()
        >>> sorted(gradient_descent_direction(layer, torch.zeros(1, 2), torch.tensor([0])))
        ['bias', 'weight']
    """
    return descent_direction(network, lambda moving: loss(moving(x), y))


def descent_direction(network: nn.Module, loss: Callable[[nn.Module], Tensor]) -> dict[str, Tensor]:
    """Return `-d loss / d parameters` of a loss that is a function of the network, such as an objective of training.

    Args:
        network: the network in eval mode; it is not changed.
        loss: maps a copy of the network, whose parameters have gradients, to a number.

    Raises:
        ModelError: if the network is in training mode.

    Example:
        >>> layer = nn.Linear(2, 1).eval()
        >>> descent_direction(layer, lambda moving: moving.bias.sum())["bias"]
        tensor([-1.])
    """
    require_eval(network)
    moving = copy.deepcopy(network).requires_grad_(True)
    leaves = dict(moving.named_parameters())
    with torch.enable_grad():
        gradients = torch.autograd.grad(loss(moving), list(leaves.values()), materialize_grads=True, allow_unused=True)
    return {name: -gradient for name, gradient in zip(leaves, gradients, strict=True)}


def weight_difference(before: nn.Module, after: nn.Module) -> dict[str, Tensor]:
    """Return the direction from one snapshot to another: movement by time 1 leads from the first to the second.

    Floating-point buffers, such as the running statistics of batch norm, are included.

    Raises:
        ModelError: if the two differ in architecture.
    """
    first = _named_tensors(before)
    second = _named_tensors(after)
    if {name: value.shape for name, value in first.items()} != {name: value.shape for name, value in second.items()}:
        raise ModelError(
            f"{type(before).__name__} and {type(after).__name__} differ in the names or shapes of their tensors; "
            "take two snapshots of one network"
        )
    return {name: second[name].to(value) - value for name, value in first.items()}


def move_weights(network: nn.Module, direction: WeightDirection, time: float) -> nn.Module:
    """Return a copy of the network whose weights have moved along a direction by `time`.

    Raises:
        ModelError: if the direction does not match the tensors of the network.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> bool(move_weights(layer, {"bias": torch.ones(1)}, 0.5).bias == layer.bias + 0.5)
        True
    """
    moved = copy.deepcopy(network)
    tensors = _named_tensors(moved)
    require_matching_tensors(direction, tensors)
    with torch.no_grad():
        for name, rate in direction.items():
            tensors[name] += time * rate
    return moved


def random_direction(like: WeightDirection, seed: int, draw: int = 0) -> dict[str, Tensor]:
    """Return a random direction as the null of another one, with the same length in each tensor."""
    direction = {}
    for name, rate in like.items():
        stream = generator(seed, "parameter direction", name, draw)
        noise = torch.randn(rate.shape, generator=stream, dtype=torch.float64).to(rate)
        direction[name] = noise * (rate.norm() / noise.norm().clamp(min=math.ulp(0.0)))
    return direction


def directional_derivatives(
    outputs: Callable[[dict[str, Tensor]], Tensor], network: nn.Module, directions: Sequence[WeightDirection]
) -> Tensor:
    """Return the derivative of each output along each direction of the weights, `(B, directions)`.

    It is exact and costs two backward passes for all directions together and one for each direction.

    Args:
        outputs: maps the moving tensors, by name, to outputs `(B,)`; it calls the network with these tensors.
        network: the network in eval mode.
        directions: the directions.

    Raises:
        ModelError: if a direction does not match the tensors of the network.
    """
    tensors = _named_tensors(network)
    rates = [_fold_statistics_into_weights(network, direction, tensors) for direction in directions]
    leaves = {
        name: tensors[name].requires_grad_(True) for name in dict.fromkeys(name for rate in rates for name in rate)
    }
    with torch.enable_grad():
        values = outputs(leaves)
        if not leaves:
            return values.detach().new_zeros(len(values), len(directions))
        # A backward pass is linear in its cotangent: its derivative by the cotangent is the forward derivative.
        cotangent = torch.ones_like(values, requires_grad=True)
        gradients = torch.autograd.grad(
            values, list(leaves.values()), cotangent, create_graph=True, allow_unused=True, materialize_grads=True
        )
    derivatives = []
    for rate in rates:
        pairs = [
            (gradient, rate[name].to(gradient))
            for name, gradient in zip(leaves, gradients, strict=True)
            if name in rate and gradient.requires_grad
        ]
        if pairs:
            moving, tangents = zip(*pairs, strict=True)
            derivatives.append(torch.autograd.grad(moving, cotangent, tangents, retain_graph=True)[0])
        else:
            derivatives.append(torch.zeros_like(values.detach()))
    return torch.stack(derivatives, 1)


def _fold_statistics_into_weights(
    network: nn.Module, direction: WeightDirection, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the direction with the movement of batch norm's running statistics expressed as movement of its weights.

    Autograd has no gradient for the statistics. To first order, a change of the mean equals a change of the bias, and a
    change of the variance equals a change of the weight.
    """
    require_matching_tensors(direction, tensors)
    rates = {name: rate for name, rate in direction.items() if bool(rate.any())}
    for prefix, module in network.named_modules():
        names = {key: f"{prefix}.{key}" if prefix else key for key in ("running_mean", "running_var", "weight", "bias")}
        moving = {key: rates.pop(names[key], None) for key in ("running_mean", "running_var")}
        if not isinstance(module, BATCH_NORM_LAYERS) or all(rate is None for rate in moving.values()):
            rates |= {names[key]: rate for key, rate in moving.items() if rate is not None}
            continue
        if names["weight"] not in tensors:
            raise ModelError(
                f"{names['running_mean']} moves, and its batch norm has no weight that could express it; use "
                "affine=True, or leave the running statistics out of the direction"
            )
        weight = tensors[names["weight"]]
        variance = tensors[names["running_var"]] + module.eps
        changes = {
            "weight": (moving["running_var"], -weight / (2 * variance)),
            "bias": (moving["running_mean"], -weight / variance.sqrt()),
        }
        for key, (rate, factor) in changes.items():
            if rate is not None:
                rates[names[key]] = rates.get(names[key], torch.zeros_like(factor)) + factor * rate
    return rates


def require_matching_tensors(direction: WeightDirection, tensors: Mapping[str, Tensor]) -> None:
    """Raise a ModelError if a direction differs from the tensors in a name or a shape."""
    for name, rate in direction.items():
        if name not in tensors or tensors[name].shape != rate.shape:
            state = f"of shape {tuple(tensors[name].shape)}" if name in tensors else "not a tensor of the network"
            raise ModelError(
                f"direction {name!r} has shape {tuple(rate.shape)} and is {state}; "
                "take it from gradient_descent_direction or weight_difference of the same network"
            )


def require_eval(network: nn.Module) -> None:
    """Raise a ModelError if the network is in training mode, in which its scores depend on the batch and on chance."""
    if any(module.training for module in network.modules()):
        raise ModelError(f"{type(network).__name__} is in training mode; call .eval() on it, or measure a frozen copy")


def _named_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and the floating-point buffers by name."""
    buffers = {name: value.detach() for name, value in network.named_buffers() if value.is_floating_point()}
    return {name: value.detach() for name, value in network.named_parameters()} | buffers
