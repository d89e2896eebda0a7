"""Subspaces worth searching in: frequency bands, principal directions, a line of one's own; and a probe of such lists.

Reference: Ortiz-Jimenez, Modas, Moosavi-Dezfooli, Frossard, "Hold me tight! Influence of discriminative features on
deep network boundaries" (NeurIPS 2020), for margins along the diagonal blocks of the two-dimensional DCT.
"""

import math
from collections.abc import Callable, Mapping
from typing import ClassVar, final

import torch
from torch import Tensor

from dimple.attacks.subspace_constraint import Restriction
from dimple.boundary.boundary import Boundary
from dimple.errors import ShapeError
from dimple.probes.base import Measurement, Probe
from dimple.probes.margin import Margin
from dimple.probes.on_off import OnOff
from dimple.probes.with_null import Compared
from dimple.protocols import TangentField
from dimple.stats.null_bands import DRAWS
from dimple.tensors import flatten


@final
class Subspace:
    """One subspace for all samples, as a tangent field.

    Args:
        columns: orthonormal, `(n, d)`.
    """

    def __init__(self, columns: Tensor) -> None:
        self.columns = columns

    def tangent_basis(self, x: Tensor) -> Tensor:
        """The same columns at every sample, `(B, n, d)`; they take no memory of their own."""
        return self.columns.to(x).expand(len(x), -1, -1)


