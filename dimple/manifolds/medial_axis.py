"""Distances to the medial axis along normals: how far a point can move away and keep its closest point."""

from typing import Protocol

import torch
from torch import Tensor

# A ball of this radius, in units of the manifold's size, counts as infinitely large.
MAX_RELATIVE_RADIUS = 1e3
MAX_ITERATIONS = 60
# Two points within this distance, in units of the manifold's size, count as one.
POSITION_TOLERANCE = 1e-7
# Relative change of a ball's radius at which the iteration ends.
RADIUS_TOLERANCE = 1e-9


class SupportsProjection(Protocol):
    """Interface of a manifold that `medial_ball_radius` uses."""

    def project(self, x: Tensor, /) -> Tensor:
        """Return the closest points."""
        ...

    def tangent_basis(self, x: Tensor, /) -> Tensor:
        """Return orthonormal tangent columns."""
        ...

    def shape_operator(self, x: Tensor, normal: Tensor, /) -> Tensor:
        """Return the second fundamental form along unit normals."""
        ...


def medial_ball_radius(manifold: SupportsProjection, points: Tensor, direction: Tensor, extent: float) -> Tensor:
    """Return how far each ray can go until another point of the manifold is as near as its start, `(B,)`.

    A ball that touches the manifold at the start of the ray is shrunk until its interior contains no point of the
    manifold: first to the focal distance, then repeatedly until it touches the point closest to its center. The radius
    converges from above, to a relative accuracy of 1e-9; above 1000 times the manifold's size it is infinite.

    Args:
        manifold: the manifold.
        points: `(B, n)` float64 points of the manifold, where the rays start.
        direction: `(B, n)` unit vectors; near its start each point of a ray has the start as its closest point.
        extent: size of the manifold.

    Reference: Ma, Bae and Choi 2012, 3D medial axis point approximation using nearest neighbors and the normal field.
    """
    radius = torch.full_like(points[:, 0], MAX_RELATIVE_RADIUS * extent)
    tangential = torch.einsum("bnd,bn->bd", manifold.tangent_basis(points), direction)
    curvature = torch.linalg.eigvalsh(manifold.shape_operator(points, direction)).amax(1)
    # At an edge the direction may not be normal to the manifold; then the curvature implies no bound.
    has_focal_point = (torch.linalg.vector_norm(tangential, dim=1) < POSITION_TOLERANCE) & (curvature > 0)
    radius = torch.where(has_focal_point, torch.minimum(radius, 1 / curvature), radius)
    active = torch.arange(len(points), device=points.device)
    for _ in range(MAX_ITERATIONS):
        center = points[active] + radius[active, None] * direction[active]
        offset = manifold.project(center) - points[active]
        square = offset.square().sum(1)
        touching_radius = square / (2 * (offset * direction[active]).sum(1))
        smaller = (
            (square > (POSITION_TOLERANCE * extent) ** 2)
            & (touching_radius > 0)
            & (touching_radius < (1 - RADIUS_TOLERANCE) * radius[active])
        )
        active = active[smaller]
        if len(active) == 0:
            break
        radius[active] = touching_radius[smaller]
    return torch.where(radius < MAX_RELATIVE_RADIUS * extent, radius, float("inf"))


def rescale_medial_axis_distance(
    medial_axis_distance: Tensor, subspace_distance: Tensor, total_distance: Tensor, extent: float
) -> Tensor:
    """Return the medial axis distance along a direction of which only a part lies in the subspace where it is known.

    Args:
        medial_axis_distance: `(B,)`, within a subspace that contains the manifold.
        subspace_distance: `(B,)`, distance of each point to the manifold within that subspace.
        total_distance: `(B,)`, distance to the manifold in the full space; on the manifold nothing is rescaled.
        extent: size of the manifold.
    """
    fraction = torch.where(total_distance > POSITION_TOLERANCE * extent, subspace_distance / total_distance, 1.0)
    return torch.where(fraction > 0, medial_axis_distance / fraction, float("inf"))
