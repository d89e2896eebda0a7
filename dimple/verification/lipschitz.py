"""A bound on how fast the scores can change, from the operations that make them: the product of norms and more."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dimple.linalg.operator_norm import operator_norm
from dimple.tracing.op_trace import Operation, Tape

# By how much one operation can multiply a distance; from the operation and the bounds of its moving inputs to its own.
Rule = Callable[[Operation, Sequence[float]], float]


def lipschitz_bound(tape: Tape, norms: dict[int, float]) -> tuple[float, list[str]]:
    """The l2 bound of a recorded classifier, and the names of the operations that have none.

    A chain gives the product of its norms, a residual block the sum of its branches, so that the bound of each block is
    one plus that of what stands beside the shortcut.

    Args:
        norms: the operator norms of the layers, by their number on the tape.
    """
    bounds, unknown = [1.0], list(tape.unseen)
    for number, operation in enumerate(tape.operations, start=1):
        inputs = [bounds[source] for source in operation.inputs]
        if not any(inputs):
            bounds.append(0.0)
        elif number in norms:
            bounds.append(inputs[0] * norms[number])
        else:
            bounds.append(_bound(operation, inputs))
        if math.isinf(bounds[-1]) and not any(math.isinf(bound) for bound in inputs):
            unknown.append(operation.name)
    bound = 0.0 if tape.result is None else bounds[tape.result]
    return math.inf if tape.unseen else bound, list(dict.fromkeys(unknown))


def _bound(operation: Operation, inputs: Sequence[float]) -> float:
    """By the rule of a function; infinite where there is none, or none for so many moving inputs."""
    rule = RULES.get(operation.name)
    if rule is None or not operation.output.is_floating_point() or any(math.isinf(bound) for bound in inputs):
        return math.inf
    return math.inf if len(inputs) > 1 and rule not in (_sum, _joined) else rule(operation, inputs)


def _times(factor: float) -> Rule:
    return lambda _, inputs: factor * inputs[0]


def _linear(operation: Operation, inputs: Sequence[float]) -> float:
    """A layer written as a function: linear in the one input that moves."""
    if operation.name == "native_batch_norm" and operation.arguments[5]:
        return math.inf
    first = operation.call

    def layer(x: Tensor) -> Tensor:
        output = first(x)
        return output if isinstance(output, Tensor) else output[0]

    return inputs[0] * operator_norm(layer, operation.like[0])


def _sum(operation: Operation, inputs: Sequence[float]) -> float:
    """Sums and differences; an input that is repeated along an axis counts as often as it is."""
    factor = max(1.0, abs(float(operation.options.get("alpha", 1.0))))
    both = zip(inputs, operation.like, strict=True)
    return factor * math.fsum(bound * _repeats(operation, like) for bound, like in both)


def _joined(_: Operation, inputs: Sequence[float]) -> float:
    """Several inputs side by side."""
    return math.hypot(*inputs)


def _scaled(operation: Operation, inputs: Sequence[float]) -> float:
    """Products with a constant and quotients by one."""
    value, by = operation.arguments[:2]
    if operation.options or (operation.name == "div" and value is not operation.like[0]):
        return math.inf
    constant = torch.as_tensor(by if value is operation.like[0] else value).abs().double()
    factor = 1 / float(constant.min()) if operation.name == "div" else float(constant.max())
    return inputs[0] * factor * _repeats(operation, operation.like[0])


def _mean(operation: Operation, inputs: Sequence[float]) -> float:
    """The mean of c entries shortens distances by sqrt(c)."""
    return inputs[0] / math.sqrt(operation.like[0].numel() / operation.output.numel())


def _total(operation: Operation, inputs: Sequence[float]) -> float:
    """The sum of c entries lengthens distances by at most sqrt(c)."""
    return inputs[0] * math.sqrt(operation.like[0].numel() / operation.output.numel())


def _repeated(operation: Operation, inputs: Sequence[float]) -> float:
    return inputs[0] * max(1.0, _repeats(operation, operation.like[0]))


def _max_pool(operation: Operation, inputs: Sequence[float]) -> float:
    """A maximum is as fast as its entries; an entry can be the maximum of as many windows as hold it."""
    kernel, strides = operation.arguments[1], operation.arguments[2] if len(operation.arguments) > 2 else []
    dilated = len(operation.arguments) > 4 and any(step != 1 for step in operation.arguments[4])
    steps = [1] * len(kernel) if dilated else strides or kernel
    return inputs[0] * math.sqrt(math.prod(math.ceil(k / s) for k, s in zip(kernel, steps, strict=True)))


def _leaky(operation: Operation, inputs: Sequence[float]) -> float:
    return inputs[0] * max([1.0, *(abs(float(slope)) for slope in operation.arguments[1:2])])


def _elu(operation: Operation, inputs: Sequence[float]) -> float:
    """ELU, and SELU and CELU through it: `scale` on the right, at most `alpha scale input_scale` on the left."""
    alpha, scale, inside = (*operation.arguments[1:], 1.0, 1.0, 1.0)[:3]
    return inputs[0] * abs(float(scale)) * max(1.0, abs(float(alpha) * float(inside)))


def _log_softmax(operation: Operation, inputs: Sequence[float]) -> float:
    return inputs[0] * math.sqrt(operation.output.shape[operation.arguments[1]])


def _repeats(operation: Operation, like: Tensor) -> float:
    """What broadcasting does to a length."""
    return math.sqrt(operation.output.numel() / like.numel())


SELECTING = (
    "_reshape_alias", "_to_copy", "_unsafe_view", "alias", "amax", "amin", "clone", "constant_pad_nd", "detach",
    "flip", "hardtanh", "clamp", "narrow", "neg", "permute", "relu", "roll", "select", "slice", "split", "squeeze", "t",
    "tanh", "transpose", "unbind", "unsqueeze", "view", "abs", "softplus", "lift_fresh", "clamp_min", "clamp_max",
    "sin", "cos", "atan", "unsafe_split", "split_with_sizes",
)  # fmt: skip
AFFINE = (
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "addmm", "avg_pool2d", "avg_pool3d", "convolution", "cumsum",
    "linear", "mm", "mv", "native_batch_norm", "reflection_pad1d", "reflection_pad2d", "replication_pad1d",
    "replication_pad2d", "upsample_bilinear2d", "upsample_nearest2d",
)  # fmt: skip
RULES: dict[str, Rule] = {
    **dict.fromkeys(SELECTING, _times(1.0)),
    **dict.fromkeys(AFFINE, _linear),
    **dict.fromkeys(("add", "sub", "rsub"), _sum),
    **dict.fromkeys(("cat", "stack"), _joined),
    **dict.fromkeys(("mul", "div"), _scaled),
    **dict.fromkeys(("zeros_like", "ones_like", "new_zeros", "new_ones", "empty_like"), _times(0.0)),
    "copy": _repeated,
    "expand": _repeated,
    "mean": _mean,
    "sum": _total,
    "max_pool2d_with_indices": _max_pool,
    "max_pool3d_with_indices": _max_pool,
    "leaky_relu": _leaky,
    "elu": _elu,
    # The largest slopes of the activations, rounded up.
    "gelu": _times(1.13),
    "silu": _times(1.1),
    "mish": _times(1.09),
    "hardswish": _times(1.5),
    "hardsigmoid": _times(1 / 6),
    "sigmoid": _times(0.25),
    "_softmax": _times(0.5),
    "_log_softmax": _log_softmax,
}
