"""Sections: flat pieces of the input space, two- or three-dimensional, in which any classifier has a level set."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from dimple.boundary.boundary import Boundary
from dimple.errors import SceneError, ShapeError
from dimple.protocols import Classifier
from dimple.tensors import flatten, require_samples

# More rivals than any classifier has.
EVERY = 10**6


@final
class Section:
    """The affine map `u -> origin + axes u` from R^k into the samples, with orthonormal axes: distances stay distances.

    Args:
        origin: one sample, `shape`; the point u = 0.
        axes: `(n, k)` columns that span the section; they are made orthonormal in their order.

    Raises:
        SceneError: if the axes do not span k dimensions, or are not finite.

    Example:
        >>> section = Section(torch.zeros(1, 2, 2), torch.eye(4)[:, :2])
        >>> section(torch.tensor([[3.0, 5.0]])).shape
        torch.Size([1, 1, 2, 2])
    """

    def __init__(self, origin: Tensor, axes: Tensor) -> None:
        n = origin.numel()
        if axes.dim() != 2 or len(axes) != n or not 1 <= axes.shape[1] <= n:
            raise ShapeError(f"section: axes have shape {tuple(axes.shape)}; give (n, k) columns with n = {n}, k <= n")
        if not bool(torch.isfinite(axes).all() and torch.isfinite(origin).all()):
            raise SceneError("section: origin or axes hold nan or inf; give finite numbers")
        basis, triangle = torch.linalg.qr(axes.double())
        lengths = triangle.diagonal()
        if bool((lengths.abs() <= 1e-10 * axes.double().norm(dim=0).clamp(min=1e-300)).any()):
            raise SceneError(f"section: the {axes.shape[1]} axes span fewer dimensions; give independent directions")
        # The decomposition is free in its signs; the axes given keep theirs.
        self.axes = (basis * lengths.sign()).to(origin)
        self.origin = origin

    @classmethod
    def through(cls, points: Tensor) -> "Section":
        """The section through 3 or 4 samples `(k + 1, *shape)`; the first is the origin, the second on the first axis.

        Three images give the plane that holds them all.
        """
        require_samples(points, "points")
        return cls(points[0], flatten(points[1:] - points[:1]).T)

    @classmethod
    def steepest(cls, boundary: Boundary, x: Tensor, y: Tensor, span: Tensor, dim: int) -> "Section":
        """Through the first sample along given directions and, for the other axes, off them where gaps change most.

        These are the dominant directions of the gaps' gradients at all samples and towards all rivals: off a tangent
        space they show a manifold in R^100 with its dimples.

        Args:
            x: `(B, *shape)`; the first is the point u = 0.
            y: `(B,)` classes whose gaps are meant.
            span: `(n, m)` directions to begin with, m < dim; none of them with m = 0.
            dim: how many axes the section has.

        Raises:
            SceneError: if the gradients have too few directions off the span.
        """
        section = cls(x[0], span) if span.shape[1] else None
        _, _, gradients = boundary.gap_and_rival_gradients(x, y, EVERY)
        rows = gradients.reshape(-1, x[0].numel()).double()
        length = float(rows.norm(dim=1).max())
        if section is not None:
            basis = section.axes.double()
            rows = rows - (rows @ basis) @ basis.T
        _, sizes, directions = torch.linalg.svd(rows, full_matrices=False)
        missing = dim - span.shape[1]
        if len(sizes) < missing or not float(sizes[missing - 1]) > 1e-6 * length:
            raise SceneError(
                f"section: the gradients at {len(x)} samples do not lead off the {span.shape[1]} axes given in "
                f"{missing} directions; give more samples, or --axes random"
            )
        steep = directions[:missing] * torch.where(directions[:missing] @ rows[0] < 0, -1.0, 1.0)[:, None]
        given = span.double() if section is None else section.axes.double()
        return cls(x[0], torch.cat([given, steep.T], dim=1).to(x))

    @classmethod
    def principal(cls, points: Tensor, k: int = 3) -> "Section":
        """Through the mean of the samples `(N, *shape)`, along the k directions in which they vary most."""
        require_samples(points, "points")
        if len(points) <= k:
            raise SceneError(f"section: {len(points)} points have no {k} principal directions; give more than {k}")
        mean = points.mean(0)
        _, _, directions = torch.linalg.svd(flatten(points - mean), full_matrices=False)
        return cls(mean, directions[:k].T)

    @property
    def dim(self) -> int:
        """k."""
        return int(self.axes.shape[1])

    def __call__(self, u: Tensor) -> Tensor:
        """Section coordinates `(B, k)` as samples `(B, *shape)`."""
        rows = self.origin.reshape(1, -1) + u.to(self.origin) @ self.axes.T
        samples: Tensor = rows.reshape(len(u), *self.origin.shape)
        return samples

    def coordinates(self, x: Tensor) -> Tensor:
        """Samples `(B, *shape)` seen from the section: the coordinates `(B, k)` of their nearest points in it."""
        coordinates: Tensor = flatten(x.to(self.origin) - self.origin) @ self.axes
        return coordinates

    def distance(self, x: Tensor) -> Tensor:
        """How far samples `(B, *shape)` are from the section, `(B,)`: what is drawn in it is true at 0 only."""
        off: Tensor = flatten(x.to(self.origin) - self(self.coordinates(x))).norm(dim=1)
        return off

    def fitted_box(self, x: Tensor, pad: float = 1 / 3) -> tuple[list[float], list[float]]:
        """Corners `low`, `high` in section coordinates that hold the samples, widened by a share of the longest."""
        u = self.coordinates(x)
        low, high = u.min(0).values, u.max(0).values
        width = pad * (high - low).max()
        return (low - width).tolist(), (high + width).tolist()

    def linear(self) -> nn.Linear:
        """The map as a layer, from `(B, k)` to flat samples `(B, n)`, in float64."""
        layer: nn.Linear = nn.utils.skip_init(nn.Linear, self.dim, self.origin.numel(), dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(self.axes)
            layer.bias.copy_(self.origin.reshape(-1))
        return layer


@final
class Restricted:
    """A classifier of samples seen as one of section coordinates `(B, k)`."""

    def __init__(self, section: Section, classifier: Classifier) -> None:
        self.section = section
        self.classifier = classifier

    def __call__(self, u: Tensor) -> Tensor:
        """The scores `(B, K)` at the points of the section."""
        return self.classifier(self.section(u))

    def in_series(self) -> tuple[object, ...]:
        """The section as a layer, and the classifier of samples."""
        return self.section.linear(), self.classifier


def restricted(boundary: Boundary, section: Section) -> Boundary:
    """The boundary within a section: a boundary like any other, of points `(B, k)`.

    Example:
        >>> space = Boundary(lambda x: torch.stack([-x.sum(1), x.sum(1)], dim=1))
        >>> plane = restricted(space, Section(torch.zeros(100), torch.eye(100)[:, :2]))
        >>> plane.gap(torch.tensor([[1.0, 2.0]]), torch.tensor([1]))
        tensor([6.])
    """
    return Boundary(Restricted(section, boundary.classifier))


def class_pairs(boundary: Boundary, points: Sequence[Tensor] | Tensor) -> list[tuple[int, int]]:
    """The pairs of classes `(a, b)`, a < b, that stand first and second at some of the points: those that may meet."""
    scores = boundary.scores(points if isinstance(points, Tensor) else torch.stack(list(points)))
    top = scores.topk(2, dim=1).indices.sort(dim=1).values
    return [(int(a), int(b)) for a, b in torch.unique(top, dim=0).tolist()]
