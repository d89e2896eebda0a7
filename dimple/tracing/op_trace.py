"""Trace of the operations that a classifier applies to one sample, from which a Lipschitz bound can be computed."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from dimple.errors import ModelError
from dimple.protocols import Classifier

# Modules that are recorded as one affine map each, including operations inside such as padding.
AFFINE_LAYERS = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d,
)  # fmt: skip


@final
@dataclasses.dataclass(frozen=True)
class Operation:
    """One entry of an operation trace.

    Attributes:
        name: name of the module, or of the function, such as `relu`.
        function: the operation as a function of the inputs that depend on the sample.
        input_indices: the number in the trace of each of these inputs; 0 is the sample.
        input_tensors: these inputs, for their shapes.
        args: all positional arguments of a function; empty for a module.
        kwargs: all named arguments of a function; empty for a module.
        output: the first output.
        module: the module if the operation is a layer, else None.
    """

    name: str
    function: Callable[..., Any]
    input_indices: tuple[int, ...]
    input_tensors: tuple[Tensor, ...]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Tensor
    module: nn.Module | None = None


@final
class OpTrace(TorchDispatchMode):
    """Recorder of all operations that depend on the sample.

    The sample has number 0 in the trace, entry i of `operations` has number i + 1.

    Attributes:
        operations: the operations in the order in which they ran.
        untracked_operations: names of operations through which values may depend on the sample unnoticed: those that
            write into memory shared with other tensors, and those that turn a tensor into a Python number.
        result_index: the number of the entry that computes the scores; None if they do not depend on the sample.
    """

    def __init__(self, sample: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self.untracked_operations: list[str] = []
        self.result_index: int | None = None
        self._layer_depth = 0
        self._indices = {id(sample): 0}
        # Kept alive, because the id of a deleted tensor can be reused by another.
        self._recorded_tensors = [sample]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation, and record it unless it is part of a layer."""
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if self._layer_depth:
            return output
        leaves, structure = tree_flatten((args, kwargs))
        dependent = [position for position, leaf in enumerate(leaves) if id(leaf) in self._indices]
        name = func.overloadpacket.__name__
        in_place = func._schema.is_mutable
        if in_place and self._is_aliased(args[0]) and (dependent or id(args[0]) in self._indices):
            self.untracked_operations.append(name)
        if dependent:

            def call(*inputs: Tensor) -> Any:
                new_leaves = list(leaves)
                for position, value in zip(dependent, inputs, strict=True):
                    new_leaves[position] = value
                new_args, new_kwargs = tree_unflatten(new_leaves, structure)
                return func(*new_args, **new_kwargs)

            name = name.rstrip("_") if in_place else name
            self._record(name, call, [leaves[i] for i in dependent], output, args, kwargs)
        return output

    @contextlib.contextmanager
    def hook_layers(self, network: nn.Module) -> Iterator[None]:
        """Record each layer of the network as one operation, by hooks that exist only within the context."""
        hooks = []
        for name, module in network.named_modules():
            if isinstance(module, AFFINE_LAYERS):
                hooks.append(module.register_forward_pre_hook(self._enter_layer))
                hooks.append(module.register_forward_hook(self._leave_layer(name)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def set_result(self, scores: Tensor) -> None:
        """Set `result_index` to the number of the entry that computes the scores."""
        self.result_index = self._indices.get(id(scores))

    def _enter_layer(self, module: nn.Module, inputs: Any) -> None:
        self._layer_depth += 1

    def _leave_layer(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def leave(module: nn.Module, inputs: Any, output: Any) -> None:
            self._layer_depth -= 1
            if self._layer_depth or (inputs and id(inputs[0]) not in self._indices):
                return
            if inputs:
                self._record(name, module, [inputs[0]], output, module=module)
            else:
                self.untracked_operations.append(name)

        return leave

    def _record(
        self, name: str, function: Callable[..., Any], inputs: list[Tensor], output: Any, args: Any = (),
        kwargs: Any = None, module: nn.Module | None = None,
    ) -> None:  # fmt: skip
        outputs = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        if not outputs:
            self.untracked_operations.append(name)
            return
        indices = tuple(self._indices[id(tensor)] for tensor in inputs)
        self.operations.append(
            Operation(name, function, indices, tuple(inputs), tuple(args), kwargs or {}, outputs[0], module)
        )
        for tensor in outputs:
            self._indices[id(tensor)] = len(self.operations)
            self._recorded_tensors.append(tensor)

    def _is_aliased(self, written: Any) -> bool:
        """Return whether a recorded tensor other than the written one uses the same memory."""
        memory = written.untyped_storage().data_ptr()
        return written._is_view() or any(
            other is not written and other.untyped_storage().data_ptr() == memory for other in self._recorded_tensors
        )


def trace_operations(model: Classifier, sample: Tensor) -> OpTrace:
    """Run a classifier on one sample `(1, *shape)` and record its operations.

    The sequence of operations must not depend on the values of the sample.

    Raises:
        ModelError: if the classifier is a network in training mode.

    Example:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
        >>> [operation.name for operation in trace_operations(network, torch.zeros(1, 3)).operations]
        ['0', 'relu', '2']
    """
    network = model if isinstance(model, nn.Module) else nn.Module().eval()
    if any(module.training for module in network.modules()):
        raise ModelError(f"{type(network).__name__} is in training mode; call .eval() on it, or measure a frozen copy")
    sample = sample.detach().clone()
    trace = OpTrace(sample)
    with torch.no_grad(), trace.hook_layers(network), trace:
        scores = model(sample)
    trace.set_result(scores)
    return trace
