"""Wrappers that make a classifier of a network: normalized inputs, a second logit, fixed weights."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from dimple.errors import ModelError, UsageError


@final
class NormalizedModel(nn.Module):
    """A network that applies `module` to `(x - mean) / std`: inputs and distances are in units of images in [0, 1].

    Args:
        mean: one number a channel, or a coordinate of vectors.
        std: as many positive numbers.
        module: network of the normalized images.
        axes: the number of axes of one sample, 1 for vectors.

    Example:
        >>> network = NormalizedModel((0.5,), (0.25,), nn.Flatten())
        >>> network(torch.tensor([[[[0.5, 1.0]]]]))
        tensor([[0., 2.]])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], module: nn.Module, axes: int = 3) -> None:
        super().__init__()
        if len(mean) != len(std) or not all(deviation > 0 for deviation in std):
            raise UsageError(
                f"NormalizedModel: mean {tuple(mean)} and std {tuple(std)} must be one pair a channel, std > 0"
            )
        # Not part of the state dict, which must fit the weights file of the wrapped network.
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, *[1] * (axes - 1)), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(-1, *[1] * (axes - 1)), persistent=False)
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(B, C, H, W)` in [0, 1] to the scores of the module."""
        scores: Tensor = self.module((x - self.mean) / self.std)
        return scores

    def set_constants(self, mean: Tensor, std: Tensor) -> None:
        """Replace mean and standard deviation, one number a channel or one for all."""
        with torch.no_grad():
            self.mean.copy_(mean.reshape(-1, *self.mean.shape[1:]))
            self.std.copy_(std.reshape(-1, *self.std.shape[1:]))


@final
class ReversedChannels(nn.Module):
    """A network of RGB images whose `module` takes their channels in the order BGR."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(B, C, H, W)` to the scores of the module."""
        scores: Tensor = self.module(x.flip(1))
        return scores


@final
class LogProbabilities(nn.Module):
    """The logarithms of the probabilities that `module` returns; one probability p stands for (1 - p, p).

    Args:
        module: network with probabilities `(B, K)`, or one for class 1 `(B,)` or `(B, 1)`.
        are_logarithms: whether the module returns their logarithms already.

    Example:
        >>> LogProbabilities(nn.Sigmoid())(torch.zeros(1, 1))
        tensor([[-0.6931, -0.6931]])
    """

    def __init__(self, module: nn.Module, are_logarithms: bool = False) -> None:
        super().__init__()
        self.module = module
        self.are_logarithms = are_logarithms

    def forward(self, x: Tensor) -> Tensor:
        """Map samples `(B, *shape)` to scores `(B, K)`, at least two."""
        values: Tensor = self.module(x)
        is_single = values.dim() == 1 or values.shape[1] == 1
        values = values.reshape(len(x), 1) if is_single else values
        if self.are_logarithms:
            return torch.cat([torch.log(-torch.expm1(values)), values], dim=1) if is_single else values
        values = torch.cat([1 - values, values], dim=1) if is_single else values
        return values.clamp(min=torch.finfo(values.dtype).tiny).log()


@final
class SecondLogit(nn.Module):
    """A network with the two scores (0, s), where s is the one logit of `module`, positive for class 1."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Map samples `(B, *shape)` to scores `(B, 2)`."""
        logit: Tensor = self.module(x).reshape(len(x), 1)
        return torch.cat([torch.zeros_like(logit), logit], dim=1)


def add_second_logit(module: nn.Module) -> nn.Module:
    """Return a network with the scores (0, s), `(B, 2)`, of a `module` with one logit s, `(B,)` or `(B, 1)`.

    The difference of the two scores is the logit, so the boundary is where the logit changes its sign.

    Example:
        >>> add_second_logit(nn.Flatten())(torch.tensor([[3.0], [-1.0]]))
        tensor([[ 0.,  3.],
                [ 0., -1.]])
    """
    return SecondLogit(module)


def unwrap(module: nn.Module) -> nn.Module:
    """Return the network inside the wrappers of this module, to which the weights in a file belong."""
    while isinstance(module, NormalizedModel | SecondLogit | ReversedChannels | LogProbabilities):
        module = module.module
    return module


def remove_compilation(module: nn.Module) -> nn.Module:
    """Return the network that `torch.compile` was given, itself and within `module`, which is changed in place.

    A compiled network does not give several gradients of one forward pass.
    """
    # The class belongs to a package that takes seconds to import, and is there only with a compiled network.
    if type(module).__name__ == "OptimizedModule":
        return remove_compilation(module.get_submodule("_orig_mod"))
    for name, child in module.named_children():
        if (original := remove_compilation(child)) is not child:
            module._modules[name] = original
    return module


def copy_module(module: nn.Module) -> nn.Module:
    """Return a copy of `module`, also where it stores results of a forward pass, which are copied without gradient.

    Raises:
        ModelError: if the module contains something that cannot be copied.
    """
    if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
        raise ModelError(f"{type(module).__name__} is a TorchScript program; give the nn.Module that it was made of")
    results = (
        value
        for part in module.modules()
        for value in _stored_tensors([vars(part), dict(part.named_buffers(recurse=False))])
    )
    # Results of computations, such as the weight of a layer with weight normalization, refuse to be copied themselves.
    copies = {id(tensor): tensor.detach().clone() for tensor in results if not tensor.is_leaf}
    try:
        return copy.deepcopy(module, copies)
    except Exception as error:
        raise ModelError(
            f"{type(module).__name__} cannot be copied ({error}); keep only parameters, buffers and settings in it"
        ) from None


def _stored_tensors(containers: Iterable[Any], depth: int = 3) -> Iterator[Tensor]:
    """Yield the tensors in containers within containers."""
    for container in containers:
        values = container.values() if isinstance(container, dict) else container
        for value in values:
            if isinstance(value, Tensor):
                yield value
            elif isinstance(value, dict | list | tuple) and depth:
                yield from _stored_tensors([value], depth - 1)


def freeze(module: nn.Module) -> nn.Module:
    """Return a copy of `module` in eval mode, without gradients of its weights; the original is not changed.

    Raises:
        ModelError: if the module contains something that cannot be copied.
    """
    return remove_compilation(copy_module(module)).eval().requires_grad_(False)
