"""Per-sample arithmetic for samples of any shape, random generators, and the box that bounds the inputs."""

import collections
import contextlib
import hashlib
import math
import sys
from collections.abc import Callable, Iterator
from numbers import Integral
from typing import TypeVar, final

import torch
from torch import Tensor

from dimple.errors import DeviceError, ShapeError, UsageError
from dimple.settings import Finite, settings

T = TypeVar("T")


@final
@settings
class Box:
    """The axis-parallel box `low <= x <= high` of valid inputs, with the same bounds for every coordinate.

    Example:
        >>> Box(0.0, 1.0).clamp(torch.tensor([[-1.0, 0.5]]))
        tensor([[0.0000, 0.5000]])
    """

    low: Finite = 0.0
    high: Finite = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ShapeError(f"Box: low {self.low} must be below high {self.high}")

    def clamp(self, x: Tensor) -> Tensor:
        """Return the closest point in the box to each sample, found coordinate by coordinate."""
        return x.clamp(self.low, self.high)


# The bounds of every coordinate; None is the full space.
BoundsLike = Box | tuple[float, float] | None


def as_box(bounds: BoundsLike) -> Box | None:
    """Return bounds as a box, or None for the full space.

    Raises:
        UsageError: if the bounds are no two numbers.
        ShapeError: if the lower one is not below the upper one.

    Example:
        >>> as_box((0, 1))
        Box(low=0.0, high=1.0)
    """
    if bounds is None or isinstance(bounds, Box):
        return bounds
    try:
        low, high = (float(end) for end in bounds)
    except (TypeError, ValueError):
        raise UsageError(f"bounds is {bounds!r}; give two numbers such as (0, 1), or None for the full space") from None
    return Box(low, high)


def flatten(x: Tensor) -> Tensor:
    """Return samples `(B, *shape)` as rows `(B, n)`; B may be 0.

    Example:
        >>> flatten(torch.zeros(4, 3, 2, 2)).shape
        torch.Size([4, 12])
    """
    return x.reshape(len(x), math.prod(x.shape[1:]))


def broadcast_per_sample(values: Tensor, like: Tensor) -> Tensor:
    """Reshape one value per sample `(B,)` so that it broadcasts against `like` `(B, *shape)`."""
    return values.reshape(-1, *([1] * (like.dim() - 1)))


