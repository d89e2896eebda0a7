"""How the decision boundary bends at the point where it is nearest to the sample."""

from typing import final

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dimple.boundary.boundary import Boundary
from dimple.linalg.lanczos import lanczos
from dimple.probes.base import Measurement, Probe
from dimple.probes.margin import Margin
from dimple.probes.shape_operator import ShapeOperator, tangent_part
from dimple.protocols import TangentField
from dimple.settings import Count, Positive, Seed, settings
from dimple.tensors import flatten, generator


@final
@settings
class Curvature(Probe):
    """The principal curvatures of the boundary where it is nearest to the sample, in l2.

    Positive where the boundary bends round the sample's own region, as a ball's does seen from inside (1 / radius);
    negative where it bulges towards the sample. Two readings, because the boundary of a network of ReLU type is flat
    but for its edges: the curvatures proper, from the Hessian of the gap restricted to the tangent hyperplane, exactly
    zero for such networks; and the finite one, by how much the normal turns over a step of `radius` times the sample's
    distance to either side, which sees the edges and approaches the former as the square of a small step.

    Up to `steps` + 1 dimensions the whole spectrum is found; above, `steps` Lanczos steps give its ends, from inside,
    and its means over one random start. The finite one is the largest that as many steps of power iteration meet.
    The null of either is the mean over `draws` random tangent directions, of the former over all of them where the
    whole spectrum is known: the mean curvature. All are nan where there is no boundary point, and in one dimension; the
    finite ones also at a sample on the boundary, whose step has no size.

    Columns, per input unit: `curvature` (the principal curvature of largest size, signed), `curvature_null`,
    `curvature_min`, `curvature_max` (the ends of the spectrum), `curvature_size` (the mean of the absolute values),
    `curvature_finite`, `curvature_finite_null`.

    Reference: do Carmo, Differential Geometry of Curves and Surfaces, section 3.3; Moosavi-Dezfooli et al. 2019 for
    curvature and robustness.

    Example:
        >>> ball = Boundary(lambda x: torch.stack([x.square().sum(1), torch.full((len(x),), 4.0)], dim=1))
        >>> x = torch.tensor([[1.0, 0.0, 0.0]])
        >>> Curvature()(ball, x, torch.tensor([1])).columns["curvature"].round(decimals=3)
        tensor([0.5000])
    """

    budget: Positive = 40.0
    starts: Count | None = None
    steps: Count = 16
    radius: Positive = 0.1
    draws: Count = 5
    seed: Seed = 0

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> Measurement:
        """Land on the boundary, then read both curvatures where a point was found."""
        predicted = boundary.predict(x)
        margin = Margin(budget=self.budget, starts=self.starts)(boundary, x, predicted, chunk=len(x))
        rows = torch.nonzero(margin.columns["margin_found"]).squeeze(1)
        names = [f"curvature{end}" for end in ("", "_null", "_min", "_max", "_size", "_finite", "_finite_null")]
        columns = {name: torch.full((len(x),), torch.nan, dtype=x.dtype, device=x.device) for name in names}
        if len(rows) and flatten(x).shape[1] > 1:
            points, label = margin.details["boundary_point"][rows], predicted[rows]
            found = self._smooth(boundary, points, label)
            found |= self._finite(boundary, points, label, self.radius * margin.columns["margin"][rows])
            for name, values in found.items():
                columns[name][rows] = values
        return Measurement(columns, dict.fromkeys(columns, "per input unit"))

    def _smooth(self, boundary: Boundary, points: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The spectrum of the second fundamental form, `-P H P / |gradient|`."""
        shape_operator = ShapeOperator.at(boundary, points, y)
        n = shape_operator.normal.shape[1]
        if n - 1 <= self.steps:
            values = shape_operator.spectrum()
            return _summary(values, torch.full_like(values, 1 / values.shape[1]), values.mean(1))
        directions = [self._direction(n, draw).to(points) for draw in range(self.draws)]
        images = shape_operator(directions[0].expand(len(points), n))
        found = {f"curvature{end}": torch.zeros_like(images[:, 0]) for end in ("", "_null", "_min", "_max", "_size")}
        # What has no curvature along a random direction has none: networks of ReLU type cost one product.
        curved = torch.nonzero(images.abs().amax(1) > 0).squeeze(1)
        if len(curved):
            shape_operator = ShapeOperator.at(boundary, points[curved], y[curved])
            start = shape_operator.tangent(directions[0].expand(len(curved), n))
            ritz = lanczos(shape_operator, start, self.steps)
            null = torch.stack([shape_operator.along(direction) for direction in directions]).mean(0)
            for name, values in _summary(ritz.values, ritz.weights, null).items():
                found[name][curved] = values
        return found

    def _finite(self, boundary: Boundary, points: Tensor, y: Tensor, step: Tensor) -> dict[str, Tensor]:
        """The largest turn of the normal over a finite step: power iteration with the step's difference quotient."""
        normal = _unit_normal(boundary, flatten(points), points, y)
        step = step[:, None]

        def turn(direction: Tensor) -> Tensor:
            """How the normal turns along unit tangent directions, per unit of length, within the tangent plane."""
            ahead, behind = (
                _unit_normal(boundary, flatten(points) + sign * step * direction, points, y) for sign in (1, -1)
            )
            return tangent_part((behind - ahead) / (2 * step), normal)

        best = torch.zeros_like(step[:, 0])
        n = normal.shape[1]
        direction = normalize(tangent_part(self._direction(n, 0).to(points).expand_as(normal), normal), dim=1)
        for _ in range(self.steps):
            image = turn(direction)
            curvature = (direction * image).sum(1)
            best = torch.where(curvature.abs() > best.abs(), curvature, best)
            # A direction along which nothing turns has told all it can; it stays.
            turned = image.abs().amax(1, keepdim=True) > 0
            direction = torch.where(turned, normalize(image, dim=1), direction)
        draws = []
        for draw in range(self.draws):
            along = normalize(tangent_part(self._direction(n, draw).to(points).expand_as(normal), normal), dim=1)
            draws.append((along * turn(along)).sum(1))
        best = torch.where(step[:, 0] > 0, best, torch.nan)
        return {"curvature_finite": best, "curvature_finite_null": torch.stack(draws).mean(0)}

    def _direction(self, n: int, draw: int) -> Tensor:
        """A random direction of R^n, the same for every sample."""
        return torch.randn(n, generator=generator(self.seed, "curvature", n, draw), dtype=torch.float64)


def _summary(values: Tensor, weights: Tensor, null: Tensor) -> dict[str, Tensor]:
    low, high = values[:, 0], values[:, -1]
    return {
        "curvature": torch.where(high.abs() >= low.abs(), high, low),
        "curvature_null": null,
        "curvature_min": low,
        "curvature_max": high,
        "curvature_size": (weights * values.abs()).sum(1),
    }


def _unit_normal(boundary: Boundary, rows: Tensor, like: Tensor, y: Tensor) -> Tensor:
    """The direction of the gap's gradient at rows `(B, n)` that have the shape of `like`, `(B, n)`."""
    _, gradient = boundary.gap_and_gradient(rows.reshape(like.shape), y)
    return normalize(flatten(gradient), dim=1)
