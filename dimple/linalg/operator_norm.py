"""By how much a linear layer can stretch its input: its largest singular value."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.linalg.lanczos import lanczos
from dimple.tensors import generator

# Products of each Lanczos run, and how often it is restarted from the best vector until the value is as exact as asked.
RUN, RESTARTS = 24, 12


def operator_norm(layer: Callable[[Tensor], Tensor], like: Tensor, tolerance: float = 1e-6, seed: int = 0) -> float:
    """The largest singular value of an affine layer on inputs like `like` `(1, *shape)`, of any stride or padding.

    The Krylov form of power iteration with A^T A, through autograd: it approaches the norm from below and stops when
    the residual leaves a relative error of at most `tolerance`.

    Args:
        layer: maps `(B, *shape)`; a bias does not matter.

    Reference: Yoshida and Miyato 2017 for the power iteration; Golub and Van Loan, section 10.1.

    Example:
        >>> round(operator_norm(lambda x: x * torch.tensor([1.0, -3.0]) + 1.0, torch.zeros(1, 2)), 5)
        3.0
    """
    with torch.enable_grad():
        leaf = torch.zeros_like(like, requires_grad=True)
        image = layer(leaf)
        # The transpose is linear in what it is fed, so its own transpose is the layer without its bias.
        fed = torch.zeros_like(image, requires_grad=True)
        (transposed,) = torch.autograd.grad(image, leaf, fed, create_graph=True)

    def gram(rows: Tensor) -> Tensor:
        (ahead,) = torch.autograd.grad(transposed, fed, rows.reshape(like.shape), retain_graph=True)
        (back,) = torch.autograd.grad(image, leaf, ahead, retain_graph=True)
        return back.reshape(1, -1)

    start = torch.randn(1, like.numel(), generator=generator(seed, "operator norm"), dtype=torch.float64).to(like)
    for _ in range(RESTARTS):
        ritz = lanczos(gram, start, min(RUN, like.numel()))
        value, residual = float(ritz.values[0, -1]), float(ritz.residuals[0, -1])
        if residual <= 2 * tolerance * value or value <= 0:
            break
        start = ritz.vector(-1)
    return math.sqrt(max(value, 0.0))


def circular_norm(weight: Tensor, size: tuple[int, ...], stride: int = 1) -> float:
    """The exact operator norm of a convolution on a torus, from the Fourier transform of its kernel.

    A shift by one pixel commutes with it, so that it maps each frequency to itself; a stride folds those that alias
    into one. The usual zero padding differs from it at the rim only.

    Args:
        weight: `(outputs, inputs, *kernel)`, one group.
        size: the shape of the images, at least that of the kernel, and a multiple of the stride.

    Raises:
        ShapeError: if the kernel does not fit on the torus, or the stride does not divide it.

    Reference: Sedghi, Gupta, Long 2019, The singular values of convolutional layers, theorem 6; Szegedy et al. 2014,
    section 4.3, for strides.

    Example:
        >>> round(circular_norm(torch.ones(1, 1, 3, 3), (8, 8)), 5)
        9.0
    """
    kernel = tuple(weight.shape[2:])
    if len(kernel) != len(size) or any(k > s or s % stride for k, s in zip(kernel, size, strict=True)):
        raise ShapeError(
            f"a kernel of {kernel} with stride {stride} does not go round images of {size}; give a size that is as "
            "large in each direction and a multiple of the stride"
        )
    axes = tuple(range(2, 2 + len(size)))
    spectrum = torch.fft.fftn(weight.detach().double(), s=size, dim=axes)
    outputs, inputs = weight.shape[:2]
    # Frequencies that differ by multiples of size / stride are one after the stride: they become further inputs.
    split = [part for s in size for part in (stride, s // stride)]
    spectrum = spectrum.reshape(outputs, inputs, *split)
    aliases, kept = range(2, 2 + len(split), 2), range(3, 3 + len(split), 2)
    matrices = spectrum.permute(*kept, 0, 1, *aliases).reshape(-1, outputs, inputs * stride ** len(size))
    return float(torch.linalg.matrix_norm(matrices, ord=2).max()) / math.sqrt(stride ** len(size))
