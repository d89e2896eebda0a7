"""Upper bounds of the Lipschitz constant of a network, from the operations that compute its scores."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dimple.linalg.operator_norm import operator_norm
from dimple.tracing.op_trace import Operation, OpTrace

# A function from an operation and the Lipschitz bounds of its moving inputs (those that depend on the sample) to the
# bound of its output.
LipschitzRule = Callable[[Operation, Sequence[float]], float]


def lipschitz_bound(trace: OpTrace, norms: dict[int, float]) -> tuple[float, list[str]]:
    """Return the l2 Lipschitz bound of a traced classifier, and the names of the operations without a bound.

    The bound of a sequence of layers is the product of their norms. That of a residual block is the sum over its
    branches: one for the shortcut, plus the bound of the residual branch.

    Args:
        trace: the operations.
        norms: the operator norms of the layers, by their numbers in the trace.

    Returns:
        The bound, infinite if an operation without a bound matters; the names of these operations.
    """
    bounds = [1.0]
    unbounded = list(trace.untracked_operations)
    for number, operation in enumerate(trace.operations, start=1):
        inputs = [bounds[source] for source in operation.input_indices]
        if not any(inputs):
            bounds.append(0.0)
        elif number in norms:
            bounds.append(inputs[0] * norms[number])
        else:
            bounds.append(_operation_bound(operation, inputs))
        if math.isinf(bounds[-1]) and not any(math.isinf(bound) for bound in inputs):
            unbounded.append(operation.name)
    bound = 0.0 if trace.result_index is None else bounds[trace.result_index]
    return math.inf if trace.untracked_operations else bound, list(dict.fromkeys(unbounded))


def _operation_bound(operation: Operation, inputs: Sequence[float]) -> float:
    """Return the bound of a function by its rule; infinite without a rule for it or for its number of moving inputs."""
    rule = LIPSCHITZ_RULES.get(operation.name)
    if rule is None or not operation.output.is_floating_point() or any(math.isinf(bound) for bound in inputs):
        return math.inf
    return math.inf if len(inputs) > 1 and rule not in (_add, _concatenate) else rule(operation, inputs)


def _constant_factor(factor: float) -> LipschitzRule:
    return lambda _, inputs: factor * inputs[0]


def _linear(operation: Operation, inputs: Sequence[float]) -> float:
    """Return the bound of a layer that is called as a function: linear in its one moving input."""
    if operation.name == "native_batch_norm" and operation.args[5]:
        return math.inf

    def layer(x: Tensor) -> Tensor:
        output = operation.function(x)
        return output if isinstance(output, Tensor) else output[0]

    return inputs[0] * operator_norm(layer, operation.input_tensors[0])


def _add(operation: Operation, inputs: Sequence[float]) -> float:
    """Return the bound of a sum or difference; an input that is broadcast has its broadcast factor."""
    factor = max(1.0, abs(float(operation.kwargs.get("alpha", 1.0))))
    inputs_with_bounds = zip(inputs, operation.input_tensors, strict=True)
    return factor * math.fsum(bound * _broadcast_factor(operation, like) for bound, like in inputs_with_bounds)


def _concatenate(_: Operation, inputs: Sequence[float]) -> float:
    """Return the bound of a concatenation."""
    return math.hypot(*inputs)


def _multiply_or_divide(operation: Operation, inputs: Sequence[float]) -> float:
    """Return the bound of a product with a constant or of a quotient by a constant."""
    first, second = operation.args[:2]
    if operation.kwargs or (operation.name == "div" and first is not operation.input_tensors[0]):
        return math.inf
    constant = torch.as_tensor(second if first is operation.input_tensors[0] else first).abs().double()
    factor = 1 / float(constant.min()) if operation.name == "div" else float(constant.max())
    return inputs[0] * factor * _broadcast_factor(operation, operation.input_tensors[0])


def _mean(operation: Operation, inputs: Sequence[float]) -> float:
    """Return the bound of a mean: a mean of c entries divides distances by sqrt(c) or more."""
    return inputs[0] / math.sqrt(operation.input_tensors[0].numel() / operation.output.numel())


def _sum_entries(operation: Operation, inputs: Sequence[float]) -> float:
    """Return the bound of a sum over an axis: a sum of c entries multiplies distances by at most sqrt(c)."""
    return inputs[0] * math.sqrt(operation.input_tensors[0].numel() / operation.output.numel())


def _broadcast(operation: Operation, inputs: Sequence[float]) -> float:
    return inputs[0] * max(1.0, _broadcast_factor(operation, operation.input_tensors[0]))


def _max_pool(operation: Operation, inputs: Sequence[float]) -> float:
    """Return the bound of max pooling: an entry can be the maximum of all windows that contain it."""
    kernel = operation.args[1]
    strides = operation.args[2] if len(operation.args) > 2 else []
    is_dilated = len(operation.args) > 4 and any(dilation != 1 for dilation in operation.args[4])
    # With dilation, up to as many windows as the kernel has entries contain an entry, whatever the strides.
    strides = [1] * len(kernel) if is_dilated else strides or kernel
    return inputs[0] * math.sqrt(math.prod(math.ceil(k / s) for k, s in zip(kernel, strides, strict=True)))


def _leaky_relu(operation: Operation, inputs: Sequence[float]) -> float:
    return inputs[0] * max([1.0, *(abs(float(slope)) for slope in operation.args[1:2])])


def _elu(operation: Operation, inputs: Sequence[float]) -> float:
    """Return the bound of ELU, SELU or CELU: slope `scale` right of 0, at most `alpha scale input_scale` left of it."""
    alpha, scale, input_scale = (*operation.args[1:], 1.0, 1.0, 1.0)[:3]
    return inputs[0] * abs(float(scale)) * max(1.0, abs(float(alpha) * float(input_scale)))


def _log_softmax(operation: Operation, inputs: Sequence[float]) -> float:
    return inputs[0] * math.sqrt(operation.output.shape[operation.args[1]])


def _broadcast_factor(operation: Operation, like: Tensor) -> float:
    """Return the factor by which broadcasting `like` to the shape of the output multiplies lengths."""
    return math.sqrt(operation.output.numel() / like.numel())


NONEXPANSIVE_OPERATIONS = (
    "_reshape_alias", "_to_copy", "_unsafe_view", "alias", "amax", "amin", "clone", "constant_pad_nd", "detach",
    "flip", "hardtanh", "clamp", "narrow", "neg", "permute", "relu", "roll", "select", "slice", "split", "squeeze", "t",
    "tanh", "transpose", "unbind", "unsqueeze", "view", "abs", "softplus", "lift_fresh", "clamp_min", "clamp_max",
    "sin", "cos", "atan", "unsafe_split", "split_with_sizes",
)  # fmt: skip
AFFINE_OPERATIONS = (
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "addmm", "avg_pool2d", "avg_pool3d", "convolution", "cumsum",
    "linear", "mm", "mv", "native_batch_norm", "reflection_pad1d", "reflection_pad2d", "replication_pad1d",
    "replication_pad2d", "upsample_bilinear2d", "upsample_nearest2d",
)  # fmt: skip
LIPSCHITZ_RULES: dict[str, LipschitzRule] = {
    **dict.fromkeys(NONEXPANSIVE_OPERATIONS, _constant_factor(1.0)),
    **dict.fromkeys(AFFINE_OPERATIONS, _linear),
    **dict.fromkeys(("add", "sub", "rsub"), _add),
    **dict.fromkeys(("cat", "stack"), _concatenate),
    **dict.fromkeys(("mul", "div"), _multiply_or_divide),
    **dict.fromkeys(("zeros_like", "ones_like", "new_zeros", "new_ones", "empty_like"), _constant_factor(0.0)),
    "copy": _broadcast,
    "expand": _broadcast,
    "mean": _mean,
    "sum": _sum_entries,
    "max_pool2d_with_indices": _max_pool,
    "max_pool3d_with_indices": _max_pool,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    # The maximum slopes of the activations, rounded up.
    "gelu": _constant_factor(1.13),
    "silu": _constant_factor(1.1),
    "mish": _constant_factor(1.09),
    "hardswish": _constant_factor(1.5),
    "hardsigmoid": _constant_factor(1 / 6),
    "sigmoid": _constant_factor(0.25),
    "_softmax": _constant_factor(0.5),
    "_log_softmax": _log_softmax,
}
