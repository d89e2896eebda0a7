"""The verb behind `dimple scenes tangents`: how far estimated tangents of a manifold are from the exact ones."""

import dataclasses
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

from dimple.errors import UsageError
from dimple.manifolds import Manifold
from dimple.scene import Scene
from dimple.stats.null_bands import band
from dimple.tangents.base import TangentEstimate
from dimple.tangents.global_pca import GlobalPCA
from dimple.tangents.local_pca import LocalPCA
from dimple.tangents.principal_angles import largest_angle
from dimple.tangents.quadratic_fit import unknowns
from dimple.tangents.random_subspace import RandomSubspace
from dimple.tensors import generator
from dimple.views.charts.error_sweeps import ROUNDING, Sweep

PLACES = 200
DRAWS = 39
# The smaller clouds are the first points of the largest.
THINNING = (16, 8, 4, 2, 1)
NEIGHBOURS = (0.25, 0.5, 1, 2, 4, 8)
# The noise's root mean square length across the manifold, in radii of the clean neighbourhood.
NOISE = (0.01, 0.03, 0.1, 0.3, 1.0)
BINS = 5
QUANTILES = (0.5, 0.9)
# In the search for the direction that bends most.
ROUNDS = 30
# A cloud and k; the angles of local PCA and of its quadratic form.
Case = tuple[Tensor, int]
Angles = tuple[Tensor, Tensor]


@final
@dataclasses.dataclass(frozen=True)
class TangentScores:
    """Errors of tangent estimates: the largest principal angle to the exact tangent space, in degrees.

    Attributes:
        dim, ambient_dim: d and n.
        points, neighbours, noise: of the cloud, unless a sweep says otherwise; the noise is the scene's.
        local, quadratic, overall: median and 90 % of local PCA, of its quadratic form (nan where it has too few
            neighbours), and of one subspace for the whole cloud.
        expected: the median error that local PCA expects of itself.
        reliable: the share of places where local PCA calls itself reliable.
        null: random subspaces of the same dimension: the median over the draws of their median angle, and the ends of
            the band that holds 95 % of further draws.
        sweeps: over the points, the neighbours, the noise (its length across the manifold over the neighbourhood's
            radius), and, where the manifold bends, the largest curvature times the neighbourhood's radius, from place
            to place and over all clouds of the first sweep.
    """

    dim: int
    ambient_dim: int
    points: int
    neighbours: int
    noise: float
    local: tuple[float, ...]
    quadratic: tuple[float, ...]
    overall: tuple[float, ...]
    expected: float
    reliable: float
    null: tuple[float, float, float]
    sweeps: tuple[Sweep, ...]


def score_tangents(scene: Scene, points: int = 4000, neighbours: int = 20) -> TangentScores:
    """Estimate the tangents at 200 places of the scene's manifold from uniform clouds, and compare with the exact ones.

    On a clean cloud the error of local PCA is that of curvature, in proportion to the curvature times the radius of the
    neighbourhood over the root of k: the exponent is -1/d in the number of points and 1/d - 1/2 in k. Where noise
    prevails the error is in proportion to it. Neither holds near a rim or where sheets come as near as the neighbours.

    Raises:
        UsageError: if the smallest cloud, a sixteenth of the points, has no more than the neighbours, or those are no
            more than the dimension.

    Reference: Kaslovsky and Meyer 2014, Non-asymptotic analysis of tangent space perturbation, section 3.

    Example:
        >>> from dimple.scene import load_scene
        >>> scores = score_tangents(load_scene("plane_in_3d"), points=400)
        >>> max(scores.local) < 1e-6, scores.null[0] > 30
        (True, True)
    """
    least = points // THINNING[0]
    if not scene.manifold.dim < neighbours < least:
        raise UsageError(
            f"{points} points with {neighbours} neighbours on a manifold of dimension {scene.manifold.dim}: the "
            f"neighbours must be more than the dimension, and fewer than a sixteenth of the points, {least}"
        )
    return _Comparison(scene, points, neighbours).scores()


