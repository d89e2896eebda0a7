"""Fast evaluation of the logit margin of small networks on many points, at the rate of the matrix products."""

from typing import final

import torch
from torch import Tensor

from dimple.errors import ModelError
from dimple.protocols import Classifier
from dimple.tensors import chunks
from dimple.tracing.affine_graph import AffineGraph, LogitMargin, trace_affine_graph

# Rows of a layer's activations that fit the cache of a core: larger chunks are several times slower.
ROWS_PER_CHUNK = 1024


@final
class FastLogitMargin:
    """Logit margin of a network in which every affine map follows the activation before it.

    It is computed on the CPU, in chunks that reuse the same arrays, so that these stay in the cache, and
    with one readout instead of two. The values differ from those of the network by rounding.
    """

    def __init__(self, graph: AffineGraph, dtype: torch.dtype) -> None:
        self.dtype = dtype
        # Stored transposed, because a product with a transposed weight is slower.
        self.transposed_weights = [
            matrix.T.to(dtype).contiguous() for affine_map in graph.affine_maps for matrix in affine_map.matrices or ()
        ]
        self.biases = [affine_map.bias.to(dtype) for affine_map in graph.affine_maps]
        self.activations = graph.activations

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logit margins `(N,)` of points `(N, n)`."""
        margins = torch.empty(len(x), dtype=self.dtype)
        buffers = [torch.empty(min(ROWS_PER_CHUNK, len(x)), len(bias), dtype=self.dtype) for bias in self.biases]
        for chunk in chunks(len(x), ROWS_PER_CHUNK):
            rows = x[chunk].to(self.dtype)
            for weight, bias, activation, buffer in zip(
                self.transposed_weights, self.biases, self.activations, buffers, strict=False
            ):
                rows = activation.apply_in_place(torch.addmm(bias, rows, weight, out=buffer[: len(rows)]))
            torch.addmv(self.biases[-1].expand(len(rows)), rows, self.transposed_weights[-1][:, 0], out=margins[chunk])
        return margins


def make_fast_logit_margin(
    classifier: Classifier, sample: Tensor, label: int, dtype: torch.dtype = torch.float32
) -> FastLogitMargin | None:
    """Return the fast logit margin of a classifier of points on the CPU, computed in a precision.

    The result is None if nothing is proven about an operation of the network, if it has convolutions or shortcuts, or
    more than two classes.

    Example:
        >>> from torch import nn
        >>> network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).requires_grad_(False)
        >>> x = torch.ones(5, 3)
        >>> margin = make_fast_logit_margin(network, x[0], 1)
        >>> bool(torch.allclose(margin(x), network(x) @ torch.tensor([-1.0, 1.0]), atol=1e-5))
        True
    """
    try:
        graph = trace_affine_graph(LogitMargin(classifier, label), sample)
    except ModelError:
        return None
    maps = enumerate(graph.affine_maps)
    is_chain = all(affine_map.sources == (number,) and affine_map.uses_matrices for number, affine_map in maps)
    return FastLogitMargin(graph, dtype) if is_chain and sample.dim() == 1 else None
