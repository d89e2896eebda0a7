"""Laws of every manifold, in double precision."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from dimple.manifolds import Manifold
from dimple.tensors import generator
from dimple.testing.law import require, require_close

ManifoldLaw: TypeAlias = Callable[[Manifold], None]
TOLERANCE = 1e-8
# Chart coordinates of points that a law takes have at least this distance from 0 and 1.
EDGE = 0.02


def check_manifold(manifold: Manifold) -> None:
    """Check a manifold against the laws of the family: sample, projection, tangent spaces, curvature, reach, types.

    Raises:
        LawError: naming the law and the values.

    Example:
        >>> from dimple.manifolds import Circle
        >>> check_manifold(Circle())
    """
    for law in MANIFOLD_LAWS:
        law(manifold)


def samples_lie_on_it_and_repeat(manifold: Manifold) -> None:
    """Samples are float64 points of the manifold, the same for the same generator."""
    x = manifold.sample(50, generator(0, "points"))
    wanted = (50, manifold.ambient_dim)
    require(
        x.shape == wanted and x.dtype == torch.float64,
        f"{_name(manifold)}: 50 samples are {tuple(x.shape)} of type {x.dtype}, not {wanted} of type torch.float64",
    )
    _require_small(manifold, manifold.distance(x), TOLERANCE, "a sample is off the manifold by")
    require(
        torch.equal(x, manifold.sample(50, generator(0, "points"))),
        f"{_name(manifold)}: the same generator gives other samples",
    )
    require(
        not torch.equal(x, manifold.sample(50, generator(1, "points"))),
        f"{_name(manifold)}: another generator gives the same samples",
    )


def projection_is_idempotent(manifold: Manifold) -> None:
    """The closest point of a closest point is itself."""
    closest = manifold.project(points_near(manifold)[1])
    _require_small(manifold, manifold.project(closest) - closest, TOLERANCE, "projecting twice moves a point by")


def projection_finds_the_closest_point(manifold: Manifold) -> None:
    """No point of a large sample is closer than the projection, near the manifold and far from it."""
    others = manifold.sample(2000, generator(5, "rivals"))
    deviation = manifold.sample(200, generator(6)).std(0).max()
    far = 2 * deviation * torch.randn(30, manifold.ambient_dim, generator=generator(7), dtype=torch.float64)
    for y in (points_near(manifold)[1], far):
        excess = manifold.distance(y) - torch.cdist(y, others).amin(1)
        _require_small(manifold, excess.clamp(min=0), TOLERANCE, "a sample is closer than the projection by")


def steps_below_the_reach_are_inverted(manifold: Manifold) -> None:
    """A step along a normal of 0.95 of the reach is undone by the projection: the reach is not too large."""
    x = interior_points(manifold)
    weights = torch.randn(len(x), manifold.codim, generator=generator(8), dtype=torch.float64)
    normal = torch.einsum("bnk,bk->bn", manifold.normal_basis(x), weights / weights.norm(dim=1, keepdim=True))
    y = x + 0.95 * min(manifold.reach, 10.0) * normal
    _require_small(manifold, manifold.project(y) - x, 1e-6, "a step of 0.95 reach along a normal is not undone, off by")
    require(
        bool((manifold.medial_axis_distance(y) > 0).all()),
        f"{_name(manifold)}: a point within the reach lies beyond the medial axis",
    )


def bases_are_orthonormal(manifold: Manifold) -> None:
    """Tangent and normal columns together are an orthonormal basis."""
    y = points_near(manifold)[1]
    basis = torch.cat([manifold.tangent_basis(y), manifold.normal_basis(y)], dim=2)
    eye = torch.eye(manifold.ambient_dim, dtype=torch.float64)
    _require_small(manifold, basis.mT @ basis - eye, TOLERANCE, "tangent and normal columns are not orthonormal, by")


def tangent_space_is_that_of_the_projection(manifold: Manifold) -> None:
    """The derivative of the projection at a point of the manifold is the projector onto the tangent space."""
    x = interior_points(manifold)
    basis = manifold.tangent_basis(x)
    v = torch.randn(x.shape, generator=generator(9), dtype=torch.float64)
    v = v / v.norm(dim=1, keepdim=True)
    found = derivative(manifold.project, x, v, 1e-3 * min(manifold.reach, 1.0))
    expected = (basis @ (basis.mT @ v[:, :, None]))[:, :, 0]
    _require_small(manifold, found - expected, TOLERANCE, "the tangent space is not that of the projection, by")


def curvature_is_the_rotation_of_the_tangent_space(manifold: Manifold) -> None:
    """The derivative of the projector Q Q^T along a tangent a maps a tangent b to II(a, b), a symmetric normal."""
    x = interior_points(manifold)
    basis = manifold.tangent_basis(x)
    form = manifold.second_fundamental_form(x)
    scale = min(manifold.reach, 1.0)

    def projector(y: Tensor) -> Tensor:
        q = manifold.tangent_basis(y)
        return q @ q.mT

    for i in range(manifold.dim):
        rotation = derivative(projector, x, basis[:, :, i], 2e-3 * scale) @ basis
        off = (rotation - form[:, :, i, :]) * scale
        _require_small(manifold, off, 1e-7, "the curvature is not the rotation of the tangent space, by")
    tangential = torch.einsum("bnk,bnij->bkij", basis, form) * scale
    _require_small(manifold, tangential, TOLERANCE, "the second fundamental form has a tangential part of")
    _require_small(manifold, (form - form.mT) * scale, TOLERANCE, "the second fundamental form is not symmetric, by")


def no_curvature_exceeds_one_over_the_reach(manifold: Manifold) -> None:
    """Every normal curvature is at most 1 / reach."""
    form = manifold.second_fundamental_form(interior_points(manifold))
    largest = float(form.diagonal(dim1=2, dim2=3).norm(dim=1).max())
    require(
        largest <= (1 + 1e-5) / manifold.reach,
        f"{_name(manifold)}: a curvature is {largest:.6g}, above 1 / reach = {1 / manifold.reach:.6g}",
    )


def coordinates_stay_in_the_chart(manifold: Manifold) -> None:
    """Chart coordinates are numbers from 0 to 1, one for each dimension."""
    y = points_near(manifold)[1]
    unit = manifold.coordinates(y)
    require(
        unit.shape == (len(y), manifold.dim) and bool(((unit >= 0) & (unit <= 1)).all()),
        f"{_name(manifold)}: coordinates are {tuple(unit.shape)} from {float(unit.min()):.3g} to "
        f"{float(unit.max()):.3g}, not ({len(y)}, {manifold.dim}) from 0 to 1",
    )


def dtype_is_preserved(manifold: Manifold) -> None:
    """Results have the type of the points, and single precision changes them by rounding only."""
    y = points_near(manifold, 5)[1].float()
    for name in (
        "project", "tangent_basis", "normal_basis", "second_fundamental_form", "distance", "medial_axis_distance",
        "coordinates",
    ):  # fmt: skip
        result = getattr(manifold, name)(y)
        require(
            result.dtype == torch.float32 and len(result) == len(y),
            f"{_name(manifold)}: {name} of 5 float32 points is {tuple(result.shape)} of type {result.dtype}",
        )
    expected = manifold.project(y.double()).float()
    require_close(manifold.project(y), expected, 1e-5, f"{_name(manifold)}: single precision moves a closest point")


def other_points_do_not_matter(manifold: Manifold) -> None:
    """A closest point does not depend on the other points of a batch."""
    y = points_near(manifold, 6)[1]
    off = manifold.project(y)[2:3] - manifold.project(y[2:3])
    _require_small(manifold, off, 1e-12, "other points of the batch move a closest point by")


MANIFOLD_LAWS: tuple[ManifoldLaw, ...] = (
    samples_lie_on_it_and_repeat,
    projection_is_idempotent,
    projection_finds_the_closest_point,
    steps_below_the_reach_are_inverted,
    bases_are_orthonormal,
    tangent_space_is_that_of_the_projection,
    curvature_is_the_rotation_of_the_tangent_space,
    no_curvature_exceeds_one_over_the_reach,
    coordinates_stay_in_the_chart,
    dtype_is_preserved,
    other_points_do_not_matter,
)


def points_near(manifold: Manifold, count: int = 24, fraction: float = 0.5) -> tuple[Tensor, Tensor]:
    """Return points of the manifold, and points at up to `fraction` of the reach from it."""
    x = manifold.sample(count, generator(1, "on"))
    direction = torch.randn(x.shape, generator=generator(2, "away"), dtype=torch.float64)
    length = fraction * min(manifold.reach, 1.0) * torch.rand(count, 1, generator=generator(3), dtype=torch.float64)
    return x, x + length * direction / direction.norm(dim=1, keepdim=True)


def interior_points(manifold: Manifold, count: int = 12, edge: float = EDGE) -> Tensor:
    """Return points of the manifold whose chart coordinates have at least the distance `edge` from 0 and 1."""
    x = manifold.sample(3 * count, generator(4, "inner"))
    unit = manifold.coordinates(x)
    return x[((unit > edge) & (unit < 1 - edge)).all(1)][:count]


def derivative(function: Callable[[Tensor], Tensor], x: Tensor, v: Tensor, h: float) -> Tensor:
    """Return the derivative of `function` at `x` along `v` by six points, with an error of order h^6."""
    steps = {1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
    terms = [w * (function(x + k * h * v) - function(x - k * h * v)) for k, w in steps.items()]
    return torch.stack(terms).sum(0) / h


def _require_small(manifold: Manifold, values: Tensor, limit: float, sentence: str) -> None:
    largest = float(values.abs().max()) if values.numel() else 0.0
    require(largest <= limit, f"{_name(manifold)}: {sentence} {largest:.3g}, more than {limit:g}")


def _name(manifold: Manifold) -> str:
    return type(manifold).__name__
