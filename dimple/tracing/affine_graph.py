"""Affine graph of any classifier: affine maps between activations, found by tracing one sample through it."""

import dataclasses
from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from dimple.errors import ModelError
from dimple.protocols import Classifier
from dimple.tensors import chunks, generator
from dimple.tracing.activations import Activation, clip, gelu, rectifier, sigmoid, silu, softplus, tanh

# Entries, at most, of a map that is stored as a matrix.
MAX_MATRIX_ENTRIES = 1 << 24
# Entries, at most, of the arrays that a map without a stored matrix processes together.
MAX_CHUNK_ENTRIES = 1 << 24

# The activations by the name of the torch operation; the arguments are those of the operation after the input.
ACTIVATIONS: dict[str, Callable[..., Activation]] = {
    "relu": lambda: rectifier(0.0),
    "leaky_relu": lambda slope=0.01: rectifier(slope),
    "abs": lambda: rectifier(-1.0),
    "hardtanh": lambda low=-1.0, high=1.0: clip(low, high),
    "clamp": lambda low=None, high=None: clip(-torch.inf if low is None else low, torch.inf if high is None else high),
    "clamp_min": lambda low: clip(low=low),
    "tanh": tanh,
    "sigmoid": sigmoid,
    "softplus": lambda beta=1.0, _threshold=20.0: softplus(beta),
    "gelu": gelu,
    "silu": silu,
}


@final
@dataclasses.dataclass(frozen=True)
class MatrixWithNorms:
    """Matrix `(w, w_s)` with the quantities that bounds use often: absolute values, and norms `(w,)` of the rows."""

    entries: Tensor
    abs_entries: Tensor
    row_norms_l1: Tensor
    row_norms_l2: Tensor
    row_norms_linf: Tensor

    @classmethod
    def from_entries(cls, entries: Tensor) -> "MatrixWithNorms":
        """Compute absolute values and norms from the entries."""
        abs_entries = entries.abs()
        return cls(entries, abs_entries, abs_entries.sum(1), entries.norm(dim=1), abs_entries.amax(1))


