"""Errors of estimated tangent spaces of a manifold: the verb of `dimple scenes tangents`."""

import dataclasses
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

from dimple.data import SyntheticData
from dimple.errors import UsageError
from dimple.manifolds import Manifold
from dimple.scene import Scene
from dimple.stats.null_bands import prediction_interval
from dimple.tangents.base import TangentEstimate
from dimple.tangents.global_pca import GlobalPCA
from dimple.tangents.local_pca import LocalPCA
from dimple.tangents.principal_angles import largest_principal_angle
from dimple.tangents.quadratic_fit import quadratic_coefficient_count
from dimple.tangents.random_subspace import RandomSubspace
from dimple.tensors import generator
from dimple.views.charts.error_sweeps import ROUNDING_ERROR_DEGREES, ErrorSweep

# Points of the manifold at which the estimates are compared with the exact tangent spaces.
TEST_POINTS = 200
NULL_DRAWS = 39
# The smaller clouds are the first points of the largest one.
THINNING_FACTORS = (16, 8, 4, 2, 1)
NEIGHBOR_FACTORS = (0.25, 0.5, 1, 2, 4, 8)
# Root mean square length of the noise off the manifold, in radii of the clean neighborhood.
NOISE_FACTORS = (0.01, 0.03, 0.1, 0.3, 1.0)
CURVATURE_BINS = 5
QUANTILE_LEVELS = (0.5, 0.9)
# Iterations of the search for the direction of the largest curvature.
CURVATURE_ITERATIONS = 30
# A cloud and k, the number of neighbors.
CloudAndNeighbors = tuple[Tensor, int]
# The angles of local PCA, and of local PCA with the quadratic fit.
AnglePair = tuple[Tensor, Tensor]


@final
@dataclasses.dataclass(frozen=True)
class TangentBenchmark:
    """Errors of tangent estimates: the largest principal angle to the exact tangent space, in degrees.

    Attributes:
        dim, ambient_dim: d and n.
        points, neighbors, noise: of the cloud, except where a sweep varies them; the noise is that of the scene.
        local_pca: median and 90 % quantile of the errors of local PCA.
        quadratic_pca: the same with its quadratic fit; nan where there are too few neighbors.
        global_pca: the same for one subspace, fitted to the full cloud.
        expected_error: the median of the error that local PCA expects.
        reliable_fraction: the fraction of the points where local PCA calls its estimate reliable.
        null: random subspaces of the same dimension: the median over the draws of their median angle, and the ends of
            the band that holds 95 % of further draws.
        sweeps: the errors against the number of points, the number of neighbors, the noise (its length off the manifold
            over the radius of the neighborhood) and, for a curved manifold, the largest curvature times the radius of
            the neighborhood, over all points and all clouds of the first sweep.
    """

    dim: int
    ambient_dim: int
    points: int
    neighbors: int
    noise: float
    local_pca: tuple[float, ...]
    quadratic_pca: tuple[float, ...]
    global_pca: tuple[float, ...]
    expected_error: float
    reliable_fraction: float
    null: tuple[float, float, float]
    sweeps: tuple[ErrorSweep, ...]


def benchmark_tangents(scene: Scene, points: int = 4000, neighbors: int = 20) -> TangentBenchmark:
    """Estimate tangent spaces at 200 points of a scene's manifold from uniform clouds; compare with the exact ones.

    On a clean cloud the error of local PCA comes from curvature. It is proportional to the curvature times the radius
    of the neighborhood over the square root of k: the exponent is -1/d in the number of points and 1/d - 1/2 in k.
    Where noise dominates, the error is proportional to the noise. Neither holds near the boundary of the manifold, or
    where two sheets are as close as the neighbors.

    Args:
        points: the size of the largest cloud.
        neighbors: k, the number of points that each estimate uses.

    Raises:
        UsageError: if the smallest cloud, a sixteenth of the points, has at most k points, or k is at most the
            dimension of the manifold.

    Reference: Kaslovsky and Meyer 2014, Non-asymptotic analysis of tangent space perturbation, section 3.

    Example:
        >>> from dimple.scene import load_scene
        >>> benchmark = benchmark_tangents(load_scene("plane_in_3d"), points=400)
        >>> max(benchmark.local_pca) < 1e-6, benchmark.null[0] > 30
        (True, True)
    """
    smallest_cloud = points // THINNING_FACTORS[0]
    dim = scene.require_manifold().dim
    if not dim < neighbors < smallest_cloud:
        raise UsageError(
            f"{points} points with {neighbors} neighbors on a manifold of dimension {dim}: the "
            f"neighbors must be more than the dimension, and fewer than a sixteenth of the points, {smallest_cloud}"
        )
    return _BenchmarkRunner(scene, points, neighbors).compute()


