"""Fast evaluation of the logit margin of small networks on many points, at the rate of the matrix products."""

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from dimple.errors import ModelError
from dimple.tensors import chunks
from dimple.tracing.piecewise_linear import Abs
from dimple.tracing.sequential import ROWS_PER_CHUNK, SequentialStack, compose_affine, read_sequential_stack


def _tanh_(u: Tensor) -> Tensor:
    from dimple.tracing._fast_tanh import tanh_in_place

    tanh_in_place(u.view(-1).numpy())
    return u


# For each kind of module, a function that applies it to a tensor in place.
IN_PLACE_ACTIVATIONS: dict[type[nn.Module], Callable[[Any, Tensor], Tensor]] = {
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
class FastLogitMargin:
    """Logit margin `z_label - z_other` of a sequential network of two classes with known activations.

    It is computed in float32 on the CPU, in chunks that reuse the same arrays, so that these stay in the cache, and
    with one readout instead of two. The values differ from those of the network by rounding.
    """

    def __init__(self, net: SequentialStack, label: int) -> None:
        difference = torch.tensor([[-1.0, 1.0]], dtype=torch.float64) * (2 * label - 1), torch.zeros(1).double()
        maps = [*net.affine_maps[:-1], compose_affine(net.affine_maps[-1], difference)]
        # Stored transposed, because a product with a transposed weight is slower.
        self.transposed_weights = [weight.T.float().contiguous() for weight, _ in maps]
        self.biases = [bias.float() for _, bias in maps]
        self.activations = net.activations

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logit margins `(N,)` of points `(N, n)`."""
        margins = torch.empty(len(x))
        buffers = [torch.empty(min(ROWS_PER_CHUNK, len(x)), len(bias)) for bias in self.biases]
        for chunk in chunks(len(x), ROWS_PER_CHUNK):
            rows = x[chunk].float()
            for weight, bias, module, buffer in zip(
                self.transposed_weights, self.biases, self.activations, buffers, strict=False
            ):
                rows = torch.addmm(bias, rows, weight, out=buffer[: len(rows)])
                rows = IN_PLACE_ACTIVATIONS[type(module)](module, rows)
            torch.addmv(self.biases[-1].expand(len(rows)), rows, self.transposed_weights[-1][:, 0], out=margins[chunk])
        return margins


def make_fast_logit_margin(classifier: object, label: int) -> FastLogitMargin | None:
    """Return the fast logit margin of a classifier on the CPU.

    The result is None if the layers cannot be read, if an activation is unknown, or for more than two classes.

    Example:
        >>> network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).requires_grad_(False)
        >>> margin = make_fast_logit_margin(network, 1)
        >>> x = torch.ones(5, 3)
        >>> bool(torch.allclose(margin(x), network(x) @ torch.tensor([-1.0, 1.0]), atol=1e-5))
        True
    """
    try:
        stack = read_sequential_stack(classifier)
    except ModelError:
        return None
    known = stack.num_classes == 2 and all(type(module) in IN_PLACE_ACTIVATIONS for module in stack.activations)
    return FastLogitMargin(stack, label) if known else None
