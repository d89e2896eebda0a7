"""A second device emulated on the CPU: its tensors hold real numbers, and what an accelerator would refuse is recorded.

Within the context of `EmulatedDevice` the device may be given by name. Its tensors lie in the memory of the CPU, and
their memory is marked. A function mode rewrites `device=`, `.to`, `.cpu` and `.device`; a dispatch mode sees every
operation, those of a backward pass too, marks its results and compares the places of its inputs.

It does not show what depends on the kernels of a device: rounding, missing operations, memory and time.
"""

import collections
import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self
from unittest import mock

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode

PACKAGE = f"{Path(__file__).resolve().parent.parent / 'dimple'}{os.sep}"
TORCH = str(Path(torch.__file__).parent)
CPU = torch.device("cpu")
# Marks of freed memory are forgotten each time their number has grown by this much.
MARKS_BETWEEN_SWEEPS = 20_000

# Operations that read a result back, so that the program waits for the device.
WAITING = {
    "_linalg_check_errors", "_local_scalar_dense", "_unique", "_unique2", "bincount", "equal", "masked_select",
    "nonzero", "unique_consecutive", "unique_dim",
}  # fmt: skip
COPYING = {"copy_", "_foreach_copy_", "_to_copy"}
# Operations without the tag of elementwise ones that take a number in a tensor of the CPU.
TAKES_SCALARS = {"fill", "fill_", "masked_fill", "masked_fill_", "where"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}
LIKE = {torch.as_tensor, torch.asarray} | {
    function for function in _device_constructors() if getattr(function, "__name__", "").endswith("_like")
}
# They read their input back to check it, on the CPU alone.
CHECKED_ON_CPU = {nn.functional.one_hot}
CONSTRUCTORS = _device_constructors() - LIKE


@dataclasses.dataclass(frozen=True, order=True)
class Violation:
    """A fault of the code under test: its kind, the torch function and the line that called it."""

    kind: str
    function: str
    site: str


