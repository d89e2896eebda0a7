"""The affine slice of two or three dimensions in which a scene of more than three dimensions is drawn."""

import dataclasses
from typing import final

import torch
from torch import Tensor

from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary import AffineSlice, Boundary
from dimple.errors import SceneError
from dimple.manifolds import Manifold
from dimple.manifolds.embedding import IsometricEmbedding
from dimple.probes import Margin
from dimple.probes.null_comparison import MarginNullComparison, null_statistics
from dimple.stats.aggregate import FRACTION_LIMITS, mean_statistic, median_statistic
from dimple.tangents.random_subspace import RandomSubspace
from dimple.tensors import generator, project_onto_span, squared_norm_fraction

# Sample points of a manifold from which its affine hull is computed.
HULL_SAMPLES = 256
# The search for the boundary within a slice and within the random subspaces that it is compared with.
SLICE_MARGIN = Margin(max_passes=15.0, restarts=1)
# Random subspaces for the null of a slice.
NULL_DRAWS = 5
DISTANCE_UNIT = "l2, input units"


@final
@dataclasses.dataclass(frozen=True)
class DisplaySlice:
    """A slice that contains the manifold.

    Attributes:
        affine_slice: the slice; its first axes span the affine hull of the manifold.
        span_dim: the dimension of the affine hull; the remaining axes point off the manifold.
    """

    affine_slice: AffineSlice
    span_dim: int

    @property
    def description(self) -> str:
        """A sentence for captions, such as "slice of R^9: the line that contains the manifold"."""
        hull = "line that contains" if self.span_dim == 1 else f"{self.span_dim} dimensions that contain"
        steepest = ", and the steepest direction off it" if self.affine_slice.dim > self.span_dim else ""
        return f"slice of R^{self.affine_slice.origin.numel()}: the {hull} the manifold{steepest}"


def affine_hull(manifold: Manifold, seed: int) -> tuple[Tensor, Tensor]:
    """Return the affine hull of a manifold: a point `(n,)` in its middle, and orthonormal columns `(n, m)`."""
    points = manifold.sample(HULL_SAMPLES, generator(seed, "span"))
    middle = points.mean(0)
    _, singular_values, directions = torch.linalg.svd(points - middle, full_matrices=False)
    m = int((singular_values > 1e-6 * singular_values[0]).sum())
    if isinstance(manifold, IsometricEmbedding) and manifold.base.ambient_dim == m:
        # The axes of the embedding make clearer pictures than the principal directions of a sample.
        return middle, manifold.axes
    return middle, directions[:m].T


def require_display_slice(manifold: Manifold, seed: int) -> None:
    """Refuse a manifold that does not fit, with a direction off it, into a slice of three dimensions.

    Raises:
        SceneError: with an alternative.
    """
    m = affine_hull(manifold, seed)[1].shape[1]
    if m > 3 or m == manifold.dim == 3:
        raise SceneError(
            f"levelset: this manifold spans {m} dimensions, so that no slice of 3 contains it and a direction off it; "
            "set levelset to {kind: none}, and draw slices of the run with dimple slice --run"
        )


def build_display_slice(manifold: Manifold, seed: int, x: Tensor, boundary: Boundary) -> DisplaySlice:
    """Return the slice in which a scene in R^n, n > 3, is drawn.

    It contains the full manifold, which therefore appears undistorted. If the affine hull has fewer than three
    dimensions, one more axis is added: the direction off the manifold along which the logit margin of the last network
    changes most at the training points.

    Args:
        manifold: the manifold of the scene.
        seed: the seed of the scene.
        x: `(N, n)` training points.
        boundary: the boundary of the last network.
    """
    middle, span = affine_hull(manifold, seed)
    middle = middle.to(x)
    span = span.to(x)
    if span.shape[1] == 3:
        return DisplaySlice(AffineSlice(middle, span), 3)
    axes = AffineSlice.from_gradients(boundary, x, boundary.predict(x), span, span.shape[1] + 1).axes
    return DisplaySlice(AffineSlice(middle, axes), span.shape[1])


def compute_slice_statistics(
    display_slice: DisplaySlice, manifold: Manifold, boundary: Boundary, x: Tensor, y: Tensor, seed: int
) -> dict[str, float]:
    """Return statistics that compare the display slice with random slices, each with its null.

    `margin_in_slice` is the median distance of the training points from the boundary within the slice. Its null is the
    same distance within a random subspace of the same dimension: the span of the tangent space and of random directions
    orthogonal to it.
    `gradient_slice_fraction` is the fraction of the squared norm of the off-manifold gradient that lies in the slice.
    Its null is the value for an isotropic gradient.
    """
    basis = manifold.tangent_basis(x)
    n = x.shape[1]
    d = basis.shape[2]
    k = display_slice.affine_slice.dim
    comparison = MarginNullComparison(boundary, x, y, SLICE_MARGIN, 0, seed)
    random_directions = [
        _off_manifold_directions(RandomSubspace(k - d, seed, draw).basis(n).to(x), basis) for draw in range(NULL_DRAWS)
    ]
    draws = torch.stack([_margins(comparison, torch.cat([basis, off], dim=2)).median() for off in random_directions])
    null = null_statistics("margin_in_slice_null", draws[None])
    _, gradient = boundary.logit_margin_and_gradient(x, comparison.predicted)
    off_gradient = gradient - project_onto_span(basis, gradient)
    axes = display_slice.affine_slice.axes.to(x)
    fraction = squared_norm_fraction(project_onto_span(axes, off_gradient), off_gradient)
    boundary.forwards += comparison.unbounded_boundary.forwards
    boundary.backwards += comparison.unbounded_boundary.backwards
    return {
        **median_statistic("margin_in_slice", _margins(comparison, axes).cpu().double().numpy()),
        **{name: float(values[0]) for name, values in null.items()},
        "margin_in_slice_null_draws": NULL_DRAWS,
        **mean_statistic("gradient_slice_fraction", fraction.cpu().double().numpy(), FRACTION_LIMITS),
        "gradient_slice_fraction_null": (k - d) / (n - d),
    }


def _margins(comparison: MarginNullComparison, basis: Tensor) -> Tensor:
    """Return the distances to the boundary `(B,)` in the span of `basis`, `(n, k)` or, per sample, `(B, n, k)`."""
    return comparison.constrained_margin("in_slice", SubspaceConstraint(basis))["margin_in_slice"].abs()


def _off_manifold_directions(columns: Tensor, basis: Tensor) -> Tensor:
    """Return `columns` `(n, k)` made orthogonal to each tangent space `(B, n, d)`, orthonormalized, as `(B, n, k)`."""
    expanded = columns.expand(len(basis), -1, -1)
    orthonormal: Tensor = torch.linalg.qr(expanded - basis @ (basis.mT @ expanded)).Q
    return orthonormal


# Units of the columns of `compute_slice_statistics`.
SLICE_UNITS = {
    **{f"margin_in_slice{end}": DISTANCE_UNIT for end in ("", "_null", "_null_low", "_null_high")},
    **dict.fromkeys(("gradient_slice_fraction", "gradient_slice_fraction_null"), "fraction"),
}
