"""Margins within given subspaces, such as frequency bands, principal directions, or a line to another image.

Reference: Ortiz-Jimenez, Modas, Moosavi-Dezfooli, Frossard, "Hold me tight! Influence of discriminative features on
deep network boundaries" (NeurIPS 2020), for margins along the diagonal blocks of the two-dimensional DCT.
"""

import math
from collections.abc import Callable, Mapping
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary.boundary import Boundary
from dimple.errors import ShapeError
from dimple.probes.base import Probe, ProbeResult
from dimple.probes.margin import Margin
from dimple.probes.null_comparison import MarginNullComparison
from dimple.probes.on_off import SEARCH_FACTOR, OnOff
from dimple.protocols import TangentField
from dimple.stats.null_bands import DEFAULT_NULL_DRAWS
from dimple.tensors import flatten

# Suffixes of the columns of a null: the median and the ends of the prediction interval.
NULL_SUFFIXES = ("_null", "_null_low", "_null_high")


@final
class Subspace:
    """A tangent field of one subspace for all samples.

    Args:
        basis: orthonormal columns `(n, d)`.
    """

    def __init__(self, basis: Tensor) -> None:
        self.basis = basis

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Return the same columns at every sample, `(B, n, d)`, as a view without a copy for each."""
        return self.basis.to(x).expand(len(x), -1, -1)


@final
class PerSampleSubspace:
    """A tangent field of the span of given vectors at each sample, such as the difference to another image.

    Args:
        vectors: maps samples `(B, *shape)` to one vector each, in the same shape, or to d vectors each,
            `(B, d, *shape)`.

    Example:
        >>> to_the_origin = PerSampleSubspace(lambda x: -x)
        >>> to_the_origin.tangent_basis(torch.tensor([[3.0, 4.0]])).squeeze().abs()
        tensor([0.6000, 0.8000])
    """

    def __init__(self, vectors: Callable[[Tensor], Tensor]) -> None:
        self.vectors = vectors

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Return orthonormal columns `(B, n, d)`.

        Raises:
            ShapeError: if the vectors of a sample are linearly dependent, or differ from the samples in shape.
        """
        vectors = self.vectors(x).to(x)
        n = flatten(x).shape[1]
        if len(vectors) != len(x) or vectors[0].numel() % n:
            raise ShapeError(
                f"PerSampleSubspace: vectors of shape {tuple(vectors.shape)} for samples of shape {tuple(x.shape)}; "
                "they must be (B, *shape) or (B, d, *shape)"
            )
        columns: Tensor
        columns, triangle = torch.linalg.qr(vectors.reshape(len(x), -1, n).mT)
        sizes = triangle.diagonal(dim1=1, dim2=2).abs()
        if not bool((sizes > 1e-6 * sizes.amax(1, keepdim=True)).all()):
            raise ShapeError("PerSampleSubspace: the vectors of a sample are linearly dependent; give fewer")
        return columns


