"""Any classifier read as a circuit: affine maps between activations, found by tracing one sample through it."""

import dataclasses
from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from dimple.errors import ModelError
from dimple.protocols import Classifier
from dimple.tensors import chunks, generator
from dimple.tracing.activations import Curve, clip, gelu, rectifier, sigmoid, silu, softplus, tanh

# Entries of a map that is kept as a matrix.
DENSE = 1 << 24
# Entries of the arrays on which an operator works at a time.
ROOM = 1 << 24

CURVES: dict[str, Callable[..., Curve]] = {
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
class Matrix:
    """A matrix `(w, w_s)` with what bounds ask of it again and again: absolute values, and the rows' norms `(w,)`."""

    entries: Tensor
    sizes: Tensor
    l1: Tensor
    l2: Tensor
    linf: Tensor

    @classmethod
    def of(cls, entries: Tensor) -> "Matrix":
        """All of it from the entries."""
        sizes = entries.abs()
        return cls(entries, sizes, sizes.sum(1), entries.norm(dim=1), sizes.amax(1))


@final
class Affine:
    """`y = offset + sum_s M_s v_s`: a map from some sources, the sample (0) or activations (1, 2, ...), flattened.

    Attributes:
        sources: their numbers.
        offset: `(w,)`.
        matrices: `M_s` in the order of the sources; None where they are too large to keep.
        dense: whether a product with the matrices is the way to pull; a convolution is cheaper by itself.
    """

    matrices: list[Matrix] | None

    def __init__(
        self, sources: tuple[int, ...], function: Callable[..., Tensor], zeros: list[Tensor], dense: bool
    ) -> None:
        self.sources = sources
        value, pull = torch.func.vjp(function, *zeros)[:2]
        self._pull = pull
        self._function = function
        self._shape = value.shape
        self._shapes = [zero.shape for zero in zeros]
        self._widths = [zero.numel() for zero in zeros]
        self.offset = value.reshape(-1).detach()
        self._require_affine(function, zeros)
        self.dense, self.matrices = False, None
        if len(self.offset) * sum(self._widths) <= DENSE:
            every = torch.arange(len(self.offset), device=self.offset.device)
            self.matrices = [Matrix.of(entries) for entries in self.rows(every)]
            self.dense = dense

    def rows(self, numbers: Tensor) -> list[Tensor]:
        """Some rows of `M_s` for every source, `(R, w_s)`."""
        if self.matrices is not None:
            return [matrix.entries[numbers] for matrix in self.matrices]
        one_hot = self.offset.new_zeros(len(numbers), len(self.offset))
        return self.pull(one_hot.scatter(1, numbers[:, None], 1.0))

    def pull(self, rows: Tensor) -> list[Tensor]:
        """`rows M_s` `(..., w_s)` for every source: linear functions of the output as functions of the sources."""
        if self.dense and self.matrices is not None:
            return [rows @ matrix.entries for matrix in self.matrices]
        flat = rows.reshape(-1, len(self.offset))
        pulled = torch.vmap(self._pull)
        size = max(1, ROOM // max(len(self.offset), *self._widths))
        parts = [pulled(flat[part].reshape(-1, *self._shape)) for part in chunks(len(flat), size)]
        return [
            torch.cat([part[i] for part in parts]).reshape(*rows.shape[:-1], width)
            for i, width in enumerate(self._widths)
        ]

    def push(self, values: list[Tensor]) -> Tensor:
        """The outputs `(B, w)` at values `(B, w_s)` of the sources."""
        if self.dense and self.matrices is not None:
            products = [value @ matrix.entries.T for value, matrix in zip(values, self.matrices, strict=True)]
            return sum(products, self.offset)
        shaped = [value.reshape(-1, *shape) for value, shape in zip(values, self._shapes, strict=True)]
        pushed: Tensor = torch.vmap(self._function)(*shaped)
        return pushed.reshape(len(pushed), -1)

    def _require_affine(self, function: Callable[..., Tensor], zeros: list[Tensor]) -> None:
        """What is no activation of the table has to obey f(a + b) - f(0) = f(a) - f(0) + f(b) - f(0)."""
        stream = generator(0, "affine")
        a, b = ([torch.randn(zero.shape, generator=stream).to(zero) for zero in zeros] for _ in range(2))
        both = function(*(3 * p + q for p, q in zip(a, b, strict=True)))
        separate = 3 * function(*a) + function(*b)
        origin = self.offset.reshape(self._shape)
        size = 1 + float(both.abs().max()) + float(origin.abs().max())
        if not float((both - separate + 3 * origin).abs().max()) <= 1e-8 * size:
            raise ModelError(
                f"no bounds for this network: between its activations it is not affine; known are {', '.join(CURVES)}"
            )


@final
@dataclasses.dataclass(frozen=True)
class Circuit:
    """A network as affine maps and activations, in double precision.

    Attributes:
        affines: the map before every activation in order, and last the one that gives the scores.
        curves: the activations; number k is source k + 1 of later maps.
    """

    affines: tuple[Affine, ...]
    curves: tuple[Curve, ...]

    @property
    def classes(self) -> int:
        """K."""
        return len(self.affines[-1].offset)

    def scores(self, x: Tensor) -> Tensor:
        """The scores `(B, K)` of flat samples `(B, n)`, in double precision."""
        values = [x.double()]
        for affine, curve in zip(self.affines, self.curves, strict=False):
            values.append(curve.value(affine.push([values[source] for source in affine.sources])))
        last = self.affines[-1]
        return last.push([values[source] for source in last.sources])


def circuit(classifier: Classifier, sample: Tensor) -> Circuit:
    """What happens to one sample, as a circuit; any code whose steps torch can trace is read, wrappers included.

    Args:
        sample: `shape`, of the type that the classifier takes; its values do not matter.

    Raises:
        ModelError: if it cannot be traced, or does something else than affine maps and the activations of `CURVES`.

    Example:
        >>> from torch import nn
        >>> read = circuit(nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)), torch.ones(3))
        >>> [len(affine.offset) for affine in read.affines]
        [8, 2]
    """
    try:
        with torch.no_grad():
            traced = make_fx(torch.func.functionalize(lambda x: classifier(x)))(torch.zeros_like(sample)[None])
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0][:200]
        raise ModelError(f"no bounds for this network: tracing it fails: {type(error).__name__}: {first}") from error
    return _Reader(traced, sample).circuit()


@final
class _Reader:
    """A traced graph cut at its activations."""

    def __init__(self, traced: fx.GraphModule, sample: Tensor) -> None:
        self.traced = traced
        self.nodes = list(traced.graph.nodes)
        self.varying = self._varying()
        self.activations = [node for node in self.nodes if node in self.varying and _name(node) in CURVES]
        inputs = next(node for node in self.nodes if node.op == "placeholder")
        self.sources = [inputs, *self.activations]
        self.zeros = {inputs: torch.zeros_like(sample, dtype=torch.float64)[None]}

    def _varying(self) -> set[fx.Node]:
        """The nodes that depend on the sample."""
        varying: set[fx.Node] = set()
        for node in self.nodes:
            if node.op == "placeholder" or (_name(node) != "zeros_like" and varying & set(node.all_input_nodes)):
                varying.add(node)
        return varying

    def circuit(self) -> Circuit:
        affines, curves = [], []
        with torch.no_grad():
            for node in self.activations:
                before = node.args[0]
                assert isinstance(before, fx.Node)
                affines.append(self.affine(before))
                curves.append(CURVES[_name(node)](*node.args[1:]))
                if node.kwargs:
                    raise ModelError(f"no bounds for {_name(node)} with {dict(node.kwargs)}; use its default form")
                self.zeros[node] = torch.zeros(affines[-1]._shape).to(affines[-1].offset)
            (result,) = next(node for node in self.nodes if node.op == "output").args
            if not isinstance(result, fx.Node) or result not in self.varying:
                raise ModelError("no bounds for this classifier: its scores do not depend on the sample")
            affines.append(self.affine(result))
        return Circuit(tuple(affines), tuple(curves))

    def affine(self, target: fx.Node) -> Affine:
        """The map from the sources that `target` stands on."""
        needed, used, stack = set(), set(), [target]
        while stack:
            node = stack.pop()
            if node in needed:
                continue
            needed.add(node)
            if node in self.sources:
                used.add(node)
            else:
                stack += node.all_input_nodes
        sources = [node for node in self.sources if node in used]
        steps = [node for node in self.nodes if node in needed and node not in used]

        def function(*values: Tensor) -> Tensor:
            known: dict[fx.Node, Any] = dict(zip(sources, values, strict=True))
            for node in steps:
                known[node] = self._step(node, known)
            reached: Tensor = known[target]
            return reached

        dense = not any(_name(node) == "convolution" for node in steps)
        return Affine(
            tuple(self.sources.index(node) for node in sources), function, [self.zeros[node] for node in sources], dense
        )

    def _step(self, node: fx.Node, known: dict[fx.Node, Any]) -> Any:
        """One operation of the trace, in double precision."""
        if node.op == "get_attr":
            constant = getattr(self.traced, str(node.target))
            return constant.double() if constant.is_floating_point() else constant
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda other: known[other])
        if _name(node) == "_to_copy":
            return args[0]
        if "dtype" in kwargs and kwargs["dtype"] in (torch.float32, torch.float16, torch.bfloat16):
            kwargs = {**kwargs, "dtype": torch.float64}
        assert callable(node.target)
        return node.target(*args, **kwargs)


def _name(node: fx.Node) -> str:
    """`relu` of `aten.relu.default`; the empty string for what is no operation."""
    return node.target.overloadpacket.__name__ if isinstance(node.target, torch._ops.OpOverload) else ""
