"""Networks read layer by layer: affine maps in double precision, and what stands between them."""

import dataclasses
from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor, nn

from dimple.errors import ModelError
from dimple.protocols import InSeries

# Rows of a layer's activations that fit the cache of a core: larger chunks are several times slower.
CHUNK = 1024


@final
@dataclasses.dataclass(frozen=True)
class Chain:
    """A network that is affine maps with one module between each and the next.

    Attributes:
        maps: the weight `(w, w_before)` and bias `(w,)` of every map, float64 on the CPU.
        between: the modules, one fewer.
    """

    maps: tuple[tuple[Tensor, Tensor], ...]
    between: tuple[nn.Module, ...]

    @property
    def classes(self) -> int:
        """K, the number of scores."""
        return len(self.maps[-1][1])


def chain(classifier: object) -> Chain:
    """Read `nn.Sequential`s, nested or not, wrappers that say what they are in series, and sections of either.

    Linear layers, and batch normalisation in eval mode after them, are composed; Identity, Flatten and resting Dropout
    are passed over; all else counts as a module between maps, known or not.

    Raises:
        ModelError: if the classifier does not show its layers, or if the first of them is not linear.

    Example:
        >>> read = chain(nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 2)))
        >>> [tuple(weight.shape) for weight, _ in read.maps], read.between
        ([(4, 3), (2, 4)], (Tanh(),))
    """
    maps: list[tuple[Tensor, Tensor]] = []
    between: list[nn.Module] = []
    for module in _modules(classifier):
        if isinstance(module, nn.Identity | nn.Flatten) or (isinstance(module, nn.Dropout) and not module.training):
            continue
        if isinstance(module, nn.Linear):
            maps[-1:] = [composed(*maps[-1:], _linear(module))]
        elif not maps:
            raise ModelError("an exact level set needs a linear layer before the first activation; use kind: adaptive")
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and not module.training:
            maps[-1] = _normalised(*maps[-1], module)
        else:
            between.append(module)
            width = len(maps[-1][1])
            maps.append((torch.eye(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)))
    if not maps:
        raise ModelError("an exact level set needs a network that ends in a linear layer of two or more scores")
    return Chain(tuple(maps), tuple(between))


def composed(*maps: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Affine maps, each after the one before it, as one."""
    weight, bias = maps[0]
    for after, offset in maps[1:]:
        weight, bias = after @ weight, after @ bias + offset
    return weight, bias


def _modules(classifier: object) -> Iterator[nn.Module]:
    """The layers of nested sequences, one after the other."""
    if isinstance(classifier, nn.Sequential):
        for module in classifier:
            yield from _modules(module)
    elif isinstance(classifier, InSeries):
        for part in classifier.in_series():
            yield from _modules(part)
    elif isinstance(classifier, nn.Module):
        yield classifier
    else:
        raise ModelError(f"{classifier!r} is no nn.Sequential; an exact level set reads its layers: use kind: adaptive")


def _linear(module: nn.Linear) -> tuple[Tensor, Tensor]:
    weight = module.weight.detach().double().cpu()
    bias = weight.new_zeros(len(weight))
    for given in (value for name, value in module.named_parameters() if name == "bias"):
        bias = given.detach().double().cpu()
    return weight, bias


def _normalised(weight: Tensor, bias: Tensor, module: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """A map with batch normalisation in eval mode after it: each channel scaled and shifted."""
    if module.running_mean is None or module.running_var is None:
        raise ModelError("an exact level set reads a normalisation that keeps its statistics; use kind: adaptive")
    scale = (module.running_var.double() + module.eps).rsqrt()
    shift = -module.running_mean.double() * scale
    if module.affine:
        scale, shift = scale * module.weight.detach().double(), shift * module.weight.detach().double()
        shift = shift + module.bias.detach().double()
    each = len(bias) // len(scale)
    scale, shift = scale.cpu().repeat_interleave(each), shift.cpu().repeat_interleave(each)
    return scale[:, None] * weight, scale * bias + shift
