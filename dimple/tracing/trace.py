"""The reader of networks: one sample passes through a classifier, and every operation on it is recorded.

The sample is a tensor without memory of its own, so that no value of it can leave the record unnoticed: functions,
hooks, parametrizations and shared layers are read as they run. Every operation runs in double precision with the
weights converted exactly, whatever the precision of the network.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, Self, final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from dimple.errors import ModelError
from dimple.protocols import Classifier
from dimple.tracing.operations import CONSTANT_OPERATIONS, OPERATIONS


class UnprovenOperationError(ModelError):
    """A network contains an operation about which nothing is proven.

    Attributes:
        operation: name of the operation.
    """

    def __init__(self, operation: str, reason: str) -> None:
        super().__init__(
            f"this network cannot be read: {reason}; use kind: adaptive for its level set, or the probe margin for its "
            "distances"
        )
        self.operation = operation


@final
@dataclasses.dataclass(frozen=True)
class Value:
    """Placeholder of a recorded value in the arguments of an operation."""

    number: int


@final
@dataclasses.dataclass(frozen=True)
class Node:
    """One recorded operation with one output.

    Attributes:
        name: name of the torch operation, such as `relu`.
        function: the operation.
        args: positional arguments, with a `Value` for each that depends on the sample.
        kwargs: named arguments, all constant.
        shape: shape of the output, with a first axis of length 1 for the sample.
        is_real: whether the output is a real tensor.
    """

    name: str
    function: Callable[..., Tensor]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shape: tuple[int, ...]
    is_real: bool

    @property
    def inputs(self) -> tuple[int, ...]:
        """The numbers of the values on which the output depends."""
        return tuple(leaf.number for leaf in _leaves(self.args) if isinstance(leaf, Value))

    @property
    def dependent_positions(self) -> set[int]:
        """The positions of the arguments that depend on the sample."""
        return {i for i, argument in enumerate(self.args) for leaf in _leaves(argument) if isinstance(leaf, Value)}

    def run(self, values: dict[int, Tensor]) -> Tensor:
        """Return the output at the given values."""
        args = _map_leaves(lambda leaf: values[leaf.number] if isinstance(leaf, Value) else leaf, self.args)
        return self.function(*args, **self.kwargs)


@final
@dataclasses.dataclass(frozen=True)
class Trace:
    """The operations by which a classifier computes its scores.

    Attributes:
        shape: `(1, *shape)`, of the sample, which is the value 0.
        nodes: the operations in the order in which they ran; the first computes the value 1.
        result: the number of the value that is the scores.
        device: the device of the sample and of all constants.
    """

    shape: tuple[int, ...]
    nodes: tuple[Node, ...]
    result: int
    device: torch.device

    def node(self, number: int) -> Node:
        """Return the operation that computes a value."""
        return self.nodes[number - 1]

    def shape_of(self, number: int) -> tuple[int, ...]:
        """Return the shape of a value."""
        return self.node(number).shape if number else self.shape


def trace_classifier(classifier: Classifier, sample: Tensor, expand: bool = True) -> Trace:
    """Record the operations of a classifier on one sample `(*shape)`, whose values do not matter.

    Args:
        classifier: any function or module; a module may be of another precision or on another device.
        sample: a sample; its device is that of the trace.
        expand: whether maxima are recorded as the operations of which they are composed.

    Raises:
        ModelError: if the operations depend on the values of the sample, on random numbers, or fail, or if the scores
            do not depend on the sample.

    Example:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> [node.name for node in trace_classifier(network, torch.zeros(3)).nodes]
        ['addmm', 'relu', 'addmm']
    """
    recorder = _Recorder(sample.device, expand)
    dtypes = [value.dtype for value in classifier.parameters()] if isinstance(classifier, nn.Module) else []
    dtype = next((dtype for dtype in dtypes if dtype.is_floating_point), sample.dtype)
    payload = torch.zeros(1, *sample.shape, dtype=torch.float64, device=sample.device)
    try:
        with torch.inference_mode(False), torch.no_grad(), recorder:
            scores = classifier(_TracedTensor(payload, dtype, _Memory(payload, 0), 0))
    except ModelError as error:
        raise recorder.refusal or error from error
    except Exception as error:
        first_line = (str(error).strip().splitlines() or [""])[0][:200]
        reason = f"{type(error).__name__}: {first_line}"
        raise recorder.refusal or UnprovenOperationError(type(error).__name__, reason) from error
    # A network that catches the error takes another branch than it takes with numbers.
    if recorder.refusal is not None:
        raise recorder.refusal
    result = recorder.number(scores) if isinstance(scores, _TracedTensor) else None
    if result is None:
        raise UnprovenOperationError("constant", "its scores do not depend on the sample")
    return Trace(tuple(payload.shape), tuple(recorder.nodes), result, sample.device)


@final
class _Memory:
    """Memory that a tensor and its views share.

    Attributes:
        base: the contiguous tensor that was created with the memory.
        number: the recorded value of that tensor; None while it is constant.
        version: the number of writes of the sample into it.
    """

    def __init__(self, base: Tensor, number: int | None) -> None:
        self.base = base
        self.number = number
        self.version = 0

    def positions(self, view: Tensor) -> Tensor:
        """Return the positions in the flat base of the entries of a view."""
        order = torch.arange(self.base.numel(), device=view.device)
        return order.as_strided(view.shape, view.stride(), view.storage_offset() - self.base.storage_offset())


def _refuse_memory(*_: Tensor) -> Any:
    raise UnprovenOperationError("data_ptr", "it reads or replaces the memory of its samples")


class _TracedTensor(Tensor):
    """A tensor of the trace, with a payload in double precision; torch refuses to convert it to anything else."""

    payload: Tensor
    memory: _Memory
    number: int | None
    version: int
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    # These methods would read memory that the tensor does not have.
    apply_ = map_ = map2_ = data_ptr = property(_refuse_memory)
    # The getter is an operation; the setter is none, and would change the tensor behind the trace.
    data = property(Tensor.detach, _refuse_memory)

    def __new__(cls, payload: Tensor, dtype: torch.dtype, memory: _Memory, number: int | None) -> Self:
        tensor: Self = Tensor._make_wrapper_subclass(
            cls, payload.shape, payload.stride(), payload.storage_offset(), dtype=dtype, device=payload.device
        )
        tensor.payload = payload
        tensor.memory = memory
        tensor.number = number
        tensor.version = memory.version
        return tensor

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        raise ModelError("a sample of a trace is used after it; keep no samples in the attributes of a module")


@final
class _Recorder(TorchDispatchMode):
    """Recorder of all operations within its context."""

    def __init__(self, device: torch.device, expand: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self.expand = expand
        self.nodes: list[Node] = []
        self.refusal: ModelError | None = None

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return false, because the compiler of torch, which is not used, takes seconds to load."""
        return False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        kwargs = kwargs or {}
        tensors = [leaf for leaf in _leaves((args, kwargs)) if isinstance(leaf, _TracedTensor)]
        numbers = [self.number(tensor) for tensor in tensors]
        depends = any(number is not None for number in numbers) and name not in CONSTANT_OPERATIONS
        if torch.Tag.nondeterministic_seeded in function.tags:
            self._refuse(name, "draws random numbers")
        if depends and any(isinstance(leaf, _TracedTensor) for leaf in _leaves(kwargs)):
            self._refuse(name, "has a tensor as a named argument")
        if function._schema.is_mutable:
            return self._write(name, function, args, kwargs, depends)
        found = self._record(name, function, args, kwargs, depends)
        rule = OPERATIONS.get(name)
        if not (depends and self.expand and rule and rule.expansion):
            return found
        with self:
            expanded = rule.expansion(*args, **kwargs)
        return (expanded, *found[1:]) if isinstance(found, tuple) else expanded

    def _record(self, name: str, function: Any, args: Any, kwargs: Any, depends: bool) -> Any:
        """Run an operation on payloads, and record it if it depends on the sample."""
        placeholders = self._convert(args, Value)
        constants = self._convert(kwargs)
        found = function(*self._convert(args), **constants)
        outputs = [found] if isinstance(found, Tensor) else found
        is_tensors = isinstance(outputs, tuple | list) and all(isinstance(output, Tensor) for output in outputs)
        if not is_tensors and depends:
            self._refuse(name, "turns the sample into a number of Python")
        if not is_tensors:
            return found
        wrapped = []
        for i, output in enumerate(outputs):
            select = function if output is found else functools.partial(_select, function, i)
            number = self._append(name, select, placeholders, output, constants) if depends else None
            wrapped.append(self._wrap(output, (args, kwargs), number))
        return wrapped[0] if isinstance(found, Tensor) else type(found)(wrapped)

    def _write(self, name: str, function: Any, args: Any, kwargs: Any, depends: bool) -> Any:
        """Run an operation that writes into a tensor; record its new value and the new value of its memory."""
        target = args[0]
        if depends and not isinstance(target, _TracedTensor):
            self._refuse(name, "writes the sample into a tensor that exists before it")
        if depends and torch.Tag.inplace_view in function.tags:
            self._refuse(name, "changes the shape of a tensor in place")
        if not isinstance(target, _TracedTensor):
            return function(*args, **kwargs)
        memory = target.memory
        before = self._base(memory) if depends else None
        placeholders = self._convert(args, Value)
        constants = self._convert(kwargs)
        function(*self._convert(args), **constants)
        if not depends:
            return target
        if name == "copy_":
            value = self._append("expand", torch.ops.aten.expand, (placeholders[1], [*target.shape]), target.payload)
        else:
            functional = getattr(getattr(torch.ops.aten, name[:-1]), function._overloadname)
            value = self._append(name[:-1], functional, placeholders, target.payload, constants)
        written = (before, [memory.positions(target.payload)], Value(value))
        flat = self._append("index_put", torch.ops.aten.index_put, written, memory.base.flatten())
        shaped = (Value(flat), [*memory.base.shape])
        memory.number = self._append("reshape", torch.ops.aten.reshape, shaped, memory.base)
        memory.version += 1
        target.number = value
        target.version = memory.version
        return target

    def number(self, tensor: _TracedTensor) -> int | None:
        """Return the number of a tensor's value, after writes into its memory; None for a constant."""
        memory = tensor.memory
        if tensor.version != memory.version:
            indices = [memory.positions(tensor.payload)]
            tensor.number = self._append("index", torch.ops.aten.index, (self._base(memory), indices), tensor.payload)
            tensor.version = memory.version
        return tensor.number

    def _base(self, memory: _Memory) -> Any:
        """Return the flat contents of a memory as an argument."""
        if memory.number is None:
            return memory.base.flatten().clone()
        args = (Value(memory.number), [memory.base.numel()])
        return Value(self._append("reshape", torch.ops.aten.reshape, args, memory.base.flatten()))

    def _append(self, name: str, function: Any, args: Any, output: Tensor, kwargs: Any = None) -> int:
        """Record an operation, and return its number."""
        if name == "detach":
            # Derivatives of what is recorded give the matrices of affine maps, and `detach` would hide a part of them.
            function = torch.ops.aten.alias
        self.nodes.append(Node(name, function, args, kwargs or {}, tuple(output.shape), output.is_floating_point()))
        return len(self.nodes)

    def _wrap(self, payload: Tensor, inputs: Any, number: int | None) -> _TracedTensor:
        """Return a tensor with the dtype that the network expects, in the memory of an input or in its own."""
        tensors = [leaf for leaf in _leaves(inputs) if isinstance(leaf, Tensor)]
        dtypes = [leaf for leaf in _leaves(inputs) if isinstance(leaf, torch.dtype)]
        dtypes = dtypes or [leaf.dtype for leaf in tensors if leaf.is_floating_point() and leaf.dim()]
        dtype = payload.dtype
        if payload.is_floating_point() and dtypes:
            dtype = functools.reduce(torch.promote_types, dtypes)
        address = payload.untyped_storage().data_ptr()
        for leaf in tensors:
            if isinstance(leaf, _TracedTensor) and address and leaf.payload.untyped_storage().data_ptr() == address:
                return _TracedTensor(payload, dtype, leaf.memory, number)
        payload = payload.contiguous()
        return _TracedTensor(payload, dtype, _Memory(payload, number), number)

    def _convert(self, arguments: Any, placeholder: type[Value] | None = None) -> Any:
        """Return arguments with payloads for tensors, all real ones in double precision on one device.

        With a placeholder, it replaces those that depend on the sample, and later writes do not change the others.
        """

        def convert(leaf: Any) -> Any:
            if isinstance(leaf, _TracedTensor):
                if placeholder is None:
                    return leaf.payload
                return leaf.payload.clone() if leaf.number is None else placeholder(leaf.number)
            if isinstance(leaf, Tensor):
                return leaf.detach().to(self.device, torch.float64 if leaf.is_floating_point() else leaf.dtype)
            if isinstance(leaf, torch.device):
                return self.device
            return torch.float64 if isinstance(leaf, torch.dtype) and leaf.is_floating_point else leaf

        return _map_leaves(convert, arguments)

    def _refuse(self, name: str, reason: str) -> None:
        self.refusal = self.refusal or UnprovenOperationError(name, f"{name} {reason}")
        raise self.refusal


def _leaves(arguments: Any) -> Iterator[Any]:
    """Yield the arguments in nested tuples, lists and dictionaries."""
    if isinstance(arguments, tuple | list | dict):
        for argument in arguments.values() if isinstance(arguments, dict) else arguments:
            yield from _leaves(argument)
    else:
        yield arguments


def _map_leaves(function: Callable[[Any], Any], arguments: Any) -> Any:
    """Return nested arguments with every leaf replaced by the function's value."""
    if isinstance(arguments, dict):
        return {name: _map_leaves(function, argument) for name, argument in arguments.items()}
    if isinstance(arguments, tuple | list):
        return type(arguments)([_map_leaves(function, argument) for argument in arguments])
    return function(arguments)


def _select(function: Callable[..., Any], index: int, *args: Any, **kwargs: Any) -> Tensor:
    output: Tensor = function(*args, **kwargs)[index]
    return output
