"""Operator norms: the largest singular values of linear layers."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.linalg.lanczos import lanczos
from dimple.tensors import generator

# The number of products of one Lanczos run.
LANCZOS_STEPS = 24
# The maximum number of runs, each from the best vector of the previous one, until the tolerance is reached.
MAX_LANCZOS_RESTARTS = 12


def operator_norm(layer: Callable[[Tensor], Tensor], like: Tensor, tolerance: float = 1e-6, seed: int = 0) -> float:
    """Return the largest singular value of an affine layer of any kind, stride or padding.

    The method is the Krylov form of power iteration with A^T A, computed by autograd. It approaches the norm from below
    and stops when the residual guarantees a relative error of at most `tolerance`.

    Args:
        layer: maps `(B, *shape)` to a tensor; its bias does not matter.
        like: `(1, *shape)`, an input of the shape and dtype for which the norm is computed.
        tolerance: the relative error.
        seed: of the random start vector.

    Reference: Yoshida and Miyato 2017 for the power iteration; Golub and Van Loan, section 10.1.

    Example:
        >>> round(operator_norm(lambda x: x * torch.tensor([1.0, -3.0]) + 1.0, torch.zeros(1, 2)), 5)
        3.0
    """
    with torch.enable_grad():
        leaf = torch.zeros_like(like, requires_grad=True)
        image = layer(leaf)
        # The transposed map is linear in its argument, and its own transpose is the layer without its bias.
        cotangent = torch.zeros_like(image, requires_grad=True)
        (transposed,) = torch.autograd.grad(image, leaf, cotangent, create_graph=True)

    def multiply_by_gram(rows: Tensor) -> Tensor:
        (forward,) = torch.autograd.grad(transposed, cotangent, rows.reshape(like.shape), retain_graph=True)
        (backward,) = torch.autograd.grad(image, leaf, forward, retain_graph=True)
        return backward.reshape(1, -1)

    start = torch.randn(1, like.numel(), generator=generator(seed, "operator norm"), dtype=torch.float64).to(like)
    for _ in range(MAX_LANCZOS_RESTARTS):
        ritz = lanczos(multiply_by_gram, start, min(LANCZOS_STEPS, like.numel()))
        value = float(ritz.values[0, -1])
        residual = float(ritz.residuals[0, -1])
        if residual <= 2 * tolerance * value or value <= 0:
            break
        start = ritz.vector(-1)
    return math.sqrt(max(value, 0.0))


def circular_convolution_norm(weight: Tensor, size: tuple[int, ...], stride: int = 1) -> float:
    """Return the exact operator norm of a convolution with circular padding, from the Fourier transform of its kernel.

    Such a convolution commutes with shifts and therefore maps each frequency to itself; a stride combines the
    frequencies that alias. The convolution with the usual zero padding differs from it at the edges of images only.

    Args:
        weight: `(outputs, inputs, *kernel)`, one group.
        size: the shape of the images: in each direction at least that of the kernel, and a multiple of the stride.
        stride: the same in each direction.

    Raises:
        ShapeError: if the kernel is larger than the images, or if their size is not a multiple of the stride.

    Reference: Sedghi, Gupta, Long 2019, The singular values of convolutional layers, theorem 6; Szegedy et al. 2014,
    section 4.3, for strides.

    Example:
        >>> round(circular_convolution_norm(torch.ones(1, 1, 3, 3), (8, 8)), 5)
        9.0
    """
    kernel = tuple(weight.shape[2:])
    if len(kernel) != len(size) or any(k > s or s % stride for k, s in zip(kernel, size, strict=True)):
        raise ShapeError(
            f"images of {size} do not fit a circular convolution with a kernel of {kernel} and stride {stride}; give a "
            "size that is at least that of the kernel in each direction, and a multiple of the stride"
        )
    axes = tuple(range(2, 2 + len(size)))
    spectrum = torch.fft.fftn(weight.detach().double(), s=size, dim=axes)
    outputs, inputs = weight.shape[:2]
    # Frequencies that differ by multiples of size / stride alias after the stride: they become further inputs.
    split_size = [factor for s in size for factor in (stride, s // stride)]
    spectrum = spectrum.reshape(outputs, inputs, *split_size)
    alias_axes = range(2, 2 + len(split_size), 2)
    frequency_axes = range(3, 3 + len(split_size), 2)
    matrices = spectrum.permute(*frequency_axes, 0, 1, *alias_axes).reshape(-1, outputs, inputs * stride ** len(size))
    return float(torch.linalg.matrix_norm(matrices, ord=2).max()) / math.sqrt(stride ** len(size))
