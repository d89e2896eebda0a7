"""How fast the decision boundary moves away from a sample, or towards it, while the weights change."""

import itertools
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dimple.attacks.projections import dual_norm, held_at_walls
from dimple.boundary.boundary import Boundary, gap_of
from dimple.errors import ModelError, ShapeError
from dimple.probes.base import Measurement
from dimple.probes.margin import Margin
from dimple.probes.weight_directions import Direction, moved, random_direction, rates_along, require_eval
from dimple.protocols import Classifier
from dimple.settings import Natural, Positive, Seed, settings
from dimple.stats.null_bands import band
from dimple.tensors import Box, chunks, flatten, per_sample, require_samples


@final
@settings
class Speed:
    """The rate of change of the margin while the weights move in a direction: positive, the boundary moves away.

    At the nearest boundary point the gap stays zero while the weights change, so the margin changes as fast as the gap
    does there, over the dual norm of the gap's gradient. Where the box holds coordinates at a wall, only the others
    count. Exact to first order where the point is the nearest and the boundary is smooth; `margin_residual` says how
    nearly it is. Of a sample that is classified wrongly, the margin is negative and positive speed brings it closer to
    being right.

    With `beta` the boundary is the soft one: the zero set of `z_y - log(sum_other exp(beta z_other)) / beta`, which
    lies on the near side of the exact one and has no kinks. Its margin is that of the label.

    The null is the speed for `draws` random directions of the same length in every tensor of the network.

    Columns: those of the margin probe; `speed` and `speed_null`, `speed_null_low`, `speed_null_high`, in input units
    per unit of time along the direction, nan where no boundary point was found.

    Args:
        search: how the boundary point is found, and in which norm.

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
    draws: Natural = 39
    seed: Seed = 0

    def __call__(
        self, boundary: Boundary, x: Tensor, y: Tensor, direction: Direction, *, chunk: int = 256
    ) -> Measurement:
        """Measure the samples `x` `(B, *shape)` with labels `y` `(B,)` while the weights move along `direction`.

        Raises:
            ModelError: if the classifier is no network in eval mode, or the direction is not one of its own.
        """
        require_samples(x)
        network = _network(boundary)
        null = [random_direction(direction, self.seed, draw) for draw in range(self.draws)]
        parts = []
        for part in chunks(len(x), chunk):
            margin = self.margin(boundary, x[part], y[part])
            rates = self._rates(boundary, network, x[part], y[part], margin, [direction, *null])
            columns, units = dict(margin.columns), dict(margin.units)
            columns["speed"] = rates[:, 0]
            if null:
                low, high = band(rates[:, 1:])
                columns |= {"speed_null": rates[:, 1:].median(1).values, "speed_null_low": low, "speed_null_high": high}
            units |= {name: f"{self.search.norm}, input units a time" for name in columns if name.startswith("speed")}
            parts.append(Measurement(columns, units, margin.details))
        return Measurement.concatenate(parts)

    def margin(self, boundary: Boundary, x: Tensor, y: Tensor) -> Measurement:
        """The margins to the exact boundary, or to the soft one of the label."""
        if self.beta is None:
            return self.search(boundary, x, y, chunk=len(x))
        parts, order = [], []
        for label in y.unique().tolist():
            rows = torch.nonzero(y == label).squeeze(1)
            soft = Boundary(SoftGap(boundary.classifier, label, self.beta), boundary.box)
            parts.append(self.search(soft, x[rows], torch.zeros_like(rows), chunk=len(rows)))
            boundary.forwards += soft.forwards
            boundary.backwards += soft.backwards
            order.append(rows)
        whole, back = Measurement.concatenate(parts), torch.cat(order).argsort()
        pick = [{name: values[back] for name, values in part.items()} for part in (whole.columns, whole.details)]
        return Measurement(pick[0], whole.units, pick[1])

    def by_difference(
        self, boundary: Boundary, x: Tensor, y: Tensor, direction: Direction, time: float, *, chunk: int = 256
    ) -> Tensor:
        """The speed as a difference quotient, `(B,)`: both margins searched for, before and after `time`.

        What `speed` is measured against; it differs from it by terms of the order of `time`, by what the searches
        leave, and wherever the nearest boundary point is another one after the move.
        """
        later = Boundary(moved(_network(boundary), direction, time), boundary.box)
        rates = []
        for part in chunks(len(x), chunk):
            before, after = (self.margin(one, x[part], y[part]).columns["margin"] for one in (boundary, later))
            rates.append((after - before) / time)
        return torch.cat(rates)

    def _rates(
        self, boundary: Boundary, network: nn.Module, x: Tensor, y: Tensor, margin: Measurement, along: list[Direction]
    ) -> Tensor:
        """The speed for each direction, `(B, directions)`."""
        points = margin.details["boundary_point"]
        predicted = boundary.predict(x)
        held = predicted if self.beta is None else y
        beta = self.beta

        def gap(tensors: dict[str, Tensor], at: Tensor) -> Tensor:
            scores = functional_call(network, tensors, (at,))
            return gap_of(scores, held) if beta is None else soft_gap(scores, held, beta)

        leaf = points.detach().requires_grad_(True)
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(gap({}, leaf).sum(), leaf)
        # The way to the soft boundary of a wrong sample leads up the gap of its label; every other leads down.
        uphill = margin.columns["margin"] < 0 if beta is not None else torch.zeros_like(predicted, dtype=torch.bool)
        downhill = torch.where(per_sample(uphill, x), -gradient, gradient)
        per_gap = margin_per_gap(points - x, downhill, points, self.search.norm, boundary.box)
        # Beyond the boundary of its own class a sample's distance counts as negative: it grows as the margin falls.
        sign = torch.where(predicted == y, 1.0, -1.0).to(x) if beta is None else torch.ones_like(per_gap)
        rates = rates_along(lambda tensors: gap(tensors, points), network, along)
        boundary.forwards += 2 * len(x)
        boundary.backwards += len(x) * (3 + len(along))
        speed = sign[:, None] * per_gap[:, None] * rates
        return speed.masked_fill(~margin.columns["margin_found"][:, None], torch.nan)


def margin_per_gap(step: Tensor, gradient: Tensor, points: Tensor, norm: str, box: Box | None) -> Tensor:
    """How much the margin grows for each unit that the gap at the nearest boundary point grows, `(B,)`.

    One over the dual norm of the gradient, that of a gap which falls along the step; with a box, over that of the
    coordinates that no wall holds, and in l2 times the share of the step's length that they have: the multiplier of the
    constrained problem.
    """
    s, g, at = flatten(step), flatten(gradient), flatten(points)
    length = s.norm(dim=1)
    if box is not None:
        stopped = held_at_walls(s, g, at, box)
        s, g = s.masked_fill(stopped, 0.0), g.masked_fill(stopped, 0.0)
    tiny = torch.finfo(s.dtype).tiny
    moving = s.norm(dim=1) / length.clamp(min=tiny) if norm == "l2" and box is not None else torch.ones_like(length)
    return moving / dual_norm(g, norm).clamp(min=tiny)


def _network(boundary: Boundary) -> nn.Module:
    classifier: Classifier = boundary.classifier
    if not isinstance(classifier, nn.Module):
        raise ModelError(f"{type(classifier).__name__} has no weights that could move; the speed needs an nn.Module")
    require_eval(classifier)
    return classifier


def soft_gap(scores: Tensor, y: Tensor, beta: float) -> Tensor:
    """`z_y - log(sum_other exp(beta z_other)) / beta` of scores `(B, K)` and classes `(B,)`.

    At most the gap, and less by at most `log(K - 1) / beta`; zero where the softmax of `beta z` gives the class a half.

    Reference: Xu et al. 2023, Exploring and exploiting decision boundary dynamics for adversarial robustness.

    Example:
        >>> soft_gap(torch.tensor([[2.0, 1.0, 1.0]]), torch.tensor([0]), beta=100.0)
        tensor([0.9931])
    """
    own = scores.gather(1, y[:, None]).squeeze(1)
    others = scores.scatter(1, y[:, None], float("-inf"))
    return own - torch.logsumexp(beta * others, dim=1) / beta


@final
class SoftGap:
    """One class against the soft maximum of all others, as a classifier of two scores: class 0 is the class itself."""

    def __init__(self, classifier: Classifier, label: int, beta: float) -> None:
        self.classifier = classifier
        self.label = label
        self.beta = beta

    def __call__(self, x: Tensor) -> Tensor:
        """Samples `(B, *shape)` to the scores (soft gap, 0), `(B, 2)`."""
        scores = self.classifier(x)
        gap = soft_gap(scores, torch.full((len(x),), self.label, device=x.device), self.beta)
        return torch.stack([gap, torch.zeros_like(gap)], dim=1)


def speed_shares(margin: Tensor, speed: Tensor, edges: Sequence[float]) -> list[dict[str, float]]:
    """The shares of samples whose boundary moves away and towards them, for each interval of the margin.

    For random directions of the weights either share is a half.

    Args:
        margin, speed: columns `(B,)` of one step of a trajectory, or of several.
        edges: rising ends of the intervals; margins below the first or from the last on are left out.

    Returns:
        For each interval `margin_from`, `margin_to`, `samples`, `positive`, `negative` (shares; nan without samples),
        and `negative_low`, `negative_high`, between which the share of negative speeds would lie, at 95 %, if either
        sign were equally likely.

    Reference: Xu et al. 2023, figure 5.

    Example:
        >>> import torch
        >>> speed_shares(torch.tensor([0.1, 0.2, 0.7]), torch.tensor([1.0, -1.0, 1.0]), [0, 0.5, 1])[1]["positive"]
        1.0
    """
    from scipy.stats import binom

    if margin.shape != speed.shape or len(edges) < 2 or any(a >= b for a, b in itertools.pairwise(edges)):
        raise ShapeError(
            f"margin {tuple(margin.shape)}, speed {tuple(speed.shape)} and {len(edges)} edges give no intervals; pass "
            "two columns of the same samples and two or more rising edges"
        )
    rows = []
    for low, high in itertools.pairwise(edges):
        signs = speed[(margin >= low) & (margin < high) & ~speed.isnan()].sign()
        count = len(signs)
        low_end, high_end = (float(binom.ppf(tail, count, 0.5)) / max(count, 1) for tail in (0.025, 0.975))
        rows.append({
            "margin_from": float(low), "margin_to": float(high), "samples": float(count),
            "positive": float((signs > 0).double().mean()), "negative": float((signs < 0).double().mean()),
            "negative_low": low_end, "negative_high": high_end,
        })  # fmt: skip
    return rows
