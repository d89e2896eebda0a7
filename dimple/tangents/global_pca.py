"""Global PCA: one affine subspace for a full point cloud, or one for each of its classes."""

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.tangents.base import (
    TangentEstimate,
    eigengap_dimension,
    expected_angle,
    principal_directions,
    residual_variance_fraction,
)
from dimple.tensors import flatten, norm

# Largest distance of a reliable sample from the subspace, in root mean square distances of the cloud from it.
MAX_RMS_DISTANCES = 3


@final
class GlobalPCA:
    """Tangent field of the d leading principal directions of a cloud, the same at every sample.

    Args:
        cloud: `(N, *shape)`, N >= 2.
        dim: d; None takes the number of directions before the widest eigengap of the spectrum.
        tolerance: the largest expected error of a reliable estimate, in radians.

    Raises:
        ShapeError: if the cloud has too few points or coordinates for d directions.

    Example:
        >>> field = GlobalPCA(torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]), dim=1)
        >>> field.tangent_basis(torch.tensor([[5.0, 5.0]])).abs().squeeze()
        tensor([1., 0.])
    """

    def __init__(self, cloud: Tensor, dim: int | None, tolerance: float = 0.25) -> None:
        points = flatten(cloud)
        max_dim = min(len(points) - 1, points.shape[1])
        if max_dim < 1 or not 1 <= (dim or 1) <= max_dim:
            raise ShapeError(
                f"GlobalPCA: dim is {dim} for {len(points)} points in R^{points.shape[1]}; 1 <= dim <= {max_dim}"
            )
        self.tolerance = tolerance
        self.mean = points.mean(0)
        centered = (points - self.mean) / math.sqrt(len(points))
        if dim is None:
            dim = eigengap_dimension(principal_directions(centered[None], 1)[1], points.shape[1], max(1, max_dim // 2))
        self.dim: int = dim
        columns, self.spectrum = principal_directions(centered[None], dim)
        self.basis = columns[0]
        self._error = expected_angle(self.spectrum, dim, self.mean.new_full((1,), len(points) - 1))
        self._radius = torch.linalg.vector_norm(points - self.mean, dim=1).max()

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Return the same orthonormal columns at every sample, `(B, n, d)`, as a view without a copy for each."""
        return self.basis.to(x).expand(len(x), -1, -1)

    def distance(self, x: Tensor) -> Tensor:
        """Return the distance of each sample from the affine subspace through the cloud's mean, `(B,)`."""
        rows = flatten(x).to(self.mean) - self.mean
        return norm(rows - (rows @ self.basis) @ self.basis.T)

    def estimate(self, x: Tensor) -> TangentEstimate:
        """Return the subspace at each of the samples `(B, *shape)`, with its quality measures.

        `residual` is the fraction of the cloud's variance off the subspace, `radius` the distance of the cloud's
        farthest point from its mean, `plane_distance` the sample's own distance from the subspace. `error` is the
        sampling error of the principal directions; it does not include a bend of the data away from them. An estimate
        is reliable where the error is within `tolerance` and the sample's distance from the subspace is at most 3 times
        the root mean square distance of the cloud.
        """
        count = len(x)
        rms_distance = self.spectrum[0, self.dim :].sum().sqrt()
        rounding = torch.finfo(self.mean.dtype).eps * 100 * self._radius
        distance = self.distance(x)
        return TangentEstimate(
            self.basis.expand(count, -1, -1),
            self.spectrum.expand(count, -1),
            residual_variance_fraction(self.spectrum, self.dim).expand(count),
            self._radius.expand(count),
            distance,
            self._error.expand(count),
            (distance <= MAX_RMS_DISTANCES * rms_distance + rounding) & (self._error <= self.tolerance),
        ).cast_like(x)


@final
class ClassPCA:
    """Tangent field of the principal directions of a sample's class.

    Args:
        cloud: `(N, *shape)`.
        labels: `(N,)` integers.
        dim: d, the same for every class.
        classify: maps samples to labels `(B,)`; without it a sample belongs to the class with the nearest affine
            subspace.
        tolerance: the largest expected error of a reliable estimate, in radians.

    Raises:
        ShapeError: if a class has too few points for d directions, or a sample's label does not occur in the cloud.

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
        self.dim = dim
        self.classify = classify
        self.classes = labels.unique()
        for label in self.classes.tolist():
            if int((labels == label).sum()) <= dim:
                raise ShapeError(
                    f"ClassPCA: class {label} has {int((labels == label).sum())} points; dim {dim} needs more"
                )
        self.fields = [GlobalPCA(cloud[labels == label], dim, tolerance) for label in self.classes]

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Return orthonormal columns `(B, n, d)`."""
        columns = torch.stack([field.basis for field in self.fields]).to(x)
        return columns[self._class_index(x).to(x.device)]

    def estimate(self, x: Tensor) -> TangentEstimate:
        """Return the estimate of each of the samples `(B, *shape)` by the `GlobalPCA` of its class."""
        class_index = self._class_index(x)
        # A small class has fewer directions than a large one.
        length = max(field.spectrum.shape[1] for field in self.fields)
        estimates: list[TangentEstimate] = []
        indices: list[Tensor] = []
        for number, field in enumerate(self.fields):
            index = (class_index == number).nonzero().squeeze(1)
            if len(index):
                estimates.append(field.estimate(x[index.to(x.device)]).pad_spectrum(length))
                indices.append(index)
        return TangentEstimate.concatenate(estimates).select(torch.cat(indices).argsort())

    def _class_index(self, x: Tensor) -> Tensor:
        """Return the index of each sample's class in `classes`, `(B,)`."""
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
        index: Tensor = same.nonzero()[:, 1]
        return index
