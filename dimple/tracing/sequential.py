"""Sequential networks read layer by layer: affine maps in double precision, and the activations between them."""

import dataclasses
from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor, nn

from dimple.errors import ModelError
from dimple.protocols import SequentialModel

# Rows of a layer's activations that fit the cache of a core: larger chunks are several times slower.
ROWS_PER_CHUNK = 1024


@final
@dataclasses.dataclass(frozen=True)
class SequentialStack:
    """Network of affine maps with one module between each map and the next.

    Attributes:
        affine_maps: the weight `(w, w_before)` and bias `(w,)` of every map, float64 on the CPU.
        activations: the modules between the maps, one fewer.
    """

    affine_maps: tuple[tuple[Tensor, Tensor], ...]
    activations: tuple[nn.Module, ...]

    @property
    def num_classes(self) -> int:
        """The number K of scores."""
        return len(self.affine_maps[-1][1])


def read_sequential_stack(classifier: object) -> SequentialStack:
    """Read the layers of a sequential network.

    Readable are `nn.Sequential`s, nested or not, models with the method `sequential_layers`, and affine slices of both.
    Linear layers, and batch normalization in eval mode after them, are composed. Identity, Flatten and inactive Dropout
    are left out. Every other module counts as an activation, known or not.

    Raises:
        ModelError: if the layers of the classifier cannot be read, or if the first is not linear.

    Example:
        >>> stack = read_sequential_stack(nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 2)))
        >>> [tuple(weight.shape) for weight, _ in stack.affine_maps], stack.activations
        ([(4, 3), (2, 4)], (Tanh(),))
    """
    maps: list[tuple[Tensor, Tensor]] = []
    activations: list[nn.Module] = []
    for module in _iterate_modules(classifier):
        if isinstance(module, nn.Identity | nn.Flatten) or (isinstance(module, nn.Dropout) and not module.training):
            continue
        if isinstance(module, nn.Linear):
            maps[-1:] = [compose_affine(*maps[-1:], _weight_and_bias(module))]
        elif not maps:
            raise ModelError("an exact level set needs a linear layer before the first activation; use kind: adaptive")
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and not module.training:
            maps[-1] = _compose_batch_norm(*maps[-1], module)
        else:
            activations.append(module)
            width = len(maps[-1][1])
            maps.append((torch.eye(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)))
    if not maps:
        raise ModelError("an exact level set needs a network that ends in a linear layer of two or more scores")
    return SequentialStack(tuple(maps), tuple(activations))


def compose_affine(*maps: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the composition of affine maps, the first of which is applied first, as weight and bias."""
    weight, bias = maps[0]
    for next_weight, next_bias in maps[1:]:
        weight = next_weight @ weight
        bias = next_weight @ bias + next_bias
    return weight, bias


def _iterate_modules(classifier: object) -> Iterator[nn.Module]:
    """Yield the layers of nested sequences in order."""
    if isinstance(classifier, nn.Sequential):
        for module in classifier:
            yield from _iterate_modules(module)
    elif isinstance(classifier, SequentialModel):
        for layer in classifier.sequential_layers():
            yield from _iterate_modules(layer)
    elif isinstance(classifier, nn.Module):
        yield classifier
    else:
        raise ModelError(
            f"{classifier!r} is not an nn.Sequential, whose layers an exact level set can read; use kind: adaptive"
        )


def _weight_and_bias(module: nn.Linear) -> tuple[Tensor, Tensor]:
    weight = module.weight.detach().double().cpu()
    bias = weight.new_zeros(len(weight))
    for parameter in (value for name, value in module.named_parameters() if name == "bias"):
        bias = parameter.detach().double().cpu()
    return weight, bias


def _compose_batch_norm(weight: Tensor, bias: Tensor, module: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the composition of an affine map and batch normalization in eval mode, which scales and shifts channels.

    Raises:
        ModelError: if the normalization has no running statistics.
    """
    if module.running_mean is None or module.running_var is None:
        raise ModelError(
            "an exact level set can read batch normalization only with running statistics; use kind: adaptive"
        )
    scale = (module.running_var.double() + module.eps).rsqrt()
    shift = -module.running_mean.double() * scale
    if module.affine:
        scale = scale * module.weight.detach().double()
        shift = shift * module.weight.detach().double() + module.bias.detach().double()
    repeats = len(bias) // len(scale)
    scale = scale.cpu().repeat_interleave(repeats)
    shift = shift.cpu().repeat_interleave(repeats)
    return scale[:, None] * weight, scale * bias + shift