def dct_bands(shape: tuple[int, ...], size: int | None = None, step: int | None = None) -> dict[str, Subspace]:
    """Return frequency bands of images from low to high, as square blocks along the diagonal of the 2-D DCT.

    The band `dct_08` of size 8 contains the frequencies 8 to 15 in both directions, in all channels.

    Args:
        shape: (C, H, W).
        size: the number of frequencies in each direction; None takes a quarter of the shorter side, 8 for 32 x 32.
        step: the difference of the first frequencies of successive bands; None takes a quarter of the size.

    Raises:
        ShapeError: if the samples are not images, or are smaller than a block.

    Example:
        >>> bands = dct_bands((3, 32, 32))
        >>> list(bands)[:3], bands["dct_24"].basis.shape
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
    rows = _dct_matrix(height)
    columns = _dct_matrix(width)
    channel_basis = torch.eye(channels, dtype=torch.float64)
    bands = {}
    for start in range(0, side - size + 1, step):
        block = slice(start, start + size)
        waves = torch.einsum("ce,hp,wq->chwepq", channel_basis, rows[:, block], columns[:, block])
        bands[f"dct_{start:02d}"] = Subspace(waves.reshape(math.prod(shape), -1))
    return bands


def _dct_matrix(length: int) -> Tensor:
    """Return the orthonormal waves of the DCT-II as columns, `(length, length)`, float64, low frequencies first."""
    from scipy.fft import idct

    return torch.from_numpy(idct(np.eye(length), axis=0, norm="ortho"))


def principal_axes(cloud: Tensor) -> Tensor:
    """Return all principal directions of a cloud `(N, *shape)` as orthonormal columns `(n, n)`, float64.

    They are in order of decreasing variance; directions without variance come last, in an arbitrary order. The cost is
    an eigenproblem of size n.
    """
    rows = flatten(cloud).double()
    rows = rows - rows.mean(0)
    axes: Tensor = torch.linalg.eigh(rows.T @ rows).eigenvectors
    return axes.flip(1)


def pca_bands(axes: Tensor, dim: int, count: int = 8) -> dict[str, Subspace]:
    """Return `count` blocks of `dim` consecutive principal directions, evenly spaced from first to last.

    Example:
        >>> list(pca_bands(torch.eye(64), dim=8, count=3))
        ['pca_0000', 'pca_0028', 'pca_0056']
    """
    n = axes.shape[1]
    starts = torch.linspace(0, n - dim, count).round().long().unique().tolist()
    return {f"pca_{start:04d}": Subspace(axes[:, start : start + dim]) for start in starts}


@final
class SubspaceMargin(Probe):
    """The margin within (or orthogonal to) given subspaces, compared with random ones of the same dimension.

    The searches are those of `OnOff`: in l2, without the input bounds, with the same number of passes.

    Args:
        subspaces: tangent fields by name.
        orthogonal: search orthogonally to each of them instead.
        null_draws: as in `OnOff`.
        max_passes: as in `OnOff`.
        restarts: as in `OnOff`.
        seed: as in `OnOff`.

    Columns: `margin_unbounded`, and for each name `margin_<name>` with `_null`, `_null_low`, `_null_high`, all signed.
    Details: `margin_<name>_draws`, `(B, draws)`; `subspace_step` `(B, *shape)`, the shortest step of all.

    Example:
        >>> right = Boundary(lambda x: torch.stack([x[:, 0], -x[:, 0]], dim=1))
        >>> axes = {"right": Subspace(torch.tensor([[1.0], [0.0]])), "up": Subspace(torch.tensor([[0.0], [1.0]]))}
        >>> columns = SubspaceMargin(axes)(right, torch.tensor([[2.0, 1.0]]), torch.tensor([0])).columns
        >>> columns["margin_right"].round(decimals=3), columns["margin_up"]
        (tensor([2.]), tensor([inf]))
    """

    def __init__(
        self,
        subspaces: Mapping[str, TangentField],
        orthogonal: bool = False,
        null_draws: int = DEFAULT_NULL_DRAWS,
        max_passes: float = 15.0,
        restarts: int | None = None,
        seed: int = 0,
    ) -> None:
        self.subspaces = dict(subspaces)
        self.orthogonal = orthogonal
        self.null_draws = null_draws
        self.seed = seed
        self.margin = Margin(max_passes=max_passes, restarts=restarts)

    @property
    def passes_per_sample(self) -> float:
        return self.margin.max_passes * (1 + len(self.subspaces) * (1 + self.null_draws))

    def refined(self) -> "SubspaceMargin":
        """Return the probe with more search, as `OnOff.refined`."""
        max_passes = SEARCH_FACTOR * self.margin.max_passes
        return SubspaceMargin(self.subspaces, self.orthogonal, 1, max_passes, self.margin.restarts, self.seed)

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> ProbeResult:
        comparison = MarginNullComparison(boundary, x, y, self.margin, self.null_draws, self.seed)
        constraints = {
            name: SubspaceConstraint(field.tangent_basis(x), self.orthogonal) for name, field in self.subspaces.items()
        }
        compared, draws = comparison.compare_with_null(constraints)
        columns = {"margin_unbounded": comparison.sign * comparison.distance}
        details = {}
        for name in self.subspaces:
            columns |= {f"margin_{name}{end}": compared[f"margin_{name}{end}"] for end in ("", *NULL_SUFFIXES)}
            details[f"margin_{name}_draws"] = draws[f"margin_{name}_draws"]
        details["subspace_step"] = comparison.step
        boundary.forwards += comparison.unbounded_boundary.forwards
        boundary.backwards += comparison.unbounded_boundary.backwards
        return ProbeResult(columns, dict.fromkeys(columns, "l2, input units"), details)


@final
class OnOffWithControls(Probe):
    """The on- and off-manifold margins together with the margins along control subspaces of the same dimension.

    A ratio along the manifold outside of the prediction interval means little if the principal directions of the data,
    or the directions of their smallest variance, give the same ratio.

    Args:
        on_off: the probe.
        controls: tangent fields by name, of the dimension of the tangent spaces.

    Columns: those of `OnOff`, and `margin_<name>` and `margin_<name>_ratio` for each control, with the nulls of
    `margin_on`.
    """

    needs_tangents: ClassVar[bool] = True

    def __init__(self, on_off: OnOff, controls: Mapping[str, TangentField]) -> None:
        self.on_off = on_off
        self.controls = dict(controls)

    @property
    def passes_per_sample(self) -> float:
        return self.on_off.passes_per_sample + len(self.controls) * self.on_off.max_passes

    def refined(self) -> "OnOffWithControls":
        """Return the probe with more search, as `OnOff.refined`."""
        return OnOffWithControls(self.on_off.refined(), self.controls)

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> ProbeResult:
        assert tangents is not None
        return self.on_off.run_with_controls(boundary, x, y, tangents, self.controls)
