"""Speed of the decision boundary away from a sample or towards it while the weights change."""

import itertools
import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dimple.attacks.projections import margin_per_logit_margin
from dimple.boundary.boundary import Boundary, compute_logit_margin, soft_logit_margin
from dimple.errors import ModelError, ShapeError
from dimple.probes.base import ProbeResult
from dimple.probes.margin import Margin
from dimple.probes.weight_directions import (
    WeightDirection,
    directional_derivatives,
    move_weights,
    random_direction,
    require_eval,
)
from dimple.protocols import Classifier
from dimple.settings import Natural, Positive, Seed, SettingError, settings
from dimple.stats.null_bands import prediction_interval
from dimple.tensors import broadcast_per_sample, chunks, require_samples


@final
@settings
class Speed:
    """The rate of change of the margin while the weights move in a direction; positive if the boundary moves away.

    The closest boundary point moves so that its logit margin stays zero. The speed is therefore the rate of change of
    the logit margin at this point, divided by the dual norm of its gradient. Coordinates that are held at an input
    bound are left out. The speed is exact to first order where the point is the closest one and the boundary is smooth;
    `stationarity_angle` measures the deviation from a closest point. A misclassified sample has a negative margin, and
    a positive speed brings it closer to the correct side.

    With `beta`, the soft boundary is used: the zero set of `z_y - log(sum_other exp(beta z_other)) / beta`, which is
    closer to the correctly classified samples than the exact boundary and has no kinks. Its margin is that of the
    label.

    The null is the speed for random directions with the same length in every tensor of the network.

    Columns: those of the margin probe; `speed` and `speed_null`, `speed_null_low`, `speed_null_high`, in input units
    per unit of time along the direction, nan where no boundary point was found.

    Args:
        search: the search for the boundary point, with its norm.
        beta: the sharpness of the soft boundary; None for the exact boundary.
        null_draws: the number of random directions.
        seed: seed of the random directions.

    Reference: Xu, Sun, Goldblum, Goldstein, Huang 2023, Exploring and exploiting decision boundary dynamics for
    adversarial robustness, section 3.

    Example:
        >>> line = nn.Linear(1, 2, bias=True).double().eval().requires_grad_(False)
        >>> _ = line.weight.copy_(torch.tensor([[-1.0], [1.0]])), line.bias.zero_()
        >>> x, y = torch.tensor([[0.5]], dtype=torch.float64), torch.tensor([1])
        >>> Speed()(Boundary(line), x, y, {"bias": torch.tensor([0.0, 0.2])}).columns["speed"].round(decimals=6)
        tensor([0.1000], dtype=torch.float64)
    """

    search: Margin = Margin()
    beta: Positive | None = None
    null_draws: Natural = 39
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.search.norm == "l0":
            raise SettingError("Speed", "search", "has the norm l0, whose margins jump; choose l1, l2 or linf")

    def __call__(
        self, boundary: Boundary, x: Tensor, y: Tensor, direction: WeightDirection, *, chunk_size: int = 256
    ) -> ProbeResult:
        """Measure the samples `x` `(B, *shape)` with labels `y` `(B,)` while the weights move along `direction`.

        Raises:
            ModelError: if the classifier is not a network in eval mode, or the direction does not match its tensors.
        """
        require_samples(x)
        null = [random_direction(direction, self.seed, draw) for draw in range(self.null_draws)]
        parts = []
        for part in chunks(len(x), chunk_size):
            margin = self.margin(boundary, x[part], y[part])
            rates = self.rates(boundary, x[part], y[part], margin, [direction, *null])
            columns = {**margin.columns, "speed": rates[:, 0]}
            if null:
                low, high = prediction_interval(rates[:, 1:])
                columns |= {"speed_null": rates[:, 1:].median(1).values, "speed_null_low": low, "speed_null_high": high}
            unit = f"{self.search.norm}, input units per unit of time"
            units = margin.units | {name: unit for name in columns if name.startswith("speed")}
            parts.append(ProbeResult(columns, units, margin.details))
        return ProbeResult.concatenate(parts)

    def margin(self, boundary: Boundary, x: Tensor, y: Tensor) -> ProbeResult:
        """Return the margins to the exact boundary, or with `beta` to the soft boundary of the label."""
        if self.beta is None:
            return self.search(boundary, x, y, chunk_size=len(x))
        parts: list[ProbeResult] = []
        order: list[Tensor] = []
        for label in y.unique().tolist():
            rows = torch.nonzero(y == label).squeeze(1)
            soft = Boundary(SoftMarginClassifier(boundary.model, label, self.beta), boundary.bounds)
            parts.append(self.search(soft, x[rows], torch.zeros_like(rows), chunk_size=len(rows)))
            boundary.forwards += soft.forwards
            boundary.backwards += soft.backwards
            order.append(rows)
        merged = ProbeResult.concatenate(parts)
        inverse = torch.cat(order).argsort()
        columns = {name: values[inverse] for name, values in merged.columns.items()}
        details = {name: values[inverse] for name, values in merged.details.items()}
        return ProbeResult(columns, merged.units, details)

    def finite_difference(
        self,
        boundary: Boundary,
        x: Tensor,
        y: Tensor,
        direction: WeightDirection,
        time: float,
        *,
        chunk_size: int = 256,
    ) -> Tensor:
        """Return the speed as a difference quotient `(B,)` of the margins found before and after a move by `time`.

        It serves as a check of `speed`. The two differ by terms of the order of `time`, by errors of the searches, and
        where another boundary point is the closest one after the move.
        """
        later = Boundary(move_weights(_require_network(boundary), direction, time), boundary.bounds)
        rates = []
        for part in chunks(len(x), chunk_size):
            before = self.margin(boundary, x[part], y[part]).columns["margin"]
            after = self.margin(later, x[part], y[part]).columns["margin"]
            rates.append((after - before) / time)
        return torch.cat(rates)

    def rates(
        self, boundary: Boundary, x: Tensor, y: Tensor, margin: ProbeResult, directions: Sequence[WeightDirection]
    ) -> Tensor:
        """Return the speed for each of several directions, `(B, directions)`, from one search.

        Args:
            margin: the result of `margin` at the same samples.
        """
        network = _require_network(boundary)
        points = margin.details["boundary_point"]
        predicted = boundary.predict(x)
        classes = predicted if self.beta is None else y
        beta = self.beta

        def logit_margin(tensors: dict[str, Tensor], inputs: Tensor) -> Tensor:
            scores = functional_call(network, tensors, (inputs,))
            return compute_logit_margin(scores, classes) if beta is None else soft_logit_margin(scores, classes, beta)

        leaf = points.detach().requires_grad_(True)
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(logit_margin({}, leaf).sum(), leaf)
        # On the step of a misclassified sample to its soft boundary the margin of the label rises; on others it falls.
        rises = margin.columns["margin"] < 0 if beta is not None else torch.zeros_like(predicted, dtype=torch.bool)
        gradient = torch.where(broadcast_per_sample(rises, x), -gradient, gradient)
        factor = margin_per_logit_margin(points - x, gradient, points, self.search.norm, boundary.row_bounds(x))
        # The margin of a misclassified sample is negative, so that it decreases while its distance grows.
        sign = torch.where(predicted == y, 1.0, -1.0).to(x) if beta is None else torch.ones_like(factor)
        rates = directional_derivatives(lambda tensors: logit_margin(tensors, points), network, directions)
        boundary.forwards += 2 * len(x)
        boundary.backwards += len(x) * (3 + len(directions))
        speed = sign[:, None] * factor[:, None] * rates
        return speed.masked_fill(~margin.columns["margin_found"][:, None], torch.nan)


