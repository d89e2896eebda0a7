"""Score gaps of small networks on many points, at the rate of the matrix products in them."""

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from dimple.errors import ModelError
from dimple.tensors import chunks
from dimple.tracing.piecewise_linear import Abs
from dimple.tracing.sequential import CHUNK, Chain, chain, composed


def _tanh_(u: Tensor) -> Tensor:
    from dimple.tracing._fast_tanh import tanh_in_place

    tanh_in_place(u.view(-1).numpy())
    return u


# Every activation as a function that overwrites its argument.
IN_PLACE: dict[type[nn.Module], Callable[[Any, Tensor], Tensor]] = {
    nn.ReLU: lambda _, u: u.relu_(),
    nn.ReLU6: lambda _, u: u.clamp_(0, 6),
    nn.LeakyReLU: lambda module, u: functional.leaky_relu_(u, module.negative_slope),
    nn.Hardtanh: lambda module, u: u.clamp_(module.min_val, module.max_val),
    Abs: lambda _, u: u.abs_(),
    nn.Tanh: lambda _, u: _tanh_(u),
    nn.Sigmoid: lambda _, u: u.sigmoid_(),
    nn.GELU: lambda module, u: u.copy_(module(u)),
    nn.Softplus: lambda module, u: u.copy_(module(u)),
    nn.SiLU: lambda module, u: u.copy_(module(u)),
}


@final
class QuickGap:
    """The gap `z_label - z_other` of a network of two classes, a chain of affine maps and known activations.

    In float32 on the CPU, chunk by chunk into the same arrays, which stay in a core's cache, and with one readout
    instead of two: nearly at the rate of its matrix products. The values differ from the network's by rounding.
    """

    def __init__(self, read: Chain, label: int) -> None:
        readout = torch.tensor([[-1.0, 1.0]], dtype=torch.float64) * (2 * label - 1), torch.zeros(1).double()
        maps = [*read.maps[:-1], composed(read.maps[-1], readout)]
        # Kept transposed, because a product with a transposed weight is slower.
        self.weights = [weight.T.float().contiguous() for weight, _ in maps]
        self.biases = [bias.float() for _, bias in maps]
        self.between = read.between

    def __call__(self, x: Tensor) -> Tensor:
        """Points `(N, n)` to gaps `(N,)`."""
        gaps = torch.empty(len(x))
        room = [torch.empty(min(CHUNK, len(x)), len(bias)) for bias in self.biases]
        for part in chunks(len(x), CHUNK):
            rows = x[part].float()
            for weight, bias, module, out in zip(self.weights, self.biases, self.between, room, strict=False):
                rows = torch.addmm(bias, rows, weight, out=out[: len(rows)])
                rows = IN_PLACE[type(module)](module, rows)
            torch.addmv(self.biases[-1].expand(len(rows)), rows, self.weights[-1][:, 0], out=gaps[part])
        return gaps


def quick_gap(classifier: object, label: int) -> QuickGap | None:
    """The same for a classifier on the CPU that shows its layers; None for any other, and for more than two classes.

    Example:
        >>> network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).requires_grad_(False)
        >>> gap, x = quick_gap(network, 1), torch.ones(5, 3)
        >>> bool(torch.allclose(gap(x), network(x) @ torch.tensor([-1.0, 1.0]), atol=1e-5))
        True
    """
    try:
        read = chain(classifier)
    except ModelError:
        return None
    known = read.classes == 2 and all(type(module) in IN_PLACE for module in read.between)
    return QuickGap(read, label) if known else None
