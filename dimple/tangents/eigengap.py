"""The dimension of neighborhoods from their widest eigengap, in comparison with points that have no direction."""

import dataclasses
import functools
from typing import final

import torch
from torch import Tensor

from dimple.linalg.symmetric import symmetric_eigen
from dimple.tangents.base import NOISE_FLOOR
from dimple.tensors import generator

# Samples of points without a direction, whose spectra are averaged.
NULL_SAMPLES = 64
# A larger number of dimensions has the same ratios, relative to the number of points.
MAX_NULL_DIMENSIONS = 4
# A gap counts from this multiple of the ratio in points without a direction on; between these multiples it is doubtful.
MIN_GAP = 2.0
DOUBTFUL_GAPS = (1.3, 3.0)


@final
@dataclasses.dataclass(frozen=True)
class Eigengap:
    """The dimension before the widest gap of a spectrum.

    Attributes:
        dim: the number of directions before the gap; that of the space where none stands out.
        width: the ratio of the variances beside the gap, in units of that of points without a direction.
    """

    dim: int
    width: float

    @property
    def is_doubtful(self) -> bool:
        """True where the gap may be due to chance, or one may be hidden in noise."""
        return DOUBTFUL_GAPS[0] < self.width < DOUBTFUL_GAPS[1]


def find_eigengap(spectra: Tensor, n: int, count: int) -> Eigengap:
    """Find the widest gap in the mean spectrum of neighborhoods, each scaled to its leading variance.

    Variances below a thousandth of the leading one count as zero.

    Args:
        spectra: `(B, m)`, decreasing.
        n: the dimension of the space.
        count: the number of points behind each spectrum; gaps after half of it are not looked for.

    Example:
        >>> find_eigengap(torch.tensor([[1.0, 0.8, 0.01, 0.005]]), 4, 30).dim
        2
        >>> find_eigengap(torch.tensor([[1.0, 0.7]]), 2, 30).dim
        2
    """
    tiny = torch.finfo(spectra.dtype).tiny
    max_dim = max(1, (count - 1) // 2)
    mean = (spectra / spectra[:, :1].clamp(min=tiny)).mean(0).double().cpu()[: max_dim + 1]
    null = isotropic_spectrum(count, min(n, MAX_NULL_DIMENSIONS * count))[: len(mean)]
    mean = mean[: len(null)]
    if len(mean) < 2:
        return Eigengap(1, 1.0)
    widths = (mean[:-1] + NOISE_FLOOR) / (mean[1:] + NOISE_FLOOR) * (null[1:] / null[:-1])
    widest = int(widths.argmax())
    width = float(widths[widest])
    return Eigengap(n if width < MIN_GAP and n <= max_dim else widest + 1, width)


@functools.lru_cache(maxsize=32)
def isotropic_spectrum(count: int, n: int) -> Tensor:
    """Return the mean spectrum of `count` points without a direction in R^n, `(min(count - 1, n),)` float64."""
    points = torch.randn(NULL_SAMPLES, count, n, generator=generator(0, "isotropic", count, n), dtype=torch.float64)
    points = points - points.mean(1, keepdim=True)
    gram = points.mT @ points if n < count else points @ points.mT
    values = symmetric_eigen(gram)[0].flip(1)
    return values.mean(0)[: min(count - 1, n)]