@final
class AffineMap:
    """Affine map `y = bias + sum_s M_s v_s` of one or more sources s, which are the sample or outputs of activations.

    Sources and output are flattened.

    Attributes:
        sources: the sources; 0 is the sample, 1, 2, ... are the activations.
        bias: `(w,)`.
        matrices: the matrices M_s `(w, w_s)` in the order of the sources; None if they are too large to store.
        uses_matrices: whether products are computed with the matrices; for a convolution the operation is cheaper.
    """

    matrices: list[MatrixWithNorms] | None

    def __init__(
        self, sources: tuple[int, ...], function: Callable[..., Tensor], zeros: list[Tensor], prefer_matrices: bool
    ) -> None:
        self.sources = sources
        value, self._vjp = torch.func.vjp(function, *zeros)[:2]
        self._function = function
        self._output_shape = value.shape
        self._source_shapes = [zero.shape for zero in zeros]
        self._source_widths = [zero.numel() for zero in zeros]
        self.bias = value.reshape(-1).detach()
        self._require_affine(function, zeros)
        self.uses_matrices = False
        self.matrices = None
        if len(self.bias) * sum(self._source_widths) <= MAX_MATRIX_ENTRIES:
            all_rows = torch.arange(len(self.bias), device=self.bias.device)
            self.matrices = [MatrixWithNorms.from_entries(entries) for entries in self.matrix_rows(all_rows)]
            self.uses_matrices = prefer_matrices

    def matrix_rows(self, indices: Tensor) -> list[Tensor]:
        """Return the rows of M_s with the given indices `(R,)`, for every source, `(R, w_s)`."""
        if self.matrices is not None:
            return [matrix.entries[indices] for matrix in self.matrices]
        one_hot = self.bias.new_zeros(len(indices), len(self.bias))
        return self.propagate_backward(one_hot.scatter(1, indices[:, None], 1.0))

    def propagate_backward(self, rows: Tensor) -> list[Tensor]:
        """Return `rows M_s` `(..., w_s)` for every source.

        `rows` `(..., w)` are linear functions of the output; the result holds them as linear functions of the sources.
        """
        if self.uses_matrices and self.matrices is not None:
            return [rows @ matrix.entries for matrix in self.matrices]
        flat = rows.reshape(-1, len(self.bias))
        batched_vjp = torch.vmap(self._vjp)
        size = max(1, MAX_CHUNK_ENTRIES // max(len(self.bias), *self._source_widths))
        products = [batched_vjp(flat[chunk].reshape(-1, *self._output_shape)) for chunk in chunks(len(flat), size)]
        return [
            torch.cat([product[i] for product in products]).reshape(*rows.shape[:-1], width)
            for i, width in enumerate(self._source_widths)
        ]

    def evaluate(self, values: list[Tensor]) -> Tensor:
        """Return the outputs `(B, w)` at values `(B, w_s)` of the sources."""
        if self.uses_matrices and self.matrices is not None:
            products = [value @ matrix.entries.T for value, matrix in zip(values, self.matrices, strict=True)]
            return sum(products, self.bias)
        shaped = [value.reshape(-1, *shape) for value, shape in zip(values, self._source_shapes, strict=True)]
        outputs: Tensor = torch.vmap(self._function)(*shaped)
        return outputs.reshape(len(outputs), -1)

    def _require_affine(self, function: Callable[..., Tensor], zeros: list[Tensor]) -> None:
        """Check `f(3 a + b) = 3 f(a) + f(b) - 3 f(0)` at random a and b.

        Raises:
            ModelError: if it does not hold, because of an operation that is neither affine nor a known activation.
        """
        stream = generator(0, "affine")
        a, b = ([torch.randn(zero.shape, generator=stream).to(zero) for zero in zeros] for _ in range(2))
        combined = function(*(3 * p + q for p, q in zip(a, b, strict=True)))
        separate = 3 * function(*a) + function(*b)
        origin = self.bias.reshape(self._output_shape)
        size = 1 + float(combined.abs().max()) + float(origin.abs().max())
        if not float((combined - separate + 3 * origin).abs().max()) <= 1e-8 * size:
            raise ModelError(
                "no bounds for this network: it is not affine between its activations; "
                f"the known activations are {', '.join(ACTIVATIONS)}"
            )


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
        values = [x.double()]
        for affine_map, activation in zip(self.affine_maps, self.activations, strict=False):
            values.append(activation.value(affine_map.evaluate([values[source] for source in affine_map.sources])))
        last = self.affine_maps[-1]
        return last.evaluate([values[source] for source in last.sources])


def trace_affine_graph(classifier: Classifier, sample: Tensor) -> AffineGraph:
    """Trace one sample through a classifier and return its operations as an affine graph.

    Any classifier that torch can trace is read, wrappers included.

    Args:
        classifier: the classifier.
        sample: a sample `(*shape)` of the dtype that the classifier accepts; its values do not matter.

    Raises:
        ModelError: if it cannot be traced, or contains an operation that is neither affine nor one of `ACTIVATIONS`.

    Example:
        >>> from torch import nn
        >>> graph = trace_affine_graph(nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)), torch.ones(3))
        >>> [len(affine_map.bias) for affine_map in graph.affine_maps]
        [8, 2]
    """
    try:
        with torch.no_grad():
            traced = make_fx(torch.func.functionalize(lambda x: classifier(x)))(torch.zeros_like(sample)[None])
    except Exception as error:
        first_line = (str(error).strip().splitlines() or [""])[0][:200]
        raise ModelError(
            f"no bounds for this network: tracing it fails: {type(error).__name__}: {first_line}"
        ) from error
    return _AffineGraphBuilder(traced, sample).build()


@final
class _AffineGraphBuilder:
    """Builder of an affine graph from a traced graph, which it cuts at the activations."""

    def __init__(self, graph_module: fx.GraphModule, sample: Tensor) -> None:
        self.graph_module = graph_module
        self.nodes = list(graph_module.graph.nodes)
        self.sample_dependent_nodes = self._find_sample_dependent_nodes()
        self.activation_nodes = [
            node for node in self.nodes if node in self.sample_dependent_nodes and _operation_name(node) in ACTIVATIONS
        ]
        input_node = next(node for node in self.nodes if node.op == "placeholder")
        self.source_nodes = [input_node, *self.activation_nodes]
        self.zeros = {input_node: torch.zeros_like(sample, dtype=torch.float64)[None]}

    def _find_sample_dependent_nodes(self) -> set[fx.Node]:
        """Return the nodes that depend on the sample."""
        dependent: set[fx.Node] = set()
        for node in self.nodes:
            if node.op == "placeholder" or (
                _operation_name(node) != "zeros_like" and dependent & set(node.all_input_nodes)
            ):
                dependent.add(node)
        return dependent

    def build(self) -> AffineGraph:
        affine_maps = []
        activations = []
        with torch.no_grad():
            for node in self.activation_nodes:
                input_node = node.args[0]
                assert isinstance(input_node, fx.Node)
                affine_maps.append(self.build_affine_map(input_node))
                activations.append(ACTIVATIONS[_operation_name(node)](*node.args[1:]))
                if node.kwargs:
                    raise ModelError(
                        f"no bounds for {_operation_name(node)} with {dict(node.kwargs)}; use its default form"
                    )
                self.zeros[node] = torch.zeros(affine_maps[-1]._output_shape).to(affine_maps[-1].bias)
            (result,) = next(node for node in self.nodes if node.op == "output").args
            if not isinstance(result, fx.Node) or result not in self.sample_dependent_nodes:
                raise ModelError("no bounds for this classifier: its scores do not depend on the sample")
            affine_maps.append(self.build_affine_map(result))
        return AffineGraph(tuple(affine_maps), tuple(activations))

    def build_affine_map(self, output_node: fx.Node) -> AffineMap:
        """Return the map to `output_node` from the sources on which it depends through affine operations only."""
        needed = set()
        used = set()
        stack = [output_node]
        while stack:
            node = stack.pop()
            if node in needed:
                continue
            needed.add(node)
            if node in self.source_nodes:
                used.add(node)
            else:
                stack += node.all_input_nodes
        sources = [node for node in self.source_nodes if node in used]
        steps = [node for node in self.nodes if node in needed and node not in used]

        def function(*values: Tensor) -> Tensor:
            known: dict[fx.Node, Any] = dict(zip(sources, values, strict=True))
            for node in steps:
                known[node] = self._run_node(node, known)
            output: Tensor = known[output_node]
            return output

        return AffineMap(
            tuple(self.source_nodes.index(node) for node in sources),
            function,
            [self.zeros[node] for node in sources],
            prefer_matrices=not any(_operation_name(node) == "convolution" for node in steps),
        )

    def _run_node(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        """Run one operation of the trace in double precision."""
        if node.op == "get_attr":
            constant = getattr(self.graph_module, str(node.target))
            return constant.double() if constant.is_floating_point() else constant
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda other: values[other])
        if _operation_name(node) == "_to_copy":
            return args[0]
        if "dtype" in kwargs and kwargs["dtype"] in (torch.float32, torch.float16, torch.bfloat16):
            kwargs = {**kwargs, "dtype": torch.float64}
        assert callable(node.target)
        return node.target(*args, **kwargs)


def _operation_name(node: fx.Node) -> str:
    """Return the name of a node's operation, such as `relu` for `aten.relu.default`; else the empty string."""
    return node.target.overloadpacket.__name__ if isinstance(node.target, torch._ops.OpOverload) else ""
