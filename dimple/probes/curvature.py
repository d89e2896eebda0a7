"""Principal curvatures of the decision boundary at the closest boundary point of each sample."""

from typing import final

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.linalg.lanczos import lanczos
from dimple.probes.base import Probe, ProbeResult
from dimple.probes.margin import Margin
from dimple.probes.shape_operator import ShapeOperator, tangent_component
from dimple.protocols import TangentField
from dimple.settings import Passes, Positive, Repeats, Seed, settings
from dimple.tensors import flatten, generator, unit_vectors


@final
@settings
class Curvature(Probe):
    """The principal curvatures of the boundary at the closest boundary point in l2.

    The curvature is positive where the region of the sample's class is convex, as for a ball seen from inside
    (1 / radius), and negative where the boundary bulges towards the sample. It is measured in two ways, because the
    boundary of a network of ReLU type is flat except at its edges. The first is the spectrum of the Hessian of the
    logit margin, restricted to the tangent hyperplane and divided by the gradient's norm, which is exactly zero for
    such networks. The second is the difference quotient of the normal over a step of `radius` times the margin to
    either side: it includes the edges, and differs from the first by terms of the order of the squared step.

    Up to `steps` + 1 dimensions the full spectrum is computed. Above that, `steps` Lanczos steps from one random start
    give its ends, which are estimated from inside, and the mean of the absolute values. The finite difference is the
    largest one met in as many steps of power iteration. The null of both is the mean over `null_draws` random tangent
    directions; where the full spectrum is known, that of the first is the mean curvature. All columns are nan where no
    boundary point was found, and in one dimension; the finite differences also for a sample on the boundary, whose step
    has length zero.

    Columns, per input unit: `curvature` (the principal curvature of largest absolute value, signed), `curvature_null`,
    `curvature_min`, `curvature_max` (the ends of the spectrum), `curvature_mean_abs` (the mean of the absolute values),
    `curvature_finite_difference`, `curvature_finite_difference_null`.

    Args:
        max_passes: the largest number of passes of one search for the boundary point of one sample.
        restarts: as in `Margin`.
        steps: the number of steps of Lanczos and of power iteration.
        radius: the finite step, relative to the margin.
        null_draws: the number of random directions.
        seed: seed of these directions.

    Reference: do Carmo, Differential Geometry of Curves and Surfaces, section 3.3; Moosavi-Dezfooli et al. 2019 for
    curvature and robustness.

    Example:
        >>> ball = Boundary(lambda x: torch.stack([x.square().sum(1), torch.full((len(x),), 4.0)], dim=1))
        >>> x = torch.tensor([[1.0, 0.0, 0.0]])
        >>> Curvature()(ball, x, torch.tensor([1])).columns["curvature"].round(decimals=3)
        tensor([0.5000])
    """

    max_passes: Passes = 40.0
    restarts: Repeats | None = None
    steps: Repeats = 16
    radius: Positive = 0.1
    null_draws: Repeats = 5
    seed: Seed = 0

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> ProbeResult:
        predicted = boundary.predict(x)
        margin = Margin(max_passes=self.max_passes, restarts=self.restarts)(boundary, x, predicted, chunk_size=len(x))
        rows = torch.nonzero(margin.columns["margin_found"]).squeeze(1)
        # The finite difference comes first: it is meaningful for piecewise linear networks too.
        suffixes = ("_finite_difference", "_finite_difference_null", "", "_null", "_min", "_max", "_mean_abs")
        columns = {
            f"curvature{suffix}": torch.full((len(x),), torch.nan, dtype=x.dtype, device=x.device)
            for suffix in suffixes
        }
        if len(rows) and flatten(x).shape[1] > 1:
            points = margin.details["boundary_point"][rows]
            step = self.radius * margin.columns["margin"][rows]
            found = self._hessian_curvatures(boundary, points, predicted[rows])
            found |= self._finite_difference_curvatures(boundary, points, predicted[rows], step)
            for name, values in found.items():
                columns[name][rows] = values
        return ProbeResult(columns, dict.fromkeys(columns, "per input unit"))

    def _hessian_curvatures(self, boundary: Boundary, points: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Return the columns from the spectrum of the second fundamental form, `-P H P / |gradient|`."""
        shape_operator = ShapeOperator.from_boundary(boundary, points, y)
        n = shape_operator.normal.shape[1]
        if n - 1 <= self.steps:
            values = shape_operator.principal_curvatures()
            return _curvature_columns(values, torch.full_like(values, 1 / values.shape[1]), values.mean(1))
        directions = [self._random_direction(n, draw).to(points) for draw in range(self.null_draws)]
        products = shape_operator(directions[0].expand(len(points), n))
        found = {
            f"curvature{suffix}": torch.zeros_like(products[:, 0])
            for suffix in ("", "_null", "_min", "_max", "_mean_abs")
        }
        # Where the product with a random direction is zero, so is the operator: ReLU networks cost one product.
        curved = torch.nonzero(products.abs().amax(1) > 0).squeeze(1)
        if len(curved):
            shape_operator = ShapeOperator.from_boundary(boundary, points[curved], y[curved])
            start = shape_operator.to_tangent(directions[0].expand(len(curved), n))
            ritz = lanczos(shape_operator, start, self.steps)
            null = torch.stack([shape_operator.normal_curvature(direction) for direction in directions]).mean(0)
            for name, values in _curvature_columns(ritz.values, ritz.weights, null).items():
                found[name][curved] = values
        return found

    def _finite_difference_curvatures(
        self, boundary: Boundary, points: Tensor, y: Tensor, step: Tensor
    ) -> dict[str, Tensor]:
        """Return the columns from difference quotients of the normal over a finite step, by power iteration."""
        normal = _unit_normal(boundary, flatten(points), points, y)
        step = step[:, None]

        def difference_quotient(direction: Tensor) -> Tensor:
            """Return the tangent part of the change of the normal along unit tangent directions, per unit of length."""
            ahead, behind = (
                _unit_normal(boundary, flatten(points) + sign * step * direction, points, y) for sign in (1, -1)
            )
            return tangent_component((behind - ahead) / (2 * step), normal)

        def random_tangent(draw: int) -> Tensor:
            direction = self._random_direction(normal.shape[1], draw).to(points)
            return unit_vectors(tangent_component(direction.expand_as(normal), normal))

        best = torch.zeros_like(step[:, 0])
        direction = random_tangent(0)
        for _ in range(self.steps):
            change = difference_quotient(direction)
            curvature = (direction * change).sum(1)
            best = torch.where(curvature.abs() > best.abs(), curvature, best)
            # Where the normal does not change, the direction cannot be iterated further and stays.
            changed = change.abs().amax(1, keepdim=True) > 0
            direction = torch.where(changed, unit_vectors(change), direction)
        draws = []
        for draw in range(self.null_draws):
            direction = random_tangent(draw)
            draws.append((direction * difference_quotient(direction)).sum(1))
        best = torch.where(step[:, 0] > 0, best, torch.nan)
        return {"curvature_finite_difference": best, "curvature_finite_difference_null": torch.stack(draws).mean(0)}

    def _random_direction(self, n: int, draw: int) -> Tensor:
        """Return a random direction of R^n, the same for every sample."""
        return torch.randn(n, generator=generator(self.seed, "curvature", n, draw), dtype=torch.float64)


def _curvature_columns(values: Tensor, weights: Tensor, null: Tensor) -> dict[str, Tensor]:
    low = values[:, 0]
    high = values[:, -1]
    return {
        "curvature": torch.where(high.abs() >= low.abs(), high, low),
        "curvature_null": null,
        "curvature_min": low,
        "curvature_max": high,
        "curvature_mean_abs": (weights * values.abs()).sum(1),
    }


def _unit_normal(boundary: Boundary, rows: Tensor, like: Tensor, y: Tensor) -> Tensor:
    """Return the unit gradient `(B, n)` of the logit margin at rows `(B, n)`, which have the sample shape of `like`."""
    _, gradient = boundary.logit_margin_and_gradient(rows.reshape(like.shape), y)
    return unit_vectors(flatten(gradient))