class EmulatedDevice(contextlib.AbstractContextManager["EmulatedDevice"]):
    """Context in which a device exists that keeps its tensors on the CPU.

    Args:
        name: `cuda` or `mps`.

    Attributes:
        device: the device.
        violations: how often each fault was seen: of the kinds `mixed devices`, `numpy`, `generator`, `mixed precision`
            and, on mps, `double precision`.
        synchronizations: how often each line waited for a result of the device, by function and line.
        transfers: how often each line copied from or to the device on purpose, by direction and line.
    """

    def __init__(self, name: str = "cuda") -> None:
        self.device = torch.device(name, 0)
        self.violations: collections.Counter[Violation] = collections.Counter()
        self.synchronizations: collections.Counter[tuple[str, str]] = collections.Counter()
        self.transfers: collections.Counter[tuple[str, str]] = collections.Counter()
        self._marks: dict[int, StorageWeakRef] = {}
        self._sweep_at = MARKS_BETWEEN_SWEEPS
        # Whether the running torch functions have arguments on the device; the innermost is the last.
        self.calls: list[bool] = []

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        answers: dict[str, Any] = {
            "torch.cuda.is_available": lambda: self.device.type == "cuda",
            "torch.cuda.device_count": lambda: int(self.device.type == "cuda"),
            "torch.cuda.get_device_name": lambda _=None: "emulated on the CPU",
            "torch.cuda._lazy_init": lambda: None,
            "torch.cuda.empty_cache": lambda: None,
            "torch.backends.mps.is_available": lambda: self.device.type == "mps",
        }
        for name, answer in answers.items():
            self._stack.enter_context(mock.patch(name, answer))
        self._stack.enter_context(_Operations(self))
        self._stack.enter_context(_Functions(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def holds(self, tensor: Tensor) -> bool:
        """Return whether a tensor lies on the device."""
        storage = _storage(tensor)
        return storage is not None and storage._cdata in self._marks

    def mark(self, values: Any) -> None:
        """Place tensors on the device, together with all that share their memory."""
        for tensor in _tensors(values):
            storage = _storage(tensor)
            if storage is not None and storage._cdata not in self._marks:
                # A weak reference frees the numbers but keeps the address from being used again.
                self._marks[storage._cdata] = StorageWeakRef(storage)
                if self.device.type == "mps" and tensor.dtype == torch.float64:
                    self.report("double precision", "float64")
        if len(self._marks) >= self._sweep_at:
            self._marks = {address: mark for address, mark in self._marks.items() if not mark.expired()}
            self._sweep_at = len(self._marks) + MARKS_BETWEEN_SWEEPS

    def unmark(self, values: Any) -> None:
        """Place tensors on the CPU."""
        for tensor in _tensors(values):
            storage = _storage(tensor)
            if storage is not None:
                self._marks.pop(storage._cdata, None)

    def is_device(self, device: torch.device | str | int | None) -> bool:
        """Return whether a device in the arguments of a function is the emulated one."""
        return device is not None and torch.device(device).type == self.device.type

    def report(self, kind: str, function: str) -> None:
        """Record a fault of the line that is running."""
        self.violations[Violation(kind, function, _site())] += 1

    def waits(self, function: str) -> None:
        """Record that the line that is running waits for the device."""
        self.synchronizations[function, _site()] += 1

    def describe(self, rows: int = 20) -> str:
        """Return a table of the faults, and of the lines that wait most often."""
        lines = [
            f"{count:6} {fault.kind}: {fault.function} in {fault.site}" for fault, count in self.violations.items()
        ]
        lines += [
            f"{count:6} wait: {name} in {site}" for (name, site), count in self.synchronizations.most_common(rows)
        ]
        return "\n".join(lines)


class _Functions(TorchFunctionMode):
    """Mode that reads and rewrites the places in the arguments of torch's Python functions."""

    def __init__(self, emulated: EmulatedDevice) -> None:
        super().__init__()
        self.emulated = emulated

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        emulated = self.emulated
        kwargs = dict(kwargs or {})
        special = SPECIAL.get(function)
        if special is not None:
            return special(emulated, function, args, kwargs)
        target = kwargs.get("device")
        is_marked = any(emulated.holds(tensor) for tensor in _tensors((args, kwargs)))
        if emulated.is_device(target):
            kwargs["device"] = CPU
            stream = kwargs.get("generator")
            if isinstance(stream, torch.Generator):
                emulated.report("generator", function.__name__)
        # What a function without tensors of the device makes lies on the CPU, unless it is a step inside another one.
        emulated.calls.append(is_marked and function not in CONSTRUCTORS and target is None)
        waits = emulated.synchronizations.copy() if function in CHECKED_ON_CPU else None
        try:
            result = function(*args, **kwargs)
        finally:
            emulated.calls.pop()
        if waits is not None:
            emulated.synchronizations = waits
        if emulated.is_device(target):
            emulated.mark(result)
        elif target is not None and torch.device(target) == CPU:
            emulated.unmark(result)
        return result


class _Operations(TorchDispatchMode):
    """Mode that marks the results of operations on the device, and compares the places of their inputs."""

    def __init__(self, emulated: EmulatedDevice) -> None:
        super().__init__()
        self.emulated = emulated

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return false, because the compiler of torch, which is not used, takes seconds to load."""
        return False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        emulated = self.emulated
        kwargs = dict(kwargs or {})
        place = next((leaf for leaf in _leaves((args, kwargs)) if isinstance(leaf, torch.device)), None)
        if function.overloadpacket is torch.ops.aten.to and place is not None:
            dtype = next((leaf for leaf in _leaves((args, kwargs)) if isinstance(leaf, torch.dtype)), None)
            return _move(emulated, Tensor.to, args[:1], {"device": place, "dtype": dtype})
        # Within another dispatch mode and under inference_mode, operations arrive that are composed of others.
        with self:
            parts = function.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        name = function.overloadpacket.__name__
        is_placed = emulated.is_device(kwargs.get("device"))
        if is_placed:
            kwargs["device"] = CPU
        inputs = _tensors((args, kwargs))
        marked = [tensor for tensor in inputs if emulated.holds(tensor)]
        if marked:
            self._compare_places(function, name, args, inputs)
            self._count_waiting(name, args)
            if any(isinstance(leaf, torch.Generator) for leaf in _leaves((args, kwargs))):
                emulated.report("generator", name)
        self._compare_precisions(function, name, inputs)
        result = function(*args, **kwargs)
        inside = bool(emulated.calls and emulated.calls[-1])
        if is_placed or (marked and name not in COPYING) or (name == "_to_copy" and marked) or (not inputs and inside):
            emulated.mark(result)
        return result

    def _compare_places(self, function: Any, name: str, args: Any, inputs: list[Tensor]) -> None:
        """Record an operation that an accelerator refuses because its inputs lie in different places."""
        emulated = self.emulated
        host = [tensor for tensor in inputs if not emulated.holds(tensor) and tensor.device.type != "meta"]
        if name in COPYING:
            if name != "_to_copy" and host:
                direction = "from the device" if not emulated.holds(args[0]) else "to the device"
                emulated.transfers[direction, _site()] += 1
            return
        if name in INDEXING and emulated.holds(args[0]):
            host = [tensor for tensor in _tensors(args[2:]) if not emulated.holds(tensor)]
        takes_scalars = torch.Tag.pointwise in function.tags or name in TAKES_SCALARS or name in INDEXING
        writes_host = function._schema.is_mutable and isinstance(args[0], Tensor) and not emulated.holds(args[0])
        if writes_host or any(tensor.dim() > 0 or not takes_scalars for tensor in host):
            emulated.report("mixed devices", name)

    def _count_waiting(self, name: str, args: Any) -> None:
        if name in WAITING or (name == "repeat_interleave" and len(args) == 1):
            self.emulated.waits(name)
        if name in INDEXING:
            is_mask = any(tensor.dtype in (torch.bool, torch.uint8) for tensor in _tensors(args[1]))
            # One number is filled in where a mask is true without counting its entries.
            fills = name != "index" and isinstance(args[2], Tensor) and args[2].dim() == 0
            if is_mask and not fills:
                self.emulated.waits(f"{name} by a mask")

    def _compare_precisions(self, function: Any, name: str, inputs: list[Tensor]) -> None:
        if name not in COPYING and torch.Tag.pointwise in function.tags:
            dtypes = {tensor.dtype for tensor in inputs if tensor.is_floating_point() and tensor.dim() > 0}
            if len(dtypes) > 1 and any(self.emulated.holds(tensor) for tensor in inputs):
                self.emulated.report("mixed precision", name)


def _move(emulated: EmulatedDevice, function: Any, args: Any, kwargs: Any) -> Any:
    """Convert a tensor to another place, dtype or both, as `Tensor.to`, `.cpu` and `.cuda` do."""
    tensor, *rest = args
    copies = kwargs.pop("copy", False)
    target, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
    if function is Tensor.cpu:
        target = CPU
    elif function is Tensor.cuda:
        target = rest[0] if rest else emulated.device
    else:
        other = kwargs.pop("other", None)
        for value in rest if other is None else [other, *rest]:
            if isinstance(value, Tensor):
                target, dtype = emulated.device if emulated.holds(value) else value.device, value.dtype
            elif isinstance(value, torch.dtype):
                dtype = value
            elif isinstance(value, torch.device | str):
                target = value
    layout = {name: kwargs[name] for name in ("memory_format",) if kwargs.get(name) is not None}
    is_marked = emulated.holds(tensor)
    if target is not None and not emulated.is_device(target) and torch.device(target) != CPU:
        return Tensor.to(tensor, target, **({} if dtype is None else {"dtype": dtype}), copy=copies, **layout)
    goes_to_device = is_marked if target is None else emulated.is_device(target)
    if goes_to_device != is_marked:
        emulated.transfers["to the device" if goes_to_device else "from the device", _site()] += 1
        copies = True
    result = Tensor.to(tensor, dtype=tensor.dtype if dtype is None else dtype, copy=copies, **layout)
    (emulated.mark if goes_to_device else emulated.unmark)(result)
    return result


def _read_device(emulated: EmulatedDevice, function: Any, args: Any, kwargs: Any) -> torch.device:
    return emulated.device if emulated.holds(args[0]) else function(*args)


def _read_is_cuda(emulated: EmulatedDevice, function: Any, args: Any, kwargs: Any) -> bool:
    return emulated.device.type == "cuda" and emulated.holds(args[0])


def _to_numpy(emulated: EmulatedDevice, function: Any, args: Any, kwargs: Any) -> Any:
    if emulated.holds(args[0]):
        emulated.report("numpy", function.__name__)
    return function(*args, **kwargs)


def _from_numpy(emulated: EmulatedDevice, function: Any, args: Any, kwargs: Any) -> Any:
    result = function(*args, **kwargs)
    emulated.unmark(result)
    return result


def _to_list(emulated: EmulatedDevice, function: Any, args: Any, kwargs: Any) -> Any:
    if emulated.holds(args[0]):
        emulated.waits("tolist")
    return function(*args)


def _new_tensor(emulated: EmulatedDevice, function: Any, args: Any, kwargs: Any) -> Any:
    result = function(*args, **kwargs)
    if emulated.holds(args[0]):
        emulated.mark(result)
    return result


SPECIAL: dict[Any, Callable[[EmulatedDevice, Any, Any, Any], Any]] = {
    Tensor.to: _move,
    Tensor.cpu: _move,
    Tensor.cuda: _move,
    Tensor.device.__get__: _read_device,  # type: ignore[attr-defined]
    Tensor.is_cuda.__get__: _read_is_cuda,  # type: ignore[attr-defined]
    Tensor.numpy: _to_numpy,
    Tensor.__array__: _to_numpy,
    Tensor.tolist: _to_list,
    Tensor.new_tensor: _new_tensor,
    Tensor.__deepcopy__: _new_tensor,
    torch.from_numpy: _from_numpy,
}


def _leaves(values: Any) -> Iterator[Any]:
    if isinstance(values, tuple | list):
        for value in values:
            yield from _leaves(value)
    elif isinstance(values, dict):
        yield from _leaves(list(values.values()))
    else:
        yield values


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in _leaves(values) if isinstance(leaf, Tensor)]


def _storage(tensor: Tensor) -> torch.UntypedStorage | None:
    """Return the memory of a tensor, also inside the transforms of torch.func; None where it has none."""
    with torch._C.DisableTorchFunction():
        while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
            tensor = torch._C._functorch.get_unwrapped(tensor)
        if type(tensor) not in (Tensor, nn.Parameter, nn.Buffer) or tensor.layout != torch.strided or tensor.is_meta:
            return None
        return tensor.untyped_storage()


def _site() -> str:
    """Return the line of the package that is running, or of its caller where none is: `file.py:line function`."""
    outside = ""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(PACKAGE):
            return f"{name[len(PACKAGE) :]}:{frame.f_lineno} {frame.f_code.co_name}"
        if not outside and name != __file__ and not name.startswith((TORCH, "<")):
            outside = f"{Path(name).name}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back
    return outside
