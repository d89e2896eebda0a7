"""Affine graph of a classifier: affine maps between functions that are not affine."""

import dataclasses
import functools
import warnings
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from dimple.errors import ModelError
from dimple.protocols import Classifier
from dimple.tensors import chunks
from dimple.tracing.activations import Activation
from dimple.tracing.operations import OPERATIONS
from dimple.tracing.trace import Trace, UnprovenOperationError, trace_classifier

# Entries, at most, of a map that is stored as a matrix.
MAX_MATRIX_ENTRIES = 1 << 24
# Entries, at most, of the arrays that a map without a stored matrix processes together.
MAX_CHUNK_ENTRIES = 1 << 24


@final
class AffineMap:
    """Affine map `y = bias + sum_s M_s v_s` of one or more sources s: the sample, or outputs of other functions.

    Sources and output are flattened.

    Attributes:
        sources: the sources; 0 is the sample, 1, 2, ... are the functions of the graph.
        bias: `(w,)`.
        num_entries: the number of entries of all matrices.
        uses_matrices: whether products are computed with the matrices; for a convolution the operation is cheaper.
    """

    def __init__(
        self, sources: tuple[int, ...], function: Callable[..., Tensor], zeros: list[Tensor], prefer_matrices: bool
    ) -> None:
        self.sources = sources
        self._function = function
        self._zeros = zeros
        self._source_widths = [zero.numel() for zero in zeros]
        value = function(*zeros)
        self._output_shape = value.shape
        self.bias = value.reshape(-1).detach()
        self.num_entries = len(self.bias) * sum(self._source_widths)
        self.uses_matrices = prefer_matrices and self.num_entries <= MAX_MATRIX_ENTRIES

    @functools.cached_property
    def matrices(self) -> list[Tensor] | None:
        """The matrices M_s `(w, w_s)` in the order of the sources; None if they are too large to store."""
        if self.num_entries > MAX_MATRIX_ENTRIES:
            return None
        return self._multiply_transposed(torch.eye(len(self.bias), dtype=self.bias.dtype, device=self.bias.device))

    @functools.cached_property
    def magnitudes(self) -> list[Tensor]:
        """The absolute values of the matrices."""
        return [matrix.abs() for matrix in self.matrices or ()]

    @functools.cached_property
    def sparse_magnitudes(self) -> list[tuple[Tensor, Tensor]]:
        """The absolute values of the matrices and their transposes, in compressed rows."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse")
            return [(matrix.to_sparse_csr(), matrix.T.to_sparse_csr()) for matrix in self.magnitudes]

    def matrix_rows(self, indices: Tensor) -> list[Tensor]:
        """Return the rows of M_s with the given indices `(R,)`, for every source, `(R, w_s)`."""
        if self.matrices is not None:
            return [matrix[indices] for matrix in self.matrices]
        one_hot = self.bias.new_zeros(len(indices), len(self.bias))
        return self._multiply_transposed(one_hot.scatter(1, indices[:, None], 1.0))

    def propagate_backward(self, rows: Tensor) -> list[Tensor]:
        """Return `rows M_s` `(..., w_s)` for every source.

        `rows` `(..., w)` are linear functions of the output; the result holds them as linear functions of the sources.
        """
        if self.uses_matrices and self.matrices is not None:
            return [rows @ matrix for matrix in self.matrices]
        return self._multiply_transposed(rows)

    def evaluate(self, values: list[Tensor]) -> Tensor:
        """Return the outputs `(B, w)` at values `(B, w_s)` of the sources."""
        if self.uses_matrices and self.matrices is not None:
            products = [value @ matrix.T for value, matrix in zip(values, self.matrices, strict=True)]
            return sum(products, self.bias)
        shaped = [value.reshape(-1, *zero.shape) for value, zero in zip(values, self._zeros, strict=True)]
        outputs: Tensor = torch.vmap(self._function)(*shaped)
        return outputs.reshape(len(outputs), -1)

    def evaluate_scaled(self, row: Tensor, scales: list[float]) -> Tensor:
        """Return the output `(1, w)` at one row `(1, sum of w_s)` of all sources, each multiplied by a number."""
        parts = row.split(self._source_widths, dim=1)
        values = [
            scale * part.reshape(zero.shape) for part, scale, zero in zip(parts, scales, self._zeros, strict=True)
        ]
        return self._function(*values).reshape(1, -1)

    def _multiply_transposed(self, rows: Tensor) -> list[Tensor]:
        multiply = torch.vmap(torch.func.vjp(self._function, *self._zeros)[1])
        flat = rows.reshape(-1, len(self.bias))
        size = max(1, MAX_CHUNK_ENTRIES // max(len(self.bias), *self._source_widths))
        products = [multiply(flat[chunk].reshape(-1, *self._output_shape)) for chunk in chunks(len(flat), size)]
        return [
            torch.cat([product[i] for product in products]).reshape(*rows.shape[:-1], width)
            for i, width in enumerate(self._source_widths)
        ]


@final
@dataclasses.dataclass(frozen=True)
class LipschitzFunction:
    """Function of which only an upper bound of the Lipschitz constant in l2 is known."""

    name: str
    lipschitz: float


@final
@dataclasses.dataclass(frozen=True)
class AffineGraph:
    """Network as affine maps and activations, in double precision.

    Attributes:
        affine_maps: the map before every activation, in order, and last the map that computes the scores.
        activations: the activations; number k, counted from 0, is the source k + 1 of later maps.
    """

    affine_maps: tuple[AffineMap, ...]
    activations: tuple[Activation, ...]

    @property
    def num_classes(self) -> int:
        """The number K of scores."""
        return len(self.affine_maps[-1].bias)

    def scores(self, x: Tensor) -> Tensor:
        """Return the scores `(B, K)` of flattened samples `(B, n)`, in double precision."""
        return self.evaluate_maps(x)[-1]

    def evaluate_maps(self, x: Tensor) -> list[Tensor]:
        """Return the outputs of every affine map, `(B, w)` each, at flattened samples `(B, n)`: the scores last."""
        values = [x.double()]
        outputs = []
        for number, affine_map in enumerate(self.affine_maps):
            outputs.append(affine_map.evaluate([values[source] for source in affine_map.sources]))
            if number < len(self.activations):
                values.append(self.activations[number].value(outputs[-1]))
        return outputs


@final
class LogitMargin(nn.Module):
    """The logit margin `z_label - max_other z` of a classifier, `(B, 1)`, as a classifier to be read."""

    def __init__(self, classifier: Classifier, label: int) -> None:
        super().__init__()
        self.classifier = classifier
        self.label = label

    def forward(self, x: Tensor) -> Tensor:
        """Return the logit margins of samples `(B, *shape)`."""
        scores: Tensor = self.classifier(x)
        count = scores.shape[-1]
        if scores.dim() != 2 or count < 2:
            raise ModelError(
                f"the scores of a sample have the shape {tuple(scores.shape[1:])}; give two or more scores"
            )
        if not 0 <= self.label < count:
            raise ModelError(
                f"label {self.label} is not a class of a network with {count} scores; choose 0 to {count - 1}"
            )
        others = torch.cat([scores[:, : self.label], scores[:, self.label + 1 :]], dim=1)
        return scores[:, self.label : self.label + 1] - (others if count == 2 else others.amax(1, keepdim=True))


def trace_affine_graph(classifier: Classifier, sample: Tensor) -> AffineGraph:
    """Read a classifier as affine maps and activations.

    Any function of torch operations is read, wrappers included, as long as `dimple.tracing.operations` has a rule for
    every operation between the sample and the scores.

    Args:
        classifier: the classifier.
        sample: a sample `(*shape)`; its values do not matter.

    Raises:
        ModelError: if there is no rule for an operation, or if the operations depend on the values of the sample.

    Example:
        >>> graph = trace_affine_graph(nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)), torch.ones(3))
        >>> [len(affine_map.bias) for affine_map in graph.affine_maps]
        [8, 2]
    """
    maps, functions = cut_into_affine_maps(trace_classifier(classifier, sample))
    activations = []
    for function in functions:
        if not isinstance(function, Activation):
            raise refuse_operation(function.name)
        activations.append(function)
    return AffineGraph(maps, tuple(activations))


def cut_into_affine_maps(trace: Trace) -> tuple[tuple[AffineMap, ...], tuple[Activation | LipschitzFunction, ...]]:
    """Return the affine maps of a trace and the functions between them, numbered as in `AffineGraph`.

    Raises:
        ModelError: if there is no rule for an operation.
    """
    reached = _reach_backward(trace, trace.result, set())
    # Every other value is affine in the outputs of the functions and in the sample.
    cuts = [number for number in sorted(reached - {0}) if not _is_affine(trace, number)]
    functions = {number: _read_function(trace, number) for number in cuts}
    sources = [0, *functions]
    outputs = [*(trace.node(number).inputs[0] for number in cuts), trace.result]
    with torch.no_grad():
        maps = tuple(_cut_map(trace, sources, output) for output in outputs)
    return maps, tuple(functions.values())


def refuse_operation(name: str) -> ModelError:
    """Return the error for an operation without a rule."""
    return UnprovenOperationError(name, f"nothing is proven about the operation {name}")


def _reach_backward(trace: Trace, output: int, sources: set[int]) -> set[int]:
    """Return the numbers of the values from which an output is computed, itself and the sources included."""
    reached: set[int] = set()
    stack = [output]
    while stack:
        number = stack.pop()
        if number not in reached:
            reached.add(number)
            stack += () if number in sources or number == 0 else trace.node(number).inputs
    return reached


def _is_affine(trace: Trace, number: int) -> bool:
    """Return whether an operation is proven to be affine in its inputs."""
    node = trace.node(number)
    rule = OPERATIONS.get(node.name)
    if rule is None or not node.is_real or (rule.is_valid and not rule.is_valid(node.args, node.kwargs)):
        return False
    return any(node.dependent_positions <= allowed for allowed in rule.affine_in)


def _read_function(trace: Trace, number: int) -> Activation | LipschitzFunction:
    """Return what is proven about an operation that is not affine.

    Raises:
        ModelError: if nothing is proven about it, or nothing for its arguments.
    """
    node = trace.node(number)
    rule = OPERATIONS.get(node.name)
    if rule is None or not node.is_real or node.dependent_positions != {0} or len(node.inputs) != 1:
        raise refuse_operation(node.name)
    if rule.activation is not None and not any(isinstance(argument, Tensor) for argument in node.args[1:]):
        activation = rule.activation(*node.args[1:], **node.kwargs)
        if activation is not None:
            return activation
    if rule.lipschitz is not None:
        shape = trace.shape_of(node.inputs[0])
        bound = rule.lipschitz if isinstance(rule.lipschitz, float) else rule.lipschitz(shape, *node.args[1:])
        return LipschitzFunction(node.name, bound)
    raise refuse_operation(node.name)


def _cut_map(trace: Trace, sources: list[int], output: int) -> AffineMap:
    """Return the map to a value from the sources on which it depends through affine operations only."""
    reached = _reach_backward(trace, output, set(sources))
    used = [number for number in sources if number in reached]
    if not used:
        raise UnprovenOperationError("constant", "its scores do not depend on the sample")
    steps = sorted(reached - set(used))

    def function(*values: Tensor) -> Tensor:
        known = dict(zip(used, values, strict=True))
        for number in steps:
            known[number] = trace.node(number).run(known)
        return known[output]

    return AffineMap(
        tuple(sources.index(number) for number in used),
        function,
        [torch.zeros(trace.shape_of(number), dtype=torch.float64, device=trace.device) for number in used],
        prefer_matrices=not any(trace.node(number).name == "convolution" for number in steps),
    )
