"""Per-sample arithmetic for samples of any shape, random generators, and the box that bounds the inputs."""

import collections
import contextlib
import dataclasses
import hashlib
import math
import sys
from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any, TypeVar, final

import torch
from torch import Tensor

from dimple.errors import DeviceError, ShapeError, UsageError
from dimple.limits import require_memory

T = TypeVar("T")
# An l2 norm is plain between the roots of the smallest and the largest number, this factor away from both.
NORM_SAFETY = 2.0**20


@final
@dataclasses.dataclass(frozen=True)
class Box:
    """The axis-parallel box `low <= x <= high` of valid inputs.

    Args:
        low: one number for every coordinate, or numbers that broadcast to one sample, such as `(3, 1, 1)` for a bound
            of each channel.
        high: the same for the upper bounds.

    Raises:
        UsageError: if a bound is no finite number and no array of them.
        ShapeError: if a lower bound is not below the upper one.

    Example:
        >>> Box(0.0, 1.0).clamp(torch.tensor([[-1.0, 0.5]]))
        tensor([[0.0000, 0.5000]])
        >>> Box(0.0, [1.0, 0.25]).clamp(torch.tensor([[-1.0, 0.5]]))
        tensor([[0.0000, 0.2500]])
    """

    low: float | Tensor = 0.0
    high: float | Tensor = 1.0

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, _as_bound(getattr(self, name)))
        try:
            low, high = torch.broadcast_tensors(*(torch.as_tensor(bound).cpu() for bound in (self.low, self.high)))
        except RuntimeError:
            raise ShapeError("Box: low and high have shapes that do not broadcast to one another") from None
        wrong = low >= high
        if bool(wrong.any()):
            place = torch.nonzero(wrong)[0].tolist() or ""
            raise ShapeError(
                f"Box: low{place} {float(low[wrong][0])} must be below high{place} {float(high[wrong][0])}"
            )

    def for_samples(self, x: Tensor) -> "Box":
        """Return the same box with arrays that have the shape of a sample of `x`, and its type and device.

        Raises:
            ShapeError: if the bounds do not broadcast to one sample.
        """
        try:
            low, high = (
                bound if isinstance(bound, float) else bound.to(x).expand(x.shape[1:])
                for bound in (self.low, self.high)
            )
        except RuntimeError:
            shapes = [tuple(bound.shape) for bound in (self.low, self.high) if isinstance(bound, Tensor)]
            raise ShapeError(
                f"bounds of the shape {shapes[0]} do not broadcast to a sample of the shape {tuple(x.shape[1:])}; give "
                "numbers, or arrays such as (C, 1, 1) for a bound of each channel"
            ) from None
        return Box(low, high)

    def for_rows(self, x: Tensor) -> "Box":
        """Return the box of the samples as rows `(B, n)`: its bounds are numbers or `(n,)`."""
        box = self.for_samples(x)
        return Box(*(bound if isinstance(bound, float) else bound.flatten() for bound in (box.low, box.high)))

    def clamp(self, x: Tensor) -> Tensor:
        """Return the closest point in the box to each sample, found coordinate by coordinate."""
        box = self.for_samples(x)
        return x.clamp(min=box.low).clamp(max=box.high)

    def to_numpy(self) -> tuple[Any, Any]:
        """Return the lower and the upper bound as numbers or arrays in double precision."""
        low, high = (
            bound if isinstance(bound, float) else bound.double().cpu().numpy() for bound in (self.low, self.high)
        )
        return low, high

    def to_lists(self) -> list[Any]:
        """Return the lower and the upper bound as numbers or nested lists, from which `Box(*lists)` makes the box."""
        return [bound if isinstance(bound, float) else bound.tolist() for bound in (self.low, self.high)]

    @property
    def range(self) -> tuple[float, float]:
        """The smallest lower and the largest upper bound."""
        return float(torch.as_tensor(self.low).min()), float(torch.as_tensor(self.high).max())

    def __str__(self) -> str:
        """Return the range in words, such as `0 to 1`."""
        is_same = all(torch.as_tensor(b).min() == torch.as_tensor(b).max() for b in (self.low, self.high))
        return "{:g} to {:g}".format(*self.range) + ("" if is_same else ", narrower for some coordinates")


def _as_bound(value: Any) -> float | Tensor:
    try:
        bound = value.detach() if isinstance(value, Tensor) else torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(f"a bound is {value!r}; give a number or an array of numbers") from None
    if not bool(bound.isfinite().all()):
        raise UsageError("a bound is nan or inf; give finite numbers, or bounds=None for the full space")
    return bound if bound.dim() else float(bound)


