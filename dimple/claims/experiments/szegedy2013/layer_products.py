"""Norms of layers, their product against the Lipschitz constant that is met, and the printed formula for strides."""

import math
from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import train_network
from dimple.linalg.operator_norm import operator_norm
from dimple.networks import freeze
from dimple.probes.spectra import ascend_jacobian_norm
from dimple.settings import Count, settings
from dimple.tensors import Box

NETWORKS = (
    "network={kind: mlp, widths: [100, 100]}",
    "network={kind: convnet}",
)
STRIDE = 2
# Steps of the ascent of the norm of the Jacobian from each image, and their length.
ASCENT_STEPS = 5
ASCENT_RADIUS = 0.05


@final
@settings
class LayerProducts(Experiment):
    """Fully connected and convolutional networks, trained on digits.

    Columns: `norm_error`, the largest relative difference of the norm of a layer by iteration from the largest singular
    value of its matrix; `product_over_met`, the product of the norms of all layers over the largest norm of the
    Jacobian of the scores that an ascent from the images meets, the smaller one of both networks;
    `product_over_met_null`, the same before training; `printed_over_true`, the formula that the paper prints for the
    norm of a convolution with a stride over the largest singular value of its matrix, for the first layer of the
    convolutional network with circular padding; `exponent`, the power of the stride by which it is too small.

    Args:
        epochs: of training.
        images: of which the Jacobians are taken.
    """

    epochs: Count = 10
    images: Count = 40

    version: ClassVar[int] = 1

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        changes = [f"training.epochs={self.epochs}", f"data.measured={self.images}"]
        trained = []
        untrained = []
        for network in NETWORKS:
            last, samples = train_network("digits", [*changes, network], seed, resources)
            first, _ = train_network("digits", [network, "training.stop={steps: 1}"], seed, resources)
            trained.append(last)
            untrained.append(first)
        x = samples.train[samples.train_rows]
        convolution = next(module for module in trained[-1].modules() if isinstance(module, nn.Conv2d))
        size = (x.shape[2], x.shape[3])
        return {
            "": {
                "norm_error": max(norm_error(network, x) for network in trained),
                "product_over_met": min(product_over_met(network, x, samples.bounds) for network in trained),
                "product_over_met_null": min(product_over_met(network, x, samples.bounds) for network in untrained),
                **describe_stride(convolution.weight.detach(), size, STRIDE),
            }
        }


def product_over_met(network: nn.Module, x: Tensor, bounds: Box | None) -> float:
    """Return the product of the norms of the layers over the largest norm of the Jacobian that is met."""
    boundary = Boundary(freeze(network), bounds)
    _, largest = ascend_jacobian_norm(boundary, x, ASCENT_STEPS, ASCENT_RADIUS)
    return math.prod(norm for norm, _ in layer_norms(network, x)) / float(largest.max())


def norm_error(network: nn.Module, x: Tensor) -> float:
    """Return the largest relative difference of a layer's norm by iteration from that of its matrix."""
    return max(abs(norm / exact - 1) for norm, exact in layer_norms(network, x))


def layer_norms(network: nn.Module, x: Tensor) -> list[tuple[float, float]]:
    """Return the norm of each affine layer of a sequence, by iteration and as the singular value of its matrix."""
    norms = []
    inputs = x[:1].double()
    for module in freeze(network).double().children():
        if isinstance(module, nn.Linear | nn.Conv2d):
            exact = float(torch.linalg.matrix_norm(layer_matrix(module, inputs), ord=2))
            norms.append((operator_norm(module, inputs), exact))
        inputs = module(inputs)
    return norms


def layer_matrix(layer: nn.Module, like: Tensor) -> Tensor:
    """Return the matrix of an affine layer for inputs such as `like` `(1, *shape)`, without its bias."""
    eye = torch.eye(like.numel(), dtype=like.dtype).reshape(-1, *like.shape[1:])
    columns = layer(eye) - layer(torch.zeros_like(like))
    return torch.as_tensor(columns.flatten(1).T)


def describe_stride(weight: Tensor, size: tuple[int, int], stride: int) -> Row:
    """Return the comparison of the printed formula with the norm of the matrix of a circular convolution."""
    ratio = printed_stride_norm(weight, size, stride) / circular_matrix_norm(weight, size, stride)
    return {"printed_over_true": ratio, "exponent": -math.log(ratio) / math.log(stride) if stride > 1 else math.nan}


def circular_matrix_norm(weight: Tensor, size: tuple[int, int], stride: int) -> float:
    """Return the largest singular value of the matrix of a circular convolution `(outputs, inputs, *kernel)`."""
    height, width = weight.shape[2:]

    def convolve(x: Tensor) -> Tensor:
        padded = functional.pad(x, (0, width - 1, 0, height - 1), mode="circular")
        return functional.conv2d(padded, weight.double(), stride=stride)

    like = torch.zeros(1, weight.shape[1], *size, dtype=torch.float64)
    eye = torch.eye(like.numel(), dtype=torch.float64).reshape(-1, *like.shape[1:])
    return float(torch.linalg.matrix_norm(convolve(eye).flatten(1).T, ord=2))


def printed_stride_norm(weight: Tensor, size: tuple[int, int], stride: int) -> float:
    """Return the norm of a convolution with a stride by the formula that the paper prints.

    At each frequency the Fourier transforms of the kernels at all frequencies that alias stand side by side, divided by
    the square of the stride; the norm is the largest one of these matrices.

    Reference: Szegedy et al. 2014, section 4.3.
    """
    spectrum = torch.fft.fft2(weight.double(), s=size)
    rows, columns = (side // stride for side in size)
    blocks = [
        spectrum[:, :, i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]
        for i in range(stride)
        for j in range(stride)
    ]
    matrices = torch.cat(blocks, dim=1).permute(2, 3, 0, 1) / stride**2
    return float(torch.linalg.matrix_norm(matrices, ord=2).max())
