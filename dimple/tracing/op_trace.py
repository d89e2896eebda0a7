"""What a classifier does to one sample, operation by operation, as a tape from which a Lipschitz bound can be read."""

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

# Modules that are one affine map each, whatever their padding does inside.
LAYERS = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d,
)  # fmt: skip


@final
@dataclasses.dataclass(frozen=True)
class Operation:
    """One entry of a tape.

    Attributes:
        name: of the module, or of the function, such as `relu`.
        call: the operation as a function of its moving inputs alone.
        inputs: the moving inputs: where each stands on the tape, 0 for the sample itself.
        like: the moving inputs, for their shapes.
        arguments, options: all positional and named arguments of a function; none of a module.
        output: the first output.
        module: the layer, where it is one.
    """

    name: str
    call: Callable[..., Any]
    inputs: tuple[int, ...]
    like: tuple[Tensor, ...]
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    output: Tensor
    module: nn.Module | None = None


@final
class Tape(TorchDispatchMode):
    """Records all that depends on the sample; entry i of `operations` is number i + 1, the sample number 0.

    Attributes:
        operations: in the order in which they ran.
        unseen: the names of operations behind whose back something depends on the sample: those that write into memory
            which other tensors see too, and those that turn a tensor into a number of the program.
        result: the number of the entry that made the scores; None where they do not depend on the sample.
    """

    def __init__(self, sample: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self.unseen: list[str] = []
        self.result: int | None = None
        self._inside = 0
        self._numbers = {id(sample): 0}
        # A tensor that is gone could lend its identity to another.
        self._kept = [sample]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation, and record it unless it belongs to a layer."""
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if self._inside:
            return output
        leaves, form = tree_flatten((args, kwargs))
        moving = [number for number, leaf in enumerate(leaves) if id(leaf) in self._numbers]
        name = func.overloadpacket.__name__
        writes = func._schema.is_mutable
        if writes and self._shared(args[0]) and (moving or id(args[0]) in self._numbers):
            self.unseen.append(name)
        if moving:

            def call(*inputs: Tensor) -> Any:
                given = list(leaves)
                for number, value in zip(moving, inputs, strict=True):
                    given[number] = value
                again, others = tree_unflatten(given, form)
                return func(*again, **others)

            self._record(name.rstrip("_") if writes else name, call, [leaves[i] for i in moving], output, args, kwargs)
        return output

    @contextlib.contextmanager
    def layers(self, network: nn.Module) -> Iterator[None]:
        """Take each layer of the network as one operation, by hooks that are gone afterwards."""
        hooks = []
        for name, module in network.named_modules():
            if isinstance(module, LAYERS):
                hooks.append(module.register_forward_pre_hook(self._enter))
                hooks.append(module.register_forward_hook(self._leave(name)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def finish(self, scores: Tensor) -> None:
        """Remember which entry made the scores."""
        self.result = self._numbers.get(id(scores))

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        self._inside += 1

    def _leave(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def leave(module: nn.Module, inputs: Any, output: Any) -> None:
            self._inside -= 1
            if self._inside or (inputs and id(inputs[0]) not in self._numbers):
                return
            if inputs:
                self._record(name, module, [inputs[0]], output, module=module)
            else:
                self.unseen.append(name)

        return leave

    def _record(
        self, name: str, call: Callable[..., Any], inputs: list[Tensor], output: Any, args: Any = (),
        kwargs: Any = None, module: nn.Module | None = None,
    ) -> None:  # fmt: skip
        made = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        if not made:
            self.unseen.append(name)
            return
        numbers = tuple(self._numbers[id(leaf)] for leaf in inputs)
        self.operations.append(
            Operation(name, call, numbers, tuple(inputs), tuple(args), kwargs or {}, made[0], module)
        )
        for leaf in made:
            self._numbers[id(leaf)] = len(self.operations)
            self._kept.append(leaf)

    def _shared(self, written: Any) -> bool:
        """Whether a recorded tensor other than the written one lies in the same memory."""
        memory = written.untyped_storage().data_ptr()
        return written._is_view() or any(
            other is not written and other.untyped_storage().data_ptr() == memory for other in self._kept
        )


def record(classifier: Classifier, sample: Tensor) -> Tape:
    """Run the classifier on one sample `(1, *shape)`; what it does must not depend on the sample's values.

    Raises:
        ModelError: if it is a network in training mode.

    Example:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
        >>> [operation.name for operation in record(network, torch.zeros(1, 3)).operations]
        ['0', 'relu', '2']
    """
    network = classifier if isinstance(classifier, nn.Module) else nn.Module().eval()
    if any(module.training for module in network.modules()):
        raise ModelError(f"{type(network).__name__} is in training mode; call .eval() on it, or measure a frozen copy")
    sample = sample.detach().clone()
    tape = Tape(sample)
    with torch.no_grad(), tape.layers(network), tape:
        scores = classifier(sample)
    tape.finish(scores)
    return tape