# The bounds of the coordinates: one pair, each a number or an array; None is the full space.
BoundsLike = Box | tuple[Any, Any] | None


def as_box(bounds: BoundsLike) -> Box | None:
    """Return bounds as a box, or None for the full space.

    Raises:
        UsageError: if the bounds are no two numbers or arrays.
        ShapeError: if the lower one is not below the upper one.

    Example:
        >>> as_box((0, 1))
        Box(low=0.0, high=1.0)
    """
    if bounds is None or isinstance(bounds, Box):
        return bounds
    try:
        low, high = bounds
    except (TypeError, ValueError):
        raise UsageError(
            f"bounds is {bounds!r}; give two numbers such as (0, 1), two arrays, or None for the full space"
        ) from None
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
    """Return the `l0`, `l1`, `l2` or `linf` norm of each sample, `(B,)`; `l0` counts the values other than zero.

    Example:
        >>> norm(torch.tensor([[3.0, -4.0]]), "l2"), norm(torch.tensor([[3.0, -4.0]]), "linf")
        (tensor([5.]), tensor([4.]))
    """
    return vector_norm(flatten(x), kind)


def vector_norm(vectors: Tensor, kind: str = "l2", keepdim: bool = False) -> Tensor:
    """Return the `l0`, `l1`, `l2` or `linf` norm over the last axis, also where the squares are beyond the precision.

    Example:
        >>> vector_norm(torch.tensor([3e30, -4e30]))
        tensor(5.0000e+30)
    """
    order = {"l0": 0.0, "l1": 1.0, "l2": 2.0, "linf": torch.inf}[kind]
    lengths: Tensor = torch.linalg.vector_norm(vectors, ord=order, dim=-1, keepdim=keepdim)
    if kind == "l2":
        limits = torch.finfo(lengths.dtype)
        is_extreme = (lengths < NORM_SAFETY * limits.tiny**0.5) | (lengths > limits.max**0.5 / NORM_SAFETY)
        # On an accelerator the question would wait for all work before it, which takes longer than the answer saves.
        if vectors.device.type == "cuda" or bool(is_extreme.any()):
            size = vectors.abs().amax(-1, keepdim=True)
            # A power of two, so that a norm is the same at every scale, to the last bit.
            unit = torch.ldexp(torch.ones_like(size), torch.frexp(size).exponent - 1)
            scaled = torch.linalg.vector_norm(vectors / unit, dim=-1, keepdim=True) * unit
            scaled = torch.where(scaled.isfinite() & (size > 0), scaled, size)
            lengths = torch.where(is_extreme, scaled if keepdim else scaled.squeeze(-1), lengths)
    return lengths


def unit_vectors(vectors: Tensor) -> Tensor:
    """Return vectors `(..., n)` of length 1, whatever their scale; zero for a zero vector.

    Example:
        >>> unit_vectors(torch.tensor([3e-30, -4e-30]))
        tensor([ 0.6000, -0.8000])
    """
    return vectors / vector_norm(vectors, keepdim=True).clamp(min=torch.finfo(vectors.dtype).tiny)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product of each sample of `a` with the same sample of `b`, `(B,)`."""
    return (flatten(a) * flatten(b)).sum(1)


def total_variation(x: Tensor) -> Tensor:
    """Return the sum of the absolute differences of neighbors in each plane of `(..., H, W)`, `(...)`.

    Reference: Rudin, Osher and Fatemi 1992, in the form that takes rows and columns apart.

    Example:
        >>> total_variation(torch.tensor([[0.0, 1.0], [0.0, 3.0]]))
        tensor(6.)
    """
    return x.diff(dim=-1).abs().sum((-2, -1)) + x.diff(dim=-2).abs().sum((-2, -1))


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
    return (norm(part) / norm(total)).square()


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


def pairwise_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return the l2 distances `(N, M)` between rows `(N, n)` and `(M, n)`, from differences of the coordinates.

    The form with inner products, which torch takes for many rows, loses all digits far from the origin.

    Example:
        >>> pairwise_distances(torch.tensor([[1e8, 0.0]]), torch.tensor([[1e8, 3.0]]))
        tensor([[3.]])
    """
    require_memory(8.0 * len(a) * len(b), f"points: have {len(a)} x {len(b)} distances", ShapeError)
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


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
