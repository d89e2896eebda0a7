"""Scores and gradients of R multilayer perceptrons of one architecture at once."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor, nn

from dimple.training.stacked.matmul import bind_matmul, has_kernel

# Parameters begin at multiples of this number of floats, so that no register of 16 is read across two cache lines.
ALIGNMENT = 16


def _relu_backward(gradient: Tensor, _inputs: Tensor, outputs: Tensor) -> None:
    torch.ops.aten.threshold_backward.grad_input(gradient, outputs, 0, grad_input=gradient)


def _tanh_backward(gradient: Tensor, _inputs: Tensor, outputs: Tensor) -> None:
    torch.ops.aten.tanh_backward.grad_input(gradient, outputs, grad_input=gradient)


def _gelu(inputs: Tensor, outputs: Tensor) -> None:
    torch.ops.aten.gelu.out(inputs, out=outputs)


def _gelu_backward(gradient: Tensor, inputs: Tensor, _outputs: Tensor) -> None:
    torch.ops.aten.gelu_backward.grad_input(gradient, inputs, grad_input=gradient)


def _softplus(inputs: Tensor, outputs: Tensor) -> None:
    torch.ops.aten.softplus.out(inputs, 1, 20, out=outputs)


def _softplus_backward(gradient: Tensor, inputs: Tensor, _outputs: Tensor) -> None:
    torch.ops.aten.softplus_backward.grad_input(gradient, inputs, 1, 20, grad_input=gradient)


# For each activation: whether it overwrites its inputs, its values, and the product of a gradient with its derivative.
_Forward = Callable[[Tensor, Tensor], object]
_Backward = Callable[[Tensor, Tensor, Tensor], None]
ACTIVATIONS: dict[type[nn.Module], tuple[bool, _Forward, _Backward]] = {
    nn.ReLU: (True, lambda inputs, _: inputs.relu_(), _relu_backward),
    nn.Tanh: (True, lambda inputs, _: inputs.tanh_(), _tanh_backward),
    nn.GELU: (False, _gelu, _gelu_backward),
    nn.Softplus: (False, _softplus, _softplus_backward),
}


@final
@dataclasses.dataclass(frozen=True)
class MLPLayout:
    """The place of each parameter of an MLP in one row of numbers.

    Attributes:
        shapes: the shape of each parameter by its name in the network: weights `(out, in)` and biases `(out,)`.
        starts: the first place of each parameter.
        size: the length of the row.
        activation: the class of the activations between the linear layers.
        has_bias: whether the layers have biases.
    """

    shapes: dict[str, tuple[int, ...]]
    starts: dict[str, int]
    size: int
    activation: type[nn.Module]
    has_bias: bool

    @classmethod
    def of(cls, network: nn.Module) -> "MLPLayout | None":
        """Return the layout of a network; None unless it is linear layers with one kind of activation in between."""
        layers = list(network) if type(network) is nn.Sequential else []
        linear = layers[::2]
        activations = layers[1::2]
        kinds = {type(layer) for layer in activations}
        if len(layers) % 2 == 0 or {type(layer) for layer in linear} != {nn.Linear} or len(kinds) != 1:
            return None
        kind = kinds.pop()
        is_plain = (
            kind in ACTIVATIONS
            and all(repr(layer) == repr(nn.GELU() if kind is nn.GELU else kind()) for layer in activations)
            and len({layer.bias is None for layer in linear}) == 1
            and all(parameter.requires_grad for parameter in network.parameters())
            and not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
        )
        if not is_plain:
            return None
        shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
        lengths = [math.ceil(math.prod(shape) / ALIGNMENT) * ALIGNMENT for shape in shapes.values()]
        starts = itertools.accumulate(lengths, initial=0)
        return cls(
            shapes, dict(zip(shapes, starts, strict=False)), sum(lengths), kind, any("bias" in name for name in shapes)
        )

    def stack(self, networks: Sequence[nn.Module]) -> Tensor:
        """Return the parameters of R networks, `(R, size)`."""
        first = next(networks[0].parameters())
        flat = first.new_zeros(len(networks), self.size)
        for row, network in enumerate(networks):
            for name, parameter in network.named_parameters():
                self.views(flat[row : row + 1])[name][0].copy_(parameter.detach())
        return flat.detach()

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Return the parameters `(R, *shape)` by name, as views of rows `(R, size)`."""
        return {
            name: flat[:, self.starts[name] : self.starts[name] + math.prod(shape)].view(len(flat), *shape)
            for name, shape in self.shapes.items()
        }


