"""The medial axis, seen from a manifold: how far one may go straight away from it with the same nearest point."""

from typing import Protocol

import torch
from torch import Tensor

# A ball as large as this many times the manifold stands for one without an end.
FAR = 1e3
ROUNDS = 60
# Of the manifold's size, what counts as one place; of a ball's radius, what no longer matters.
PLACE, RADIUS = 1e-7, 1e-9


class Projecting(Protocol):
    """What the balls need of a manifold."""

    def project(self, x: Tensor, /) -> Tensor:
        """The nearest points."""
        ...

    def tangent_basis(self, x: Tensor, /) -> Tensor:
        """Orthonormal tangent columns."""
        ...

    def shape_operator(self, x: Tensor, normal: Tensor, /) -> Tensor:
        """The second form along unit normals."""
        ...


def medial_distance(manifold: Projecting, foot: Tensor, direction: Tensor, extent: float) -> Tensor:
    """How far each ray from its foot may go until another point of the manifold is as near as the foot, `(B,)`.

    A ball that touches the manifold at the foot is shrunk until no point of the manifold lies within it: by the focal
    distance first, then to touch the point that is nearest to its centre, again and again. It ends at the axis from
    above, to 1e-9 of the radius; nothing within 1000 times the manifold's size counts as infinitely far.

    Args:
        foot: `(B, n)` float64 points of the manifold.
        direction: `(B, n)` unit vectors from which the foot is the nearest point.
        extent: the size of the manifold.

    Reference: Ma, Bae and Choi 2012, 3D medial axis point approximation using nearest neighbors and the normal field.
    """
    radius = torch.full_like(foot[:, 0], FAR * extent)
    tangential = torch.einsum("bnd,bn->bd", manifold.tangent_basis(foot), direction)
    bend = torch.linalg.eigvalsh(manifold.shape_operator(foot, direction)).amax(1)
    # At an edge the way may lead off askew, and curvature says nothing.
    focal = (torch.linalg.vector_norm(tangential, dim=1) < PLACE) & (bend > 0)
    radius = torch.where(focal, torch.minimum(radius, 1 / bend), radius)
    active = torch.arange(len(foot), device=foot.device)
    for _ in range(ROUNDS):
        centre = foot[active] + radius[active, None] * direction[active]
        away = manifold.project(centre) - foot[active]
        square = away.square().sum(1)
        touching = square / (2 * (away * direction[active]).sum(1))
        nearer = (square > (PLACE * extent) ** 2) & (touching > 0) & (touching < (1 - RADIUS) * radius[active])
        active, touching = active[nearer], touching[nearer]
        if len(active) == 0:
            break
        radius[active] = touching
    return torch.where(radius < FAR * extent, radius, float("inf"))


def along_a_part(room: Tensor, part: Tensor, whole: Tensor, extent: float) -> Tensor:
    """The room along a way of which only a part leads through the space where `room` holds, `(B,)` each.

    Args:
        part: the distance within that space.
        whole: the distance in all; on the manifold the room is that of any way.
        extent: the size of the manifold.
    """
    share = torch.where(whole > PLACE * extent, part / whole, 1.0)
    return torch.where(share > 0, room / share, float("inf"))
