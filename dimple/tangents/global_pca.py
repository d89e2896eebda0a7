"""One linear subspace for a whole cloud, or one for each class of it: the simplest idea of a data manifold."""

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.tangents.base import TangentEstimate, eigengap, expected_angle, left_out, principal
from dimple.tensors import flatten, norm

# A sample is foreign to a subspace beyond this many root mean square distances of the cloud from it.
FAR = 3


@final
class GlobalPCA:
    """The d leading principal directions of a cloud, the same at every sample.

    Args:
        cloud: `(N, *shape)`, N >= 2.
        dim: d; None takes the widest gap of the spectrum.
        tolerance: the expected error, in radians, up to which an estimate is called reliable.

    Raises:
        ShapeError: if the cloud has not the points or the coordinates for d directions.

    Example:
        >>> field = GlobalPCA(torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]), dim=1)
        >>> field.tangent_basis(torch.tensor([[5.0, 5.0]])).abs().squeeze()
        tensor([1., 0.])
    """

    def __init__(self, cloud: Tensor, dim: int | None, tolerance: float = 0.25) -> None:
        points = flatten(cloud)
        most = min(len(points) - 1, points.shape[1])
        if most < 1 or not 1 <= (dim or 1) <= most:
            raise ShapeError(
                f"GlobalPCA: dim is {dim} for {len(points)} points in R^{points.shape[1]}; 1 <= dim <= {most}"
            )
        self.tolerance = tolerance
        self.mean = points.mean(0)
        centred = (points - self.mean) / math.sqrt(len(points))
        if dim is None:
            dim = eigengap(principal(centred[None], 1)[1], points.shape[1], max(1, most // 2))
        self.dim: int = dim
        columns, self.spectrum = principal(centred[None], dim)
        self.columns = columns[0]
        self._error = expected_angle(self.spectrum, dim, self.mean.new_full((1,), len(points) - 1))
        self._radius = torch.linalg.vector_norm(points - self.mean, dim=1).max()

    def tangent_basis(self, x: Tensor) -> Tensor:
        """The same orthonormal columns at every sample, `(B, n, d)`; they take no memory of their own."""
        return self.columns.to(x).expand(len(x), -1, -1)

    def distance(self, x: Tensor) -> Tensor:
        """How far each sample lies from the affine subspace through the cloud's mean, `(B,)`."""
        rows = flatten(x).to(self.mean) - self.mean
        return norm(rows - (rows @ self.columns) @ self.columns.T)

    def estimate(self, x: Tensor) -> TangentEstimate:
        """The subspace at each of the samples `(B, *shape)`, with its evidence.

        `residual` is the share of the cloud's variance off the subspace, `radius` the distance of its farthest point
        from its mean, `missed` the sample's own distance from the subspace. The error is that of the principal
        directions; whether the data bend away from them it cannot tell. Reliable: an error within `tolerance`, and no
        farther off the subspace than 3 times the cloud's root mean square.
        """
        count = len(x)
        typical = self.spectrum[0, self.dim :].sum().sqrt()
        rounding = torch.finfo(self.mean.dtype).eps * 100 * self._radius
        missed = self.distance(x)
        return TangentEstimate(
            self.columns.expand(count, -1, -1),
            self.spectrum.expand(count, -1),
            left_out(self.spectrum, self.dim).expand(count),
            self._radius.expand(count),
            missed,
            self._error.expand(count),
            (missed <= FAR * typical + rounding) & (self._error <= self.tolerance),
        ).like(x)


@final
class ClassPCA:
    """The principal directions of a sample's class.

    Args:
        cloud: `(N, *shape)`.
        labels: `(N,)` integers.
        dim: d, the same for every class.
        classify: gives the labels `(B,)` of samples; without it a sample belongs to the class whose affine subspace
            is nearest.
        tolerance: the expected error, in radians, up to which an estimate is called reliable.

    Raises:
        ShapeError: if a class has not the points for d directions, or a sample's label is not one of the cloud's.

    Reference: Xiao et al. 2022, Understanding adversarial robustness against on-manifold adversarial examples.

    Example:
        >>> cloud = torch.tensor([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0], [5.0, 6.0]])
        >>> field = ClassPCA(cloud, torch.tensor([0, 0, 1, 1]), dim=1)
        >>> field.tangent_basis(torch.tensor([[5.0, 7.0]])).abs().squeeze()
        tensor([0., 1.])
    """

    def __init__(
        self,
        cloud: Tensor,
        labels: Tensor,
        dim: int,
        classify: Callable[[Tensor], Tensor] | None = None,
        tolerance: float = 0.25,
    ) -> None:
        if labels.shape != (len(cloud),):
            raise ShapeError(f"ClassPCA: labels of shape {tuple(labels.shape)} for {len(cloud)} points; give (N,)")
        self.dim, self.classify = dim, classify
        self.classes = labels.unique()
        for label in self.classes.tolist():
            if int((labels == label).sum()) <= dim:
                raise ShapeError(
                    f"ClassPCA: class {label} has {int((labels == label).sum())} points; dim {dim} needs more"
                )
        self.fields = [GlobalPCA(cloud[labels == label], dim, tolerance) for label in self.classes]

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Orthonormal columns `(B, n, d)`."""
        columns = torch.stack([field.columns for field in self.fields]).to(x)
        return columns[self._which(x).to(x.device)]

    def estimate(self, x: Tensor) -> TangentEstimate:
        """What the `GlobalPCA` of its class says of each of the samples `(B, *shape)`."""
        which = self._which(x)
        parts: list[TangentEstimate] = []
        places: list[Tensor] = []
        for number, field in enumerate(self.fields):
            place = (which == number).nonzero().squeeze(1)
            if len(place):
                parts.append(field.estimate(x[place.to(x.device)]).wide(self._width))
                places.append(place)
        return TangentEstimate.concatenate(parts).rows(torch.cat(places).argsort())

    @property
    def _width(self) -> int:
        """The length of the longest spectrum: a small class has fewer directions than a large one."""
        return max(field.spectrum.shape[1] for field in self.fields)

    def _which(self, x: Tensor) -> Tensor:
        """The row of each sample's class in `classes`."""
        if self.classify is None:
            nearest: Tensor = torch.stack([field.distance(x) for field in self.fields]).argmin(0)
            return nearest
        labels = self.classify(x).to(self.classes)
        same = labels[:, None] == self.classes
        if not bool(same.any(1).all()):
            missing = sorted(set(labels[~same.any(1)].tolist()))
            raise ShapeError(
                f"ClassPCA: samples of class {missing[0]}; the cloud has the classes {self.classes.tolist()}"
            )
        columns: Tensor = same.nonzero()[:, 1]
        return columns
