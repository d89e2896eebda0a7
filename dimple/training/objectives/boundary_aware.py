"""Boundary-aware training (DyART): the boundary is moved away from each sample, by its margin."""

import math
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from dimple.attacks.closest import closest_point
from dimple.attacks.projections import margin_per_logit_margin, stationarity_angle
from dimple.attacks.search import SearchProblem
from dimple.boundary.boundary import Boundary, compute_logit_margin, soft_logit_margin
from dimple.settings import Flag, NonNegative, Passes, Positive, settings
from dimple.tensors import norm as norm_of
from dimple.training.objectives.base import Batch, evaluation_mode
from dimple.training.objectives.burn_in import BurnInObjective
from dimple.training.objectives.losses import mean_loss


@final
@settings
class BoundaryAware(BurnInObjective):
    """Cross-entropy plus `weight` times the mean of a decreasing function h of the margins R of the samples.

    h(R) is (exp(-alpha R) - exp(-alpha cutoff)) / alpha below the cutoff and 0 above it, so that small margins count
    most. By the chain rule its gradient is -exp(-alpha R) times that of the margin, which is the gradient of the logit
    margin phi at the closest boundary point with respect to the weights, divided by the dual norm of that with respect
    to the point. The closest point is searched on the boundary of the soft logit margin,
    z_y - log(sum over the others of exp(beta z)) / beta, which has no kinks and is closer than the exact one.

    Samples that are misclassified, and those whose point misses the first-order condition of a closest one, have no
    part in the mean but are counted in it. The search and the mean see the network in eval mode, so that batch norm and
    dropout define one boundary; the cross-entropy sees it in training mode.

    Args:
        norm: norm of the margin, `l2` or `linf`.
        margin: `input` for the margins R; `logit` for the logit margins of the samples in their place, which need no
            search, as a comparison that shows what the distance adds.
        weight: weight of the mean over the margins; 0 for cross-entropy alone.
        alpha: rate at which the weight of a sample falls with its margin; 0 for equal weights.
        cutoff: the margin from which on a sample is left alone; null for none.
        beta: sharpness of the soft boundary; null for the exact boundary.
        divide_by_gradient: whether the gradient is that of the margin; if false, that of the logit margin at the
            boundary point takes its place.
        max_passes: largest number of passes of the search for one sample.
        max_angle: the largest `stationarity_angle`, in degrees, of a point that counts.
        burn_in: the end of a training by cross-entropy that comes before step 0; null for none.

    Reference: Xu, Sun, Goldblum, Goldstein, Huang 2023, Exploring and exploiting decision boundary dynamics for
    adversarial robustness, section 4, with the search of `dimple.attacks.closest` in place of theirs.
    """

    norm: Literal["l2", "linf"] = "l2"
    margin: Literal["input", "logit"] = "input"
    weight: NonNegative = 10.0
    alpha: NonNegative = 3.0
    cutoff: Positive | None = None
    beta: Positive | None = 5.0
    divide_by_gradient: Flag = True
    max_passes: Passes = 20.0
    max_angle: Positive = 30.0

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        loss = mean_loss("cross_entropy", network(batch.x), batch.y)
        if not self.weight:
            return loss
        with evaluation_mode(network):
            return loss + self.weight * self.robustness(network, batch).sum() / len(batch.x)

    def robustness(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return h(R) `(C,)` of the samples that count, with the gradient of the objective for the weights."""
        if self.margin == "logit":
            logit_margin = self._logit_margin(network(batch.x), batch.y)
            return self._decreasing(logit_margin[(logit_margin > 0) & (logit_margin < (self.cutoff or math.inf))])
        rows, points = self.closest_points(network, batch)
        if len(rows) == 0:
            return batch.x.new_zeros(0)
        batch = batch.select(rows)
        leaf = points.detach().requires_grad_()
        logit_margin = self._logit_margin(network(leaf), batch.y)
        (gradient,) = torch.autograd.grad(logit_margin.sum(), leaf, retain_graph=True)
        bounds = None if batch.bounds is None else batch.bounds.for_rows(batch.x)
        angle = stationarity_angle(points - batch.x, gradient, points, self.norm, bounds)
        margin = norm_of(points - batch.x, self.norm)
        counts = (angle <= self.max_angle) & (margin < (self.cutoff or math.inf))
        factor = margin_per_logit_margin(points - batch.x, gradient, points, self.norm, bounds)
        if not self.divide_by_gradient:
            factor = torch.ones_like(factor)
        # The value is that of h, and the gradient that of the logit margin, which is zero to rounding.
        change = -(torch.exp(-self.alpha * margin) * factor * logit_margin)[counts]
        return self._decreasing(margin[counts]) + change - change.detach()

    def closest_points(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Search the closest boundary points of the samples on the side of their label.

        Returns:
            The rows `(C,)` of the samples for which one was found, and the points `(C, *shape)`.
        """
        with torch.no_grad():
            rows = torch.nonzero(self._logit_margin(network(batch.x), batch.y) > 0).squeeze(1)
        if len(rows) == 0:
            return rows, batch.x[rows]
        model = network if self.beta is None else _SoftRegions(network, self.beta)
        problem = SearchProblem(Boundary(model, batch.bounds), batch.x[rows], batch.y[rows], self.norm)
        search = closest_point(problem, self.max_passes)
        return rows[search.found], search.points.reshape(problem.x.shape)[search.found]

    def _logit_margin(self, scores: Tensor, y: Tensor) -> Tensor:
        return compute_logit_margin(scores, y) if self.beta is None else soft_logit_margin(scores, y, self.beta)

    def _decreasing(self, margin: Tensor) -> Tensor:
        """Return h of the margins below the cutoff."""
        if not self.alpha:
            return (self.cutoff or 0.0) - margin
        at_cutoff = 0.0 if self.cutoff is None else math.exp(-self.alpha * self.cutoff)
        return (torch.exp(-self.alpha * margin) - at_cutoff) / self.alpha


@final
class _SoftRegions:
    """A classifier whose region of each class is that of a positive soft logit margin, and a further class elsewhere.

    At most one class has a positive soft logit margin, so that the regions do not meet each other.
    """

    def __init__(self, network: nn.Module, beta: float) -> None:
        self.network = network
        self.beta = beta

    def __call__(self, x: Tensor) -> Tensor:
        """Map samples `(B, *shape)` to the soft logit margins of the K classes and a zero, `(B, K + 1)`."""
        scores = self.network(x)
        own = torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device)
        others = (self.beta * scores)[:, None].masked_fill(own, -torch.inf).logsumexp(2) / self.beta
        return functional.pad(scores - others, (0, 1))