@final
class Directions:
    """The span of vectors that belong to each sample, such as the line to another image, as a tangent field.

    Args:
        vectors: from samples `(B, *shape)` to one vector each in that shape, or to `(B, d, *shape)`.

    Example:
        >>> to_the_origin = Directions(lambda x: -x)
        >>> to_the_origin.tangent_basis(torch.tensor([[3.0, 4.0]])).squeeze().abs()
        tensor([0.6000, 0.8000])
    """

    def __init__(self, vectors: Callable[[Tensor], Tensor]) -> None:
        self.vectors = vectors

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Orthonormal columns `(B, n, d)`.

        Raises:
            ShapeError: if a sample's vectors are linearly dependent, or no vectors of its shape.
        """
        vectors, n = self.vectors(x).to(x), flatten(x).shape[1]
        if len(vectors) != len(x) or vectors[0].numel() % n:
            raise ShapeError(f"Directions: vectors of shape {tuple(vectors.shape)} for samples {tuple(x.shape)}")
        columns: Tensor
        columns, triangle = torch.linalg.qr(vectors.reshape(len(x), -1, n).mT)
        sizes = triangle.diagonal(dim1=1, dim2=2).abs()
        if not bool((sizes > 1e-6 * sizes.amax(1, keepdim=True)).all()):
            raise ShapeError("Directions: the vectors of a sample are linearly dependent; give fewer")
        return columns


def dct_bands(shape: tuple[int, ...], size: int | None = None, step: int | None = None) -> dict[str, Subspace]:
    """Frequency bands of images, low to high: square blocks along the diagonal of the two-dimensional DCT.

    The band `dct_08` of size 8 holds the frequencies from 8 to 15 in both directions, in all channels.

    Args:
        shape: (C, H, W).
        size: frequencies to a side, a quarter of the image's shorter side if not given: 8 for 32 x 32.
        step: from band to band, a quarter of the size if not given.

    Raises:
        ShapeError: for samples that are no images, or smaller than a block.

    Example:
        >>> bands = dct_bands((3, 32, 32))
        >>> list(bands)[:3], bands["dct_24"].columns.shape
        (['dct_00', 'dct_02', 'dct_04'], torch.Size([3072, 192]))
    """
    if len(shape) != 3:
        raise ShapeError(f"samples of shape {shape} have no frequency bands; images are (C, H, W)")
    channels, height, width = shape
    side = min(height, width)
    size = max(1, side // 4) if size is None else size
    step = max(1, size // 4) if step is None else step
    if not 1 <= size <= side:
        raise ShapeError(f"frequency bands of size {size} do not fit images of {height} x {width}")
    rows, columns, colours = _dct(height), _dct(width), torch.eye(channels, dtype=torch.float64)
    bands = {}
    for start in range(0, side - size + 1, step):
        block = slice(start, start + size)
        waves = torch.einsum("ce,hp,wq->chwepq", colours, rows[:, block], columns[:, block])
        bands[f"dct_{start:02d}"] = Subspace(waves.reshape(math.prod(shape), -1))
    return bands


def _dct(length: int) -> Tensor:
    """The orthonormal waves of the DCT-II as columns, `(length, length)`, float64, slow ones first."""
    place = torch.arange(length, dtype=torch.float64)
    waves = torch.cos(math.pi / length * (place[:, None] + 0.5) * place)
    orthonormal: Tensor = waves / waves.norm(dim=0)
    return orthonormal


def principal_axes(cloud: Tensor) -> Tensor:
    """All principal directions of a cloud `(N, *shape)` as orthonormal columns `(n, n)`, float64, widest first.

    Directions in which the cloud has no extent at all come last, in an arbitrary order. An eigenproblem of size n.
    """
    rows = flatten(cloud).double()
    mean = rows.mean(0)
    covariance = rows.T @ rows / len(rows) - mean[:, None] * mean
    axes: Tensor = torch.linalg.eigh(covariance).eigenvectors
    return axes.flip(1)


def pca_bands(axes: Tensor, dim: int, count: int = 8) -> dict[str, Subspace]:
    """Blocks of `dim` consecutive principal directions, spread evenly from the widest to the narrowest.

    Example:
        >>> list(pca_bands(torch.eye(64), dim=8, count=3))
        ['pca_0000', 'pca_0028', 'pca_0056']
    """
    n = axes.shape[1]
    starts = torch.linspace(0, n - dim, count).round().long().unique().tolist()
    return {f"pca_{start:04d}": Subspace(axes[:, start : start + dim]) for start in starts}


@final
class SubspaceMargin(Probe):
    """The margin within (or off) each of a list of subspaces, beside that within random ones of the same dimension.

    All searches are those of `OnOff`: in l2, free of the input box, with the same budget.

    Args:
        subspaces: name to tangent field.
        off: search off each of them instead.
        draws, budget, starts, seed: as in `OnOff`.

    Columns: `margin_any`, and for each name `margin_<name>` with `_null`, `_null_low`, `_null_high`, all signed.
    Details: `margin_<name>_draws`, `(B, draws)`.

    Example:
        >>> right = Boundary(lambda x: torch.stack([x[:, 0], -x[:, 0]], dim=1))
        >>> axes = {"right": Subspace(torch.tensor([[1.0], [0.0]])), "up": Subspace(torch.tensor([[0.0], [1.0]]))}
        >>> answer = SubspaceMargin(axes)(right, torch.tensor([[2.0, 1.0]]), torch.tensor([0])).columns
        >>> answer["margin_right"].round(decimals=3), answer["margin_up"]
        (tensor([2.]), tensor([inf]))
    """

    def __init__(
        self,
        subspaces: Mapping[str, TangentField],
        off: bool = False,
        draws: int = DRAWS,
        budget: float = 15.0,
        starts: int = 1,
        seed: int = 0,
    ) -> None:
        self.subspaces, self.off, self.draws, self.seed = dict(subspaces), off, draws, seed
        self.search = Margin(budget=budget, starts=starts)

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> Measurement:
        """One search for each subspace, and the draws for each dimension among them."""
        compared = Compared(boundary, x, y, self.search, self.draws, self.seed)
        ways = {name: Restriction(field.tangent_basis(x), self.off) for name, field in self.subspaces.items()}
        beside, details = compared.beside_chance(ways)
        columns = {"margin_any": compared.sign * compared.distance} | beside
        columns = {name: values for name, values in columns.items() if name.startswith("margin_")}
        details = {name: values for name, values in details.items() if name.startswith("margin_")}
        boundary.forwards += compared.free.forwards
        boundary.backwards += compared.free.backwards
        return Measurement(columns, dict.fromkeys(columns, "l2, input units"), details)


@final
class Controlled(Probe):
    """The on/off split with the same search along other subspaces of the same dimension beside it.

    A ratio along the manifold that lies off the random band says little while the principal directions of the data, or
    the directions in which they hardly vary, give the same.

    Args:
        onoff: the probe.
        controls: name to tangent field, of the dimension of the tangents.

    Columns: those of `OnOff`, and `margin_<name>` and `<name>_ratio` for each control, with the nulls of `margin_on`.
    """

    needs_tangents: ClassVar[bool] = True

    def __init__(self, onoff: OnOff, controls: Mapping[str, TangentField]) -> None:
        self.onoff, self.controls = onoff, dict(controls)

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> Measurement:
        """The split, and one search more for each control."""
        assert tangents is not None
        return self.onoff.beside(boundary, x, y, tangents, self.controls)
