"""Products of stacked matrices between buffers that are made once."""

from collections.abc import Callable

import torch
from torch import Tensor

# A product with fewer columns is computed as its transpose, which torch does several times as fast.
FEW_COLUMNS = 8


def bind_matmul(a: Tensor, b: Tensor, out: Tensor, bias: Tensor | None = None) -> Callable[[], object]:
    """Return a function without arguments that writes `a @ b + bias` into `out`, for R matrices at once.

    Args:
        a: `(R, M, K)`, with any strides.
        b: `(R, K, N)`.
        out: `(R, M, N)`.
        bias: `(R, M)`, added to each column.

    Example:
        >>> product = torch.zeros(1, 1, 1)
        >>> a, b = torch.tensor([[[2.0]]]), torch.tensor([[[3.0]]])
        >>> multiply = bind_matmul(a, b, product)
        >>> b.fill_(5)
        tensor([[[5.]]])
        >>> _ = multiply()
        >>> product
        tensor([[[10.]]])
    """
    if has_kernel(out) and b.stride(2) == 1:
        return _bind_kernel(a, b, out, bias)
    if bias is not None:
        return lambda: torch.baddbmm(bias[:, :, None], a, b, out=out)
    if out.shape[2] < FEW_COLUMNS <= out.shape[1]:
        transposed = torch.empty_like(out.mT, memory_format=torch.contiguous_format)

        def multiply_transposed() -> None:
            torch.bmm(b.mT, a.mT, out=transposed)
            out.copy_(transposed.mT)

        return multiply_transposed
    return lambda: torch.bmm(a, b, out=out)


def has_kernel(out: Tensor) -> bool:
    """Return whether a product is made of tiles of 8 x 32 floats, on a CPU with registers of 16 floats.

    The second factor of such a product should have adjacent columns.
    """
    return (
        out.dtype == torch.float32
        and out.device.type == "cpu"
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and out.shape[1] >= 8
        and out.shape[2] >= 32
    )


def _bind_kernel(a: Tensor, b: Tensor, out: Tensor, bias: Tensor | None) -> Callable[[], None]:
    from dimple.training.stacked._matmul_kernel import multiply

    start = out.new_zeros(out.shape[:2]) if bias is None else bias
    strides = (a.stride(), b.stride(), out.stride(), start.stride(0))
    shape = (out.shape[0], out.shape[1], a.shape[2], out.shape[2])

    def run() -> None:
        multiply(a.data_ptr(), b.data_ptr(), out.data_ptr(), start.data_ptr(), strides, shape)

    return run