@final
class StackedMLP:
    """R networks on batches of B samples each, with all buffers made once.

    Activations are stored with the samples in columns, `(R, features, B)`, so that each product of a step reads its
    second factor row by row.

    Args:
        layout: the places of the parameters.
        parameters: `(R, size)`; they are read at each call.
        gradients: `(R, size)`, which `backward` writes.
        batch_size: B.

    Attributes:
        x: `(R, B, n)`, the samples of the next `forward`, which the caller writes.
        scores: `(R, K, B)`, the last scores.
    """

    def __init__(self, layout: MLPLayout, parameters: Tensor, gradients: Tensor, batch_size: int) -> None:
        self._layout = layout
        weights, biases = _layers(layout, parameters)
        self._weight_gradients, self._bias_gradients = _layers(layout, gradients)
        count = len(parameters)
        sizes = [weights[0].shape[2], *(weight.shape[1] for weight in weights)]

        def buffer(rows: int, columns: int) -> Tensor:
            return parameters.new_zeros(count, rows, columns)

        in_place, self._activate, self._differentiate = ACTIVATIONS[layout.activation]
        # In the order in which the product with the gradient of the first weights reads it.
        self.x = (
            buffer(batch_size, sizes[0]) if has_kernel(self._weight_gradients[0]) else buffer(sizes[0], batch_size).mT
        )
        self._inputs = [buffer(size, batch_size) for size in sizes[1:-1]]
        self._outputs = self._inputs if in_place else [torch.empty_like(inputs) for inputs in self._inputs]
        self.scores = buffer(sizes[-1], batch_size)
        self.score_gradients = torch.empty_like(self.scores)
        deltas = [*(torch.empty_like(inputs) for inputs in self._inputs), self.score_gradients]
        self._deltas = deltas
        products = [*self._inputs, self.scores]
        columns = [self.x.mT, *self._outputs]
        # The samples in rows: a transposed copy where the product with the weights' gradient needs one, else a view.
        self._rows = [self.x, *(outputs.mT for outputs in self._outputs)]
        for layer, gradient in enumerate(self._weight_gradients[1:], 1):
            if has_kernel(gradient):
                self._rows[layer] = buffer(batch_size, sizes[layer])
        self._forward = [
            bind_matmul(weight, column, product, bias)
            for weight, bias, column, product in zip(weights, biases, columns, products, strict=True)
        ]
        self._weight_products = [
            bind_matmul(delta, row, gradient)
            for delta, row, gradient in zip(deltas, self._rows, self._weight_gradients, strict=True)
        ]
        self._delta_products = [
            bind_matmul(weight.mT, delta, before)
            for weight, delta, before in zip(weights[1:], deltas[1:], deltas, strict=False)
        ]

    @torch.no_grad()
    def forward(self) -> Tensor:
        """Return the scores `(R, K, B)` of the samples in `x`; the next call overwrites them."""
        for layer, multiply in enumerate(self._forward):
            multiply()
            if layer < len(self._inputs):
                self._activate(self._inputs[layer], self._outputs[layer])
        return self.scores

    @torch.no_grad()
    def backward(self) -> None:
        """Write the gradients of the parameters from `score_gradients` `(R, K, B)`, after `forward`."""
        for layer in range(len(self._deltas) - 1, -1, -1):
            if self._rows[layer].is_contiguous() and layer > 0:
                self._rows[layer].copy_(self._outputs[layer - 1].mT)
            self._weight_products[layer]()
            if self._layout.has_bias:
                torch.sum(self._deltas[layer], 2, out=self._bias_gradients[layer])
            if layer > 0:
                self._delta_products[layer - 1]()
                self._differentiate(self._deltas[layer - 1], self._inputs[layer - 1], self._outputs[layer - 1])


def _layers(layout: MLPLayout, flat: Tensor) -> tuple[list[Tensor], list[Tensor | None]]:
    """Return the weights `(R, out, in)` of each layer and its biases `(R, out)`, or None without biases."""
    views = layout.views(flat)
    weights = [views[name] for name in views if name.endswith("weight")]
    biases = [views[name] for name in views if name.endswith("bias")]
    return weights, [*biases] if layout.has_bias else [None] * len(weights)
