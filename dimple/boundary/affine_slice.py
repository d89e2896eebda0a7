"""Affine slices: two- or three-dimensional affine subspaces of the input space, on which level sets are extracted."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.errors import SceneError, ShapeError
from dimple.protocols import Classifier
from dimple.tensors import flatten, require_samples

# A number of classes that is larger than that of any classifier.
ALL_OTHER_CLASSES = 10**6


@final
class AffineSlice:
    """The affine map `u -> origin + axes u` from R^k into the samples, with orthonormal axes: it keeps distances.

    Args:
        origin: one sample, `shape`; the point u = 0.
        axes: `(n, k)` columns that span the slice; they are orthonormalized in their order.

    Raises:
        ShapeError: if the axes are not `(n, k)` columns with 1 <= k <= n.
        SceneError: if the axes do not span k dimensions, or if a number is not finite.

    Example:
        >>> affine_slice = AffineSlice(torch.zeros(1, 2, 2), torch.eye(4)[:, :2])
        >>> affine_slice(torch.tensor([[3.0, 5.0]])).shape
        torch.Size([1, 1, 2, 2])
    """

    def __init__(self, origin: Tensor, axes: Tensor) -> None:
        n = origin.numel()
        if axes.dim() != 2 or len(axes) != n or not 1 <= axes.shape[1] <= n:
            raise ShapeError(f"slice: axes have shape {tuple(axes.shape)}; give (n, k) columns with n = {n}, k <= n")
        if not bool(torch.isfinite(axes).all() and torch.isfinite(origin).all()):
            raise SceneError("slice: origin or axes hold nan or inf; give finite numbers")
        basis, triangle = torch.linalg.qr(axes.double())
        lengths = triangle.diagonal()
        if bool((lengths.abs() <= 1e-10 * axes.double().norm(dim=0).clamp(min=1e-300)).any()):
            raise SceneError(f"slice: the {axes.shape[1]} axes span fewer dimensions; give independent directions")
        # The signs of the QR decomposition are arbitrary: flip each column to the direction of the given axis.
        self.axes = (basis * lengths.sign()).to(origin)
        self.origin = origin

    @classmethod
    def from_points(cls, points: Tensor) -> "AffineSlice":
        """Return the slice through 3 or 4 samples `(k + 1, *shape)`, for example the plane of three images.

        The first sample is the origin; the second lies on the first axis.
        """
        require_samples(points, "points")
        return cls(points[0], flatten(points[1:] - points[:1]).T)

    @classmethod
    def from_gradients(cls, boundary: Boundary, x: Tensor, y: Tensor, initial_axes: Tensor, dim: int) -> "AffineSlice":
        """Return a slice through the first sample, along given axes and the dominant directions of the gradients.

        The gradients are those of the margins `z_y - z_other` over all other classes, at all samples, without their
        components along the given axes. If those axes span a tangent space, the slice shows the manifold and its
        dimples, also in R^100.

        Args:
            boundary: the classifier's boundary.
            x: `(B, *shape)`; the first is the point u = 0.
            y: `(B,)` classes whose logit margins are used.
            initial_axes: `(n, m)` directions of the first axes, m < dim; m may be 0.
            dim: the number of axes of the slice.

        Raises:
            SceneError: if the gradients have too few directions outside the span of the given axes.
        """
        initial_slice = cls(x[0], initial_axes) if initial_axes.shape[1] else None
        *_, gradients = boundary.scores_and_class_gradients(x, y, ALL_OTHER_CLASSES)
        rows = gradients.reshape(-1, x[0].numel()).double()
        length = float(rows.norm(dim=1).max())
        if initial_slice is not None:
            basis = initial_slice.axes.double()
            rows = rows - (rows @ basis) @ basis.T
        _, sizes, directions = torch.linalg.svd(rows, full_matrices=False)
        missing = dim - initial_axes.shape[1]
        if len(sizes) < missing or not float(sizes[missing - 1]) > 1e-6 * length:
            raise SceneError(
                f"slice: the gradients at {len(x)} samples do not lead off the {initial_axes.shape[1]} axes given in "
                f"{missing} directions; give more samples, or --axes random"
            )
        steepest = directions[:missing] * torch.where(directions[:missing] @ rows[0] < 0, -1.0, 1.0)[:, None]
        first_axes = initial_axes.double() if initial_slice is None else initial_slice.axes.double()
        return cls(x[0], torch.cat([first_axes, steepest.T], dim=1).to(x))

    @classmethod
    def from_principal_components(cls, points: Tensor, dim: int = 3) -> "AffineSlice":
        """Return the slice through the mean of samples `(N, *shape)`, along their first `dim` principal directions.

        Raises:
            SceneError: if there are not more than `dim` samples.
        """
        require_samples(points, "points")
        if len(points) <= dim:
            raise SceneError(f"slice: {len(points)} points have no {dim} principal directions; give more than {dim}")
        mean = points.mean(0)
        _, _, directions = torch.linalg.svd(flatten(points - mean), full_matrices=False)
        return cls(mean, directions[:dim].T)

    @property
    def dim(self) -> int:
        """The dimension k of the slice."""
        return int(self.axes.shape[1])

    def __call__(self, u: Tensor) -> Tensor:
        """Return the samples `(B, *shape)` at slice coordinates `(B, k)`."""
        rows = self.origin.reshape(1, -1) + u.to(self.origin) @ self.axes.T
        samples: Tensor = rows.reshape(len(u), *self.origin.shape)
        return samples

    def coordinates(self, x: Tensor) -> Tensor:
        """Return the coordinates `(B, k)` of the points of the slice that are closest to samples `(B, *shape)`."""
        coordinates: Tensor = flatten(x.to(self.origin) - self.origin) @ self.axes
        return coordinates

    def distance(self, x: Tensor) -> Tensor:
        """Return the l2 distance `(B,)` of samples `(B, *shape)` from the slice; a sample in the slice has 0."""
        distances: Tensor = flatten(x.to(self.origin) - self(self.coordinates(x))).norm(dim=1)
        return distances

    def bounding_box(self, x: Tensor, pad: float = 1 / 3) -> tuple[list[float], list[float]]:
        """Return the corners `low` and `high`, in slice coordinates, of a box that holds the samples.

        The box is widened on every side by the fraction `pad` of its longest edge.
        """
        u = self.coordinates(x)
        low = u.min(0).values
        high = u.max(0).values
        width = pad * (high - low).max()
        return (low - width).tolist(), (high + width).tolist()


@final
class SlicedClassifier:
    """A classifier of samples as a classifier of slice coordinates `(B, k)`."""

    def __init__(self, affine_slice: AffineSlice, classifier: Classifier) -> None:
        self.affine_slice = affine_slice
        self.classifier = classifier

    def __call__(self, u: Tensor) -> Tensor:
        """Return the scores `(B, K)` at the points of the slice."""
        return self.classifier(self.affine_slice(u))


def restrict_to_slice(boundary: Boundary, affine_slice: AffineSlice) -> Boundary:
    """Return the boundary within a slice, as a boundary of points `(B, k)`, without bounds and with its own counts.

    Example:
        >>> space = Boundary(lambda x: torch.stack([-x.sum(1), x.sum(1)], dim=1))
        >>> plane = restrict_to_slice(space, AffineSlice(torch.zeros(100), torch.eye(100)[:, :2]))
        >>> plane.logit_margin(torch.tensor([[1.0, 2.0]]), torch.tensor([1]))
        tensor([6.])
    """
    return Boundary(SlicedClassifier(affine_slice, boundary.model))


def competing_class_pairs(boundary: Boundary, points: Sequence[Tensor] | Tensor) -> list[tuple[int, int]]:
    """Return the pairs of classes `(a, b)`, a < b, that have the two highest scores at one of the points.

    These pairs may have a common boundary near the points.
    """
    scores = boundary.scores(points if isinstance(points, Tensor) else torch.stack(list(points)))
    top = scores.topk(2, dim=1).indices.sort(dim=1).values
    return [(int(a), int(b)) for a, b in torch.unique(top, dim=0).tolist()]