@final
class _Comparison:
    """One manifold, one cloud, and the places at which estimates are compared."""

    def __init__(self, scene: Scene, points: int, neighbours: int) -> None:
        self.manifold: Manifold = scene.manifold
        self.seed, self.noise, self.k = scene.seed, scene.data.noise, neighbours
        self.x = self.manifold.sample(PLACES, generator(self.seed, "tangent places"))
        self.truth = self.manifold.tangent_basis(self.x)
        self.clean = self.manifold.sample(points, generator(self.seed, "tangent cloud"))
        gaussian = generator(self.seed, "tangent noise")
        self.gaussian = torch.randn(self.clean.shape, generator=gaussian, dtype=torch.float64)
        self.cloud = self.clean + self.noise * self.gaussian

    def scores(self) -> TangentScores:
        base = self.base
        overall = GlobalPCA(self.cloud, self.manifold.dim).tangent_basis(self.x)
        return TangentScores(
            dim=self.manifold.dim,
            ambient_dim=self.manifold.ambient_dim,
            points=len(self.cloud),
            neighbours=self.k,
            noise=self.noise,
            local=_quantiles(self.angle(base.basis)),
            quadratic=_quantiles(self.local(self.cloud, self.k, 2)),
            overall=_quantiles(self.angle(overall)),
            expected=math.degrees(float(base.error.median())),
            reliable=float(base.reliable.double().mean()),
            null=self.null,
            sweeps=(self.over_points(), self.over_neighbours(), self.over_noise(), *self.over_curvature()),
        )

    @cached_property
    def base(self) -> TangentEstimate:
        return LocalPCA(self.cloud, self.manifold.dim, self.k).estimate(self.x)

    @cached_property
    def null(self) -> tuple[float, float, float]:
        subspaces = [RandomSubspace(self.manifold.dim, self.seed, draw) for draw in range(DRAWS)]
        medians = torch.stack([self.angle(field.tangent_basis(self.x)).median() for field in subspaces])
        low, high = band(medians)
        return float(medians.median()), float(low), float(high)

    @property
    def is_bent(self) -> bool:
        return math.isfinite(self.manifold.reach)

    def angle(self, basis: Tensor) -> Tensor:
        return torch.rad2deg(largest_angle(basis, self.truth))

    def local(self, cloud: Tensor, neighbours: int, order: Literal[1, 2] = 1) -> Tensor:
        """The angles of local PCA at all places; nan where it cannot be made."""
        if order == 2 and neighbours <= unknowns(self.manifold.dim):
            return torch.full((len(self.x),), torch.nan, dtype=torch.float64)
        return self.angle(LocalPCA(cloud, self.manifold.dim, neighbours, order=order).tangent_basis(self.x))

    @cached_property
    def thinned(self) -> list[tuple[int, Tensor, Angles]]:
        """For each of the clouds its size, the radii of the neighbourhoods `(P,)`, and the angles."""
        clouds = [self.cloud[: len(self.cloud) // part] for part in THINNING]
        estimates = [LocalPCA(cloud, self.manifold.dim, self.k).estimate(self.x) for cloud in clouds]
        return [
            (len(cloud), estimate.radius, (self.angle(estimate.basis), self.local(cloud, self.k, 2)))
            for cloud, estimate in zip(clouds, estimates, strict=True)
        ]

    def over_points(self) -> Sweep:
        theory = -1 / self.manifold.dim if self.is_bent and not self.noise else None
        counts, _, angles = zip(*self.thinned, strict=True)
        return self.swept("points", counts, angles, theory)

    def over_neighbours(self) -> Sweep:
        theory = 1 / self.manifold.dim - 1 / 2 if self.is_bent and not self.noise else None
        counts = [round(factor * self.k) for factor in NEIGHBOURS]
        counts = [k for k in counts if self.manifold.dim < k < len(self.cloud)]
        return self.sweep("neighbours", counts, [(self.cloud, k) for k in counts], theory)

    def over_noise(self) -> Sweep:
        scale = float(self.base.radius.median()) / math.sqrt(self.manifold.codim)
        clouds = [self.clean + share * scale * self.gaussian for share in NOISE]
        # Where noise prevails over curvature.
        least = 2 * _quantiles(self.local(self.clean, self.k))[0]
        return self.sweep("noise / radius", NOISE, [(cloud, self.k) for cloud in clouds], 1.0, least)

    def over_curvature(self) -> list[Sweep]:
        """None for a flat."""
        if not self.is_bent:
            return []
        bend = largest_curvature(self.manifold.second_form(self.x))
        size = torch.cat([bend * radius for _, radius, _ in self.thinned])
        angles, curved = (torch.cat(parts) for parts in zip(*(both for _, _, both in self.thinned), strict=True))
        order = size.argsort()
        bins = [order[part] for part in np.array_split(np.arange(len(order)), BINS)]
        at = [float(size[rows].median()) for rows in bins]
        return [self.swept("curvature x radius", at, [(angles[rows], curved[rows]) for rows in bins], 1.0)]

    def sweep(
        self, name: str, at: Sequence[float], cases: list[Case], theory: float | None, least: float = ROUNDING
    ) -> Sweep:
        return self.swept(name, at, [(self.local(*case), self.local(*case, order=2)) for case in cases], theory, least)

    def swept(
        self, name: str, at: Sequence[float], angles: Sequence[Angles], theory: float | None, least: float = ROUNDING
    ) -> Sweep:
        """The exponent is that of the medians above `least` and below half the null."""
        median, high = zip(*(_quantiles(plain) for plain, _ in angles), strict=True)
        quadratic = tuple(_quantiles(curved)[0] for _, curved in angles)
        exponent = power_law(at, median, max(least, ROUNDING), self.null[0] / 2)
        return Sweep(name, tuple(map(float, at)), median, high, quadratic, exponent, theory)


def largest_curvature(form: Tensor) -> Tensor:
    """The largest absolute principal curvature `(B,)` in any normal direction, from the second form `(B, n, d, d)`.

    The direction of the manifold that bends most and the normal that it bends to, each in turn the best for the other:
    exact for a curve and at codimension 1, and beyond that the best that several starts lead to.

    Example:
        >>> saddle = torch.zeros(1, 3, 2, 2)
        >>> saddle[0, 2] = torch.tensor([[1.0, 0.0], [0.0, -3.0]])
        >>> largest_curvature(saddle)
        tensor([3.])
    """
    d = form.shape[2]
    # Only the normals that the manifold bends to matter, d^2 at most of n.
    form = torch.linalg.qr(form.flatten(2), mode="r").R.unflatten(2, (d, d))
    i, j = torch.triu_indices(d, d)
    eye = torch.eye(d).to(form)
    best = form.new_zeros(len(form))
    for start in [*(eye[i] + eye[j]), *(eye[i] - eye[j])[i != j]]:
        along = torch.einsum("bnij,i,j->bn", form, start, start)
        for _ in range(ROUNDS):
            normal = torch.nn.functional.normalize(along, dim=1)
            values, vectors = torch.linalg.eigh(torch.einsum("bnij,bn->bij", form, normal))
            steepest = values.abs().argmax(1)
            direction = vectors.gather(2, steepest[:, None, None].expand(-1, d, 1))[:, :, 0]
            along = torch.einsum("bnij,bi,bj->bn", form, direction, direction)
        best = torch.maximum(best, torch.linalg.vector_norm(along, dim=1))
    return best


def power_law(at: Sequence[float], values: Sequence[float], low: float, high: float) -> float | None:
    """The exponent of the power law through the values between `low` and `high`, by least squares; None under two.

    Example:
        >>> round(power_law([1.0, 2.0, 4.0, 8.0], [8.0, 4.0, 2.0, 0.0], 0.1, 10.0), 6)
        -1.0
    """
    used = [(math.log(x), math.log(value)) for x, value in zip(at, values, strict=True) if low < value < high]
    if len(used) < 2:
        return None
    logarithms = np.array(used)
    return float(np.polyfit(logarithms[:, 0], logarithms[:, 1], 1)[0])


def _quantiles(angles: Tensor) -> tuple[float, ...]:
    return tuple(angles.quantile(angles.new_tensor(QUANTILES)).tolist())