def _require_network(boundary: Boundary) -> nn.Module:
    classifier: Classifier = boundary.model
    if not isinstance(classifier, nn.Module):
        raise ModelError(f"{type(classifier).__name__} has no weights to move; the speed needs an nn.Module")
    require_eval(classifier)
    return classifier


@final
class SoftMarginClassifier:
    """A classifier of one class, as class 0, against the soft maximum of all others, as class 1."""

    def __init__(self, model: Classifier, label: int, beta: float) -> None:
        self.model = model
        self.label = label
        self.beta = beta

    def __call__(self, x: Tensor) -> Tensor:
        """Map samples `(B, *shape)` to the scores (soft logit margin, 0), `(B, 2)`."""
        scores = self.model(x)
        margin = soft_logit_margin(scores, torch.full((len(x),), self.label, device=x.device), self.beta)
        return torch.stack([margin, torch.zeros_like(margin)], dim=1)


def speed_sign_fractions(margin: Tensor, speed: Tensor, edges: Sequence[float]) -> list[dict[str, float]]:
    """Return the fractions of samples with positive and with negative speed for each interval of the margin.

    For random directions of the weights both fractions are one half.

    Args:
        margin: column `(B,)` of one step of a trajectory, or of several.
        speed: column `(B,)` of the same samples; nan values are left out.
        edges: increasing ends of the intervals, each of which includes its lower end; other margins are left out.

    Returns:
        For each interval `margin_from`, `margin_to`, `samples`, the fractions `positive` and `negative` (nan without
        samples), and `negative_low`, `negative_high`, the 95 % interval of the fraction of negative speeds if both
        signs are equally likely (nan without samples).

    Raises:
        ShapeError: if the columns differ in shape, or the edges are fewer than two or not increasing.

    Reference: Xu et al. 2023, figure 5.

    Example:
        >>> margin, speed = torch.tensor([0.1, 0.2, 0.7]), torch.tensor([1.0, -1.0, 1.0])
        >>> speed_sign_fractions(margin, speed, [0, 0.5, 1])[1]["positive"]
        1.0
    """
    from scipy.stats import binom

    if margin.shape != speed.shape or len(edges) < 2 or any(a >= b for a, b in itertools.pairwise(edges)):
        raise ShapeError(
            f"margin {tuple(margin.shape)}, speed {tuple(speed.shape)} and {len(edges)} edges give no intervals; pass "
            "two columns of the same samples and two or more increasing edges"
        )
    rows = []
    for low, high in itertools.pairwise(edges):
        signs = speed[(margin >= low) & (margin < high) & ~speed.isnan()].sign()
        count = len(signs)
        low_end, high_end = (binom.ppf([0.025, 0.975], count, 0.5) / count).tolist() if count else (math.nan, math.nan)
        rows.append({
            "margin_from": float(low), "margin_to": float(high), "samples": float(count),
            "positive": float((signs > 0).double().mean()), "negative": float((signs < 0).double().mean()),
            "negative_low": low_end, "negative_high": high_end,
        })  # fmt: skip
    return rows