def norm(x: Tensor, kind: str = "l2") -> Tensor:
    """Return the `l1`, `l2` or `linf` norm of each sample, `(B,)`.

    Example:
        >>> norm(torch.tensor([[3.0, -4.0]]), "l2"), norm(torch.tensor([[3.0, -4.0]]), "linf")
        (tensor([5.]), tensor([4.]))
    """
    order = {"l1": 1.0, "l2": 2.0, "linf": float("inf")}
    result: Tensor = torch.linalg.vector_norm(flatten(x), ord=order[kind], dim=1)
    return result


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product of each sample of `a` with the same sample of `b`, `(B,)`."""
    return (flatten(a) * flatten(b)).sum(1)


def bounding_box_diagonal(x: Tensor) -> float:
    """Return the diagonal of the bounding box of points `(N, n)`, a length scale of the point set.

    Example:
        >>> bounding_box_diagonal(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
        5.0
    """
    return float(torch.linalg.vector_norm(x.amax(0) - x.amin(0)))


def squared_norm_fraction(part: Tensor, total: Tensor) -> Tensor:
    """Return the squared norm of each part divided by that of its total, `(B,)`; nan where the total is zero.

    Example:
        >>> squared_norm_fraction(torch.tensor([[3.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
        tensor([0.3600])
    """
    return dot(part, part) / dot(total, total)


def project_onto_span(basis: Tensor, x: Tensor) -> Tensor:
    """Project each sample onto the span of orthonormal columns: Q Q^T x, in the shape of `x`.

    Args:
        basis: `(B, n, d)`, or `(n, d)` for one subspace shared by all samples.
        x: `(B, *shape)` with n numbers per sample.
    """
    rows = flatten(x)
    if basis.dim() == 2:
        return ((rows @ basis) @ basis.T).reshape(x.shape)
    coefficients = torch.bmm(rows[:, None], basis)
    return torch.bmm(coefficients, basis.mT).reshape(x.shape)


def chunks(count: int, size: int) -> Iterator[slice]:
    """Yield slices of length at most `size` that cover `range(count)` in order.

    Raises:
        ShapeError: if the size is no whole number of at least 1.
    """
    if not isinstance(size, Integral) or size < 1:
        raise ShapeError(f"samples cannot be processed in chunks of {size}; give a whole number of at least 1")
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def map_chunks(function: Callable[[slice], T], count: int, size: int) -> list[T]:
    """Return the results of `function` for slices of at most `size` that cover `range(count)` in order.

    Where the memory does not suffice, a slice is halved and tried again, and so are all after it.

    Raises:
        DeviceError: if the memory does not suffice for one sample.

    Example:
        >>> map_chunks(lambda part: part.stop - part.start, 5, 2)
        [2, 2, 1]
    """
    results: list[T] = []
    waiting = collections.deque(chunks(count, size))
    while waiting:
        part = waiting.popleft()
        length = part.stop - part.start
        if length > size:
            waiting.extendleft(slice(at, min(at + size, part.stop)) for at in range(part.start, part.stop, size)[::-1])
            continue
        try:
            results.append(function(part))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if length <= 1:
                raise DeviceError("the memory does not suffice for one sample; use a device with more") from None
            size = length // 2
            waiting.appendleft(part)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    return results


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the memory of a device is exhausted."""
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or any(text in str(error) for text in ("out of memory", "can't allocate memory"))


@contextlib.contextmanager
def run_eagerly() -> Iterator[None]:
    """Run functions and modules that `torch.compile` compiled as they were before their compilation.

    A compiled function gives no second derivative, and not several gradients of one forward pass.
    """
    # The compiler takes seconds to import, and is there only with something that is compiled.
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def apply_in_chunks(function: Callable[[Tensor], Tensor], x: Tensor, size: int) -> Tensor:
    """Apply `function` to `x` chunk by chunk: the same rows with less memory."""
    parts = map_chunks(lambda part: function(x[part]), max(len(x), 1), size)
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def require_samples(x: Tensor, name: str = "x") -> Tensor:
    """Return `x` if it is a finite floating-point batch `(B, *shape)` with at least one sample.

    Raises:
        ShapeError: if it is not, with the dtype or the shape.
    """
    if not x.is_floating_point():
        raise ShapeError(f"{name} has dtype {x.dtype}; samples are floating point: call {name}.float()")
    if x.dim() < 2 or x.shape[0] == 0 or x[0].numel() == 0:
        raise ShapeError(f"{name} has shape {tuple(x.shape)}; samples are (B, *shape) with B >= 1: add a batch axis")
    if not bool(torch.isfinite(x).all()):
        raise ShapeError(f"{name} holds nan or inf; drop or repair these samples before measuring them")
    return x


# The strings in `purpose` are part of the seed: a change of one changes the random numbers, and so all results.
def generator(seed: int, *purpose: object) -> torch.Generator:
    """Return a generator on the CPU for one purpose, so that random numbers for one purpose do not affect another.

    Example:
        >>> a, b = generator(0, "data"), generator(0, "network")
        >>> bool(torch.rand(1, generator=a) == torch.rand(1, generator=b))
        False
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    state = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
    return torch.Generator().manual_seed(state)


def resolve_device(name: str) -> torch.device:
    """Return the device named `auto`, `cpu`, `cuda`, `cuda:1` or `mps`; `auto` selects a CUDA GPU if there is one.

    It equals the device of its tensors: `cuda` has the index of the current one.

    Raises:
        DeviceError: if this machine or this build of torch lacks it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"device {name!r} is unknown; choose auto, cpu, cuda, cuda:INDEX or mps") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"device {name!r} is missing: torch {torch.__version__} finds {torch.cuda.device_count()} CUDA devices; "
            "choose cpu or auto"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device 'mps' is missing; choose cpu or auto")
    if device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"device {name!r} is not supported; choose auto, cpu, cuda or mps")
    return torch.empty(0, device=device).device