@final
class _BenchmarkRunner:
    """Comparison of estimates on one manifold, from one cloud, at fixed test points."""

    def __init__(self, scene: Scene, points: int, neighbors: int) -> None:
        assert isinstance(scene.data, SyntheticData)
        self.manifold: Manifold = scene.require_manifold()
        self.seed = scene.seed
        self.noise = scene.data.noise
        self.k = neighbors
        self.x = self.manifold.sample(TEST_POINTS, generator(self.seed, "tangent places"))
        self.exact_basis = self.manifold.tangent_basis(self.x)
        self.clean_cloud = self.manifold.sample(points, generator(self.seed, "tangent cloud"))
        stream = generator(self.seed, "tangent noise")
        self.unit_noise = torch.randn(self.clean_cloud.shape, generator=stream, dtype=torch.float64)
        self.cloud = self.clean_cloud + self.noise * self.unit_noise

    def compute(self) -> TangentBenchmark:
        global_basis = GlobalPCA(self.cloud, self.manifold.dim).tangent_basis(self.x)
        return TangentBenchmark(
            dim=self.manifold.dim,
            ambient_dim=self.manifold.ambient_dim,
            points=len(self.cloud),
            neighbors=self.k,
            noise=self.noise,
            local_pca=_quantiles(self.angles_to_exact(self.estimate.basis)),
            quadratic_pca=_quantiles(self.local_pca_angles(self.cloud, self.k, 2)),
            global_pca=_quantiles(self.angles_to_exact(global_basis)),
            expected_error=math.degrees(float(self.estimate.error.median())),
            reliable_fraction=float(self.estimate.reliable.double().mean()),
            null=self.null,
            sweeps=(self.sweep_points(), self.sweep_neighbors(), self.sweep_noise(), *self.sweep_curvature()),
        )

    @cached_property
    def estimate(self) -> TangentEstimate:
        return LocalPCA(self.cloud, self.manifold.dim, self.k).estimate(self.x)

    @cached_property
    def null(self) -> tuple[float, float, float]:
        subspaces = [RandomSubspace(self.manifold.dim, self.seed, draw) for draw in range(NULL_DRAWS)]
        medians = torch.stack([self.angles_to_exact(field.tangent_basis(self.x)).median() for field in subspaces])
        low, high = prediction_interval(medians)
        return float(medians.median()), float(low), float(high)

    @property
    def is_curved(self) -> bool:
        return math.isfinite(self.manifold.reach)

    def angles_to_exact(self, basis: Tensor) -> Tensor:
        return torch.rad2deg(largest_principal_angle(basis, self.exact_basis))

    def local_pca_angles(self, cloud: Tensor, neighbors: int, order: Literal[1, 2] = 1) -> Tensor:
        """Return the angles `(P,)` of local PCA at the test points; nan where a quadratic fit has too few neighbors."""
        if order == 2 and neighbors <= quadratic_coefficient_count(self.manifold.dim):
            return torch.full((len(self.x),), torch.nan, dtype=torch.float64)
        return self.angles_to_exact(LocalPCA(cloud, self.manifold.dim, neighbors, order=order).tangent_basis(self.x))

    @cached_property
    def angles_by_cloud_size(self) -> list[tuple[int, Tensor, AnglePair]]:
        """The size of each cloud, the radii of its neighborhoods `(P,)`, and the angles at the test points."""
        clouds = [self.cloud[: len(self.cloud) // factor] for factor in THINNING_FACTORS]
        estimates = [LocalPCA(cloud, self.manifold.dim, self.k).estimate(self.x) for cloud in clouds]
        return [
            (
                len(cloud),
                estimate.radius,
                (self.angles_to_exact(estimate.basis), self.local_pca_angles(cloud, self.k, 2)),
            )
            for cloud, estimate in zip(clouds, estimates, strict=True)
        ]

    def sweep_points(self) -> ErrorSweep:
        expected_slope = -1 / self.manifold.dim if self.is_curved and not self.noise else None
        counts, _, angles = zip(*self.angles_by_cloud_size, strict=True)
        return self.build_sweep("points", counts, angles, expected_slope)

    def sweep_neighbors(self) -> ErrorSweep:
        expected_slope = 1 / self.manifold.dim - 1 / 2 if self.is_curved and not self.noise else None
        counts = [round(factor * self.k) for factor in NEIGHBOR_FACTORS]
        counts = [k for k in counts if self.manifold.dim < k < len(self.cloud)]
        return self.run_sweep("neighbors", counts, [(self.cloud, k) for k in counts], expected_slope)

    def sweep_noise(self) -> ErrorSweep:
        scale = float(self.estimate.radius.median()) / math.sqrt(self.manifold.codim)
        clouds = [self.clean_cloud + factor * scale * self.unit_noise for factor in NOISE_FACTORS]
        # From twice the error of the clean cloud on, noise dominates over curvature.
        min_angle = 2 * _quantiles(self.local_pca_angles(self.clean_cloud, self.k))[0]
        return self.run_sweep("noise / radius", NOISE_FACTORS, [(cloud, self.k) for cloud in clouds], 1.0, min_angle)

    def sweep_curvature(self) -> list[ErrorSweep]:
        """Return the sweep over the curvature in a list, which is empty for a flat manifold."""
        if not self.is_curved:
            return []
        curvature = largest_curvature(self.manifold.second_fundamental_form(self.x))
        products = torch.cat([curvature * radius for _, radius, _ in self.angles_by_cloud_size])
        linear, quadratic = (
            torch.cat(angles) for angles in zip(*(pair for _, _, pair in self.angles_by_cloud_size), strict=True)
        )
        order = products.argsort()
        bins = [order[indices] for indices in np.array_split(np.arange(len(order)), CURVATURE_BINS)]
        values = [float(products[rows].median()) for rows in bins]
        angles = [(linear[rows], quadratic[rows]) for rows in bins]
        return [self.build_sweep("curvature x radius", values, angles, 1.0)]

    def run_sweep(
        self,
        name: str,
        values: Sequence[float],
        cases: list[CloudAndNeighbors],
        expected_slope: float | None,
        min_angle: float = ROUNDING_ERROR_DEGREES,
    ) -> ErrorSweep:
        return self.build_sweep(
            name,
            values,
            [(self.local_pca_angles(*case), self.local_pca_angles(*case, order=2)) for case in cases],
            expected_slope,
            min_angle,
        )

    def build_sweep(
        self,
        name: str,
        values: Sequence[float],
        angles: Sequence[AnglePair],
        expected_slope: float | None,
        min_angle: float = ROUNDING_ERROR_DEGREES,
    ) -> ErrorSweep:
        """Return the sweep with the exponent of the medians above `min_angle` and below half the null."""
        median, high = zip(*(_quantiles(linear) for linear, _ in angles), strict=True)
        quadratic_median = tuple(_quantiles(quadratic)[0] for _, quadratic in angles)
        exponent = fit_power_law(values, median, max(min_angle, ROUNDING_ERROR_DEGREES), self.null[0] / 2)
        return ErrorSweep(name, tuple(map(float, values)), median, high, quadratic_median, exponent, expected_slope)


def largest_curvature(second_fundamental_form: Tensor) -> Tensor:
    """Return the largest absolute principal curvature `(B,)` over all normal directions.

    The search alternates between the tangent direction of the largest curvature and its normal. It is exact for a curve
    and at codimension 1; else it returns the best result of several starts.

    Args:
        second_fundamental_form: `(B, n, d, d)`.

    Example:
        >>> saddle = torch.zeros(1, 3, 2, 2)
        >>> saddle[0, 2] = torch.tensor([[1.0, 0.0], [0.0, -3.0]])
        >>> largest_curvature(saddle)
        tensor([3.])
    """
    d = second_fundamental_form.shape[2]
    # Only the normals in the range of the form matter, at most d^2 of n.
    second_fundamental_form = torch.linalg.qr(second_fundamental_form.flatten(2), mode="r").R.unflatten(2, (d, d))
    i, j = torch.triu_indices(d, d)
    eye = torch.eye(d).to(second_fundamental_form)
    best = second_fundamental_form.new_zeros(len(second_fundamental_form))
    for start in [*(eye[i] + eye[j]), *(eye[i] - eye[j])[i != j]]:
        along = torch.einsum("bnij,i,j->bn", second_fundamental_form, start, start)
        for _ in range(CURVATURE_ITERATIONS):
            normal = torch.nn.functional.normalize(along, dim=1)
            values, vectors = torch.linalg.eigh(torch.einsum("bnij,bn->bij", second_fundamental_form, normal))
            steepest = values.abs().argmax(1)
            direction = vectors.gather(2, steepest[:, None, None].expand(-1, d, 1))[:, :, 0]
            along = torch.einsum("bnij,bi,bj->bn", second_fundamental_form, direction, direction)
        best = torch.maximum(best, torch.linalg.vector_norm(along, dim=1))
    return best


def fit_power_law(abscissas: Sequence[float], values: Sequence[float], low: float, high: float) -> float | None:
    """Return the exponent of a power law, fitted by least squares to the values between `low` and `high`.

    None where there are fewer than two such values.

    Example:
        >>> round(fit_power_law([1.0, 2.0, 4.0, 8.0], [8.0, 4.0, 2.0, 0.0], 0.1, 10.0), 6)
        -1.0
    """
    used = [(math.log(x), math.log(value)) for x, value in zip(abscissas, values, strict=True) if low < value < high]
    if len(used) < 2:
        return None
    logarithms = np.array(used)
    return float(np.polyfit(logarithms[:, 0], logarithms[:, 1], 1)[0])


def _quantiles(angles: Tensor) -> tuple[float, ...]:
    return tuple(angles.quantile(angles.new_tensor(QUANTILE_LEVELS)).tolist())
