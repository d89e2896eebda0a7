"""The table of torch operations with proven rules; a network that contains any other operation is refused."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor

from dimple.errors import ModelError
from dimple.tracing.activations import (
    Activation,
    clip,
    gelu,
    rectifier,
    sigmoid,
    silu,
    softplus,
    tanh,
)

# Entries, at most, of an image over which a maximum is taken.
MAX_POOLED_ENTRIES = 4096


@final
@dataclasses.dataclass(frozen=True)
class Rule:
    """Proven facts about one operation whose other arguments do not depend on the sample.

    Attributes:
        affine_in: sets of argument positions; the operation is affine in the arguments of one set together.
        is_valid: a condition of this on all positional and all named arguments; None for no condition.
        activation: for a function applied to each entry, the map from the further arguments to its properties; None
            for arguments with which nothing is proven.
        expansion: the same operation composed of others of this table.
        lipschitz: for all other functions, an upper bound of the Lipschitz constant in l2, or its map from the shape of
            the input and the further arguments.
    """

    affine_in: tuple[frozenset[int], ...] = ()
    is_valid: Callable[[Sequence[Any], dict[str, Any]], bool] | None = None
    activation: Callable[..., Activation | None] | None = None
    expansion: Callable[..., Any] | None = None
    lipschitz: float | Callable[..., float] | None = None


def maximum_of(candidates: Tensor) -> Tensor:
    """Return the maximum over axis 0 in rounds of pairs, each with `max(a, b) = b + relu(a - b)`."""
    while len(candidates) > 1:
        even = len(candidates) // 2 * 2
        first = candidates[0:even:2]
        second = candidates[1:even:2]
        candidates = torch.cat([second + torch.relu(first - second), candidates[even:]])
    return candidates[0]


def _maximum_along(x: Tensor, dim: int | Sequence[int] = (), keepdim: bool = False) -> Tensor:
    axes = sorted({axis % x.dim() for axis in ([dim] if isinstance(dim, int) else dim or range(x.dim()))})
    others = [axis for axis in range(x.dim()) if axis not in axes]
    maximum = maximum_of(x.permute(*axes, *others).reshape(-1, *(x.shape[axis] for axis in others)))
    return maximum.reshape([1 if axis in axes else size for axis, size in enumerate(x.shape)]) if keepdim else maximum


def _minimum_along(x: Tensor, dim: int | Sequence[int] = (), keepdim: bool = False) -> Tensor:
    return -_maximum_along(-x, dim, keepdim)


def _pooling_windows(pool: Any, sizes: Sequence[int], *settings: Any) -> Tensor:
    """Return which of P entries of an image are in which windows, `(P, *windows)`: torch pools P images of one entry.

    Raises:
        ModelError: if the image has too many entries.
    """
    count = math.prod(sizes)
    if count > MAX_POOLED_ENTRIES:
        raise ModelError(
            f"max pooling of images {tuple(sizes)} needs too much memory; pool {MAX_POOLED_ENTRIES} entries"
        )
    is_member: Tensor = pool(torch.eye(count).reshape(count, 1, *sizes), *settings)[0][:, 0] > 0
    return is_member


def _max_pool(pool: Any, axes: int, x: Tensor, *settings: Any) -> Tensor:
    windows = _pooling_windows(pool, x.shape[-axes:], *settings)
    flat_windows = windows.reshape(len(windows), -1).T.float()
    members = flat_windows.topk(int(flat_windows.sum(1).max()), dim=1)
    # A window at an edge repeats one of its entries.
    positions = torch.where(members[0] > 0, members[1], members[1][:, :1])
    candidates = x.reshape(*x.shape[:-axes], -1)[..., positions]
    return maximum_of(candidates.permute(-1, *range(x.dim() - axes + 1))).reshape(*x.shape[:-axes], *windows.shape[1:])


def _max_pool_factor(pool: Any, axes: int, shape: Sequence[int], *settings: Any) -> float:
    """Return the root of the largest number of windows that contain one entry."""
    windows = _pooling_windows(pool, shape[-axes:], *settings)
    return math.sqrt(int(windows.reshape(len(windows), -1).sum(1).max()))


def _max_pool_rule(name: str, axes: int) -> Rule:
    settings = getattr(torch.ops.aten, name), axes
    return Rule(
        expansion=functools.partial(_max_pool, *settings), lipschitz=functools.partial(_max_pool_factor, *settings)
    )


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.relu(x) - slope * torch.relu(-x)


def _affine(*positions: int) -> Rule:
    return Rule((frozenset(positions),))


def _uses_running_statistics(args: Sequence[Any], _: dict[str, Any]) -> bool:
    return args[5] is False


def _divides_exactly(_: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    return kwargs.get("rounding_mode") is None


# Operations whose result depends on the shape of the sample alone.
CONSTANT_OPERATIONS = frozenset(
    (
        "empty_like",
        "full_like",
        "new_empty",
        "new_empty_strided",
        "new_full",
        "new_ones",
        "new_zeros",
        "ones_like",
        "zeros_like",
    )
)
# Operations of one tensor; numbers, shapes and indices are constants.
LINEAR_OPERATIONS = (
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "_reshape_alias", "_to_copy", "_unsafe_view", "alias", "avg_pool2d",
    "avg_pool3d", "clone", "constant_pad_nd", "convolution", "cumsum", "detach", "diagonal", "expand", "fill", "flip",
    "gather", "index", "index_select", "lift_fresh", "masked_fill", "mean", "narrow", "neg", "permute", "pixel_shuffle",
    "pixel_unshuffle", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "repeat", "replication_pad1d",
    "replication_pad2d", "replication_pad3d", "reshape", "roll", "select", "slice", "split", "split_with_sizes",
    "squeeze", "sum", "t", "transpose", "tril", "triu", "unbind", "unfold", "unsafe_split", "unsqueeze",
    "upsample_bilinear2d", "upsample_linear1d", "upsample_nearest1d", "upsample_nearest2d", "view", "zero",
)  # fmt: skip
OPERATIONS: dict[str, Rule] = {
    **dict.fromkeys(LINEAR_OPERATIONS, _affine(0)),
    **dict.fromkeys(("add", "sub", "rsub"), _affine(0, 1)),
    **dict.fromkeys(("cat", "stack"), _affine(0)),
    **dict.fromkeys(("mul", "mm", "bmm", "mv", "dot"), Rule((frozenset({0}), frozenset({1})))),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), Rule((frozenset({0, 1}), frozenset({0, 2})))),
    "div": Rule((frozenset({0}),), _divides_exactly),
    "where": _affine(1, 2),
    "index_put": _affine(0, 2),
    **dict.fromkeys(("native_batch_norm", "cudnn_batch_norm"), Rule((frozenset({0}),), _uses_running_statistics)),
    "relu": Rule(activation=lambda: rectifier(0.0)),
    "leaky_relu": Rule(activation=lambda slope=0.01: rectifier(slope)),
    "abs": Rule(activation=lambda: rectifier(-1.0)),
    "hardtanh": Rule(activation=lambda low=-1.0, high=1.0: clip(low, high)),
    "clamp": Rule(activation=clip),
    "clamp_min": Rule(activation=lambda low: clip(low)),
    "clamp_max": Rule(activation=lambda high: clip(None, high)),
    "tanh": Rule(activation=tanh),
    "sigmoid": Rule(activation=sigmoid),
    "softplus": Rule(activation=softplus),
    "gelu": Rule(activation=gelu),
    "silu": Rule(activation=silu),
    "elu": Rule(lipschitz=lambda _, alpha=1.0, scale=1.0, factor=1.0: abs(scale) * max(1.0, abs(alpha * factor))),
    "celu": Rule(lipschitz=1.0),
    "hardsigmoid": Rule(lipschitz=1 / 6),
    "hardswish": Rule(lipschitz=1.5),
    "_prelu_kernel": Rule(expansion=_prelu, lipschitz=lambda _, slope: max(1.0, float(slope.abs().max()))),
    "maximum": Rule(expansion=lambda a, b: b + torch.relu(a - b)),
    "minimum": Rule(expansion=lambda a, b: a - torch.relu(a - b)),
    **dict.fromkeys(("amax", "max"), Rule(expansion=_maximum_along, lipschitz=1.0)),
    **dict.fromkeys(("amin", "min"), Rule(expansion=_minimum_along, lipschitz=1.0)),
    **{
        name: _max_pool_rule(name, 3 if "3d" in name else 2)
        for name in ("max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool3d")
    },
    **dict.fromkeys(("sin", "cos", "atan"), Rule(lipschitz=1.0)),
    "mish": Rule(lipschitz=1.09),
    "_softmax": Rule(lipschitz=0.5),
    "_log_softmax": Rule(lipschitz=lambda shape, dim, _: math.sqrt(shape[dim])),
}
