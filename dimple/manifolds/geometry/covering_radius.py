"""Covering radius of points on a manifold, between two bounds: by subdivision of its mesh where it can be large."""

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from dimple.manifolds.base import Manifold, scaled_norm
from dimple.tensors import generator

# Uniform points of a manifold without a mesh, which give a lower bound only.
RANDOM_POINTS = 8192
MAX_ROUNDS = 24
MAX_SIMPLICES = 200_000
# Training points that may be the nearest one for an entire simplex.
NEAREST_POINTS = 8


def covering_radius(manifold: Manifold, points: Tensor, tolerance: float = 1e-3) -> tuple[float, float]:
    """Return bounds of the largest distance of a point of the manifold from the nearest of `points` `(N, n)`.

    The lower bound is the distance of one point. For the upper bound the triangles (or segments) of the manifold's mesh
    are subdivided, and new vertices projected, until in all of them the distance is at most the lower bound times
    1 + `tolerance`: on a simplex it is at most the distance of its center plus its radius, and at most that of its
    farthest corner from any one point. Between the corners the manifold lies off the simplex by less than the squared
    length of its longest edge over four times the reach. Above dimension 2 the upper bound is infinite.

    Example:
        >>> from dimple.manifolds import Circle
        >>> low, high = covering_radius(Circle(1.0), torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64))
        >>> round(low, 3), high < 1.002 * 2**0.5
        (1.414, True)
    """
    tree = cKDTree(points.numpy())
    mesh = manifold.triangulation()
    if mesh is None:
        x = manifold.sample(RANDOM_POINTS, generator(0, "covering radius"))
        return float(_distance(tree, x).max()), float("inf")
    corners = torch.from_numpy(mesh[0])[torch.from_numpy(mesh[1])]
    lower = 0.0
    for _ in range(MAX_ROUNDS):
        lower = max(lower, float(_distance(tree, corners.flatten(0, 1)).max()))
        bound = _largest_distance(manifold.reach, tree, points, corners)
        corners = corners[bound > lower * (1 + tolerance)]
        upper = max(float(bound.max()), lower) if len(corners) else lower * (1 + tolerance)
        if len(corners) == 0 or len(corners) > MAX_SIMPLICES:
            return lower, upper
        corners = _subdivide(manifold, corners)
    return lower, upper


def _distance(tree: cKDTree, x: Tensor) -> Tensor:
    return torch.from_numpy(tree.query(x.numpy())[0])


def _largest_distance(reach: float, tree: cKDTree, points: Tensor, corners: Tensor) -> Tensor:
    """Return an upper bound of the distance of the manifold's points near each simplex `(F, k, n)`, `(F,)`."""
    center = corners.mean(1)
    radius = scaled_norm(corners - center[:, None]).amax(1)
    edge = scaled_norm(corners - corners.roll(1, 1)).amax(1)
    count = min(NEAREST_POINTS, len(points))
    distance, index = tree.query(center.numpy(), k=[*range(1, count + 1)])
    from_corners = scaled_norm(points[torch.from_numpy(index)][:, :, None] - corners[:, None]).amax(2).amin(1)
    # A long edge says nothing about the surface between its ends.
    sagitta = torch.where(edge < reach, edge.square() / (4 * reach), edge)
    return torch.minimum(torch.from_numpy(distance[:, 0]) + radius, from_corners) + sagitta


def _subdivide(manifold: Manifold, corners: Tensor) -> Tensor:
    """Return the halves of segments `(F, 2, n)` or the quarters of triangles `(F, 3, n)`, with vertices projected."""
    middle = (corners + corners.roll(-1, 1)) / 2
    middle = manifold.project(middle.flatten(0, 1)).reshape(middle.shape)
    if corners.shape[1] == 2:
        start, end = corners.unbind(1)
        return torch.cat([torch.stack([start, middle[:, 0]], 1), torch.stack([middle[:, 0], end], 1)])
    outer = [torch.stack([corners[:, k], middle[:, k], middle[:, k - 1]], 1) for k in range(3)]
    return torch.cat([*outer, middle])
