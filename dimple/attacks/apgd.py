"""Auto-PGD: projected gradient ascent of a loss within a fixed radius, with a step size that adapts itself.

Reference: Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
attacks" (ICML 2020), algorithm 1 with the two conditions of section 3.1, and the losses of sections 4 and 5.2.
"""

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from dimple.attacks.projections import project_onto_ball
from dimple.attacks.search import SearchProblem, SearchState
from dimple.boundary.boundary import runner_up_classes
from dimple.errors import SceneError
from dimple.tensors import generator, unit_vectors

# The loss `(R,)` of scores `(R, K)`, with the classes `(R,)` and the targets `(R,)`.
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
# The first step, in radii.
FIRST_STEP_IN_RADII = 2.0
# Weight of a step; the rest is that of the step before (momentum).
STEP_WEIGHT = 0.75
# The step size is halved where fewer than this fraction of the steps since the last check raised the loss.
MIN_RISING_FRACTION = 0.75
# The steps to the first check, by which each further interval is shorter, and in the shortest interval; of all steps.
FIRST_INTERVAL = 0.22
SHORTENING = 0.03
SHORTEST_INTERVAL = 0.06


def apgd_ce(problem: SearchProblem, radius: float, steps: int = 100, restarts: int = 1, seed: int = 0) -> SearchState:
    """Search within a radius by ascent of the cross-entropy, from a random point for each restart.

    A sample whose prediction changes is left at once. The points found are within the radius and the bounds, by the
    distance as it is computed; none lies beyond. With 100 steps a restart costs 101 passes.

    Args:
        problem: the question, in l2 or l-infinity, without a subspace and without targets.
        radius: the largest distance, in the norm of the problem.
        steps: the number of steps of a restart.
        restarts: the number of random starts of a sample without an adversarial point.
        seed: of the random starts, which are the same displacements for every sample.

    Raises:
        SceneError: for the norm l1, a subspace or targets.

    Example:
        >>> from dimple.boundary import Boundary
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> problem = SearchProblem(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1]))
        >>> apgd_ce(problem, 1.9).found, apgd_ce(problem, 2.1).found
        (tensor([False]), tensor([True]))
    """
    state = _start(problem)
    for restart in range(restarts):
        stream = generator(seed, "apgd_ce", restart)
        _ascend(state, radius, _cross_entropy, problem.y, steps, stream)
    return state


def apgd_targeted(
    problem: SearchProblem, radius: float, steps: int = 100, restarts: int = 1, classes: int = 9, seed: int = 0
) -> SearchState:
    """Search within a radius by ascent of the targeted difference-of-logits ratio, for one class after another.

    The targets are the `classes` highest-scoring other classes at the sample, the highest first; each has all its
    restarts. Any change of the prediction ends the search of a sample. The other arguments are those of `apgd_ce`.
    """
    state = _start(problem)
    targets = runner_up_classes(problem.boundary.scores(problem.x), problem.y, classes)
    for number in range(targets.shape[1]):
        for restart in range(restarts):
            stream = generator(seed, "apgd_targeted", number, restart)
            _ascend(state, radius, _logit_difference_ratio, targets[:, number], steps, stream)
    return state


def require_ball(problem: SearchProblem, attack: str) -> None:
    """Raise a SceneError unless the problem is one in a ball of l2 or l-infinity, without subspace and targets."""
    if problem.norm not in ("l2", "linf") or problem.constraint is not None or problem.targets is not None:
        raise SceneError(
            f"{attack} searches in l2 or linf for a change of the prediction, and norm is {problem.norm}"
            f"{'' if problem.constraint is None else ', within a subspace'}"
            f"{'' if problem.targets is None else ', with targets'}; choose the method closest of Margin"
        )


def shrink_radius(start: Tensor, radius: float, norm: str) -> Tensor:
    """Return radii `(R, 1)` within which the distance of rounded points from `start` `(R, n)` is at most `radius`."""
    precision = torch.finfo(start.dtype).eps
    rounding = precision * start.abs().amax(1, keepdim=True)
    rounding = rounding * start.shape[1] ** 0.5 if norm == "l2" else rounding
    return (radius * (1 - 4 * precision) - rounding).clamp(min=0)


def _start(problem: SearchProblem) -> SearchState:
    require_ball(problem, "apgd")
    return SearchState(problem, torch.inf)


def _ascend(
    state: SearchState, radius: float, loss: Loss, targets: Tensor, steps: int, stream: torch.Generator
) -> None:
    """Run the samples without an adversarial point from one random displacement."""
    rows = torch.nonzero(~state.found).squeeze(1)
    if len(rows):
        _Ascent(state, rows, radius, loss, targets[rows], stream).run(steps)


def _cross_entropy(scores: Tensor, y: Tensor, _: Tensor) -> Tensor:
    return cross_entropy(scores, y, reduction="none")


def _logit_difference_ratio(scores: Tensor, y: Tensor, targets: Tensor) -> Tensor:
    """Return `(z_t - z_y) / (z_1 - (z_3 + z_4) / 2)` with the scores in decreasing order below the fraction line.

    With three classes the mean is z_3; with two there is no scale, and the difference is returned.
    """
    difference = (scores.gather(1, targets[:, None]) - scores.gather(1, y[:, None])).squeeze(1)
    ordered = scores.topk(min(4, scores.shape[1]), dim=1).values
    if ordered.shape[1] == 2:
        return difference
    return difference / (ordered[:, 0] - ordered[:, 2:].mean(1)).clamp(min=torch.finfo(scores.dtype).tiny)


@final
class _Ascent:
    """One run of Auto-PGD from one random start for some samples of a search; samples with a point found drop out.

    Attributes:
        rows: the numbers of the samples in the search, `(R,)`; the others are rows `(R, ...)` for these samples.
        current, previous, best: points `(R, n)`, the last one with its gradient and the largest loss so far.
    """

    ROWS = (
        "rows", "targets", "radius", "start", "current", "previous", "gradient", "loss", "best", "best_gradient",
        "best_loss", "step_size", "rises", "checked_loss", "was_halved",
    )  # fmt: skip

    def __init__(
        self, state: SearchState, rows: Tensor, radius: float, loss: Loss, targets: Tensor, stream: torch.Generator
    ) -> None:
        self.state = state
        self.rows = rows
        self.targets = targets
        self.loss_function = loss
        self.start = state.origin[rows]
        n = self.start.shape[1]
        is_l2 = state.problem.norm == "l2"
        self.radius = shrink_radius(self.start, radius, state.problem.norm)
        draw = torch.randn(n, generator=stream, dtype=torch.float64)
        if not is_l2:
            draw = 2 * torch.rand(n, generator=stream, dtype=torch.float64) - 1
        unit = (draw / torch.linalg.vector_norm(draw, ord=2 if is_l2 else torch.inf)).to(self.start)
        self.current = self.previous = self.best = self._project(self.start + self.radius * unit)
        self.loss, self.gradient = self._evaluate()
        self.best_loss = self.loss
        self.best_gradient = self.gradient
        self.checked_loss = self.loss
        self.was_halved = torch.ones_like(self.loss, dtype=torch.bool)
        self.rises = torch.zeros_like(self.loss)
        self.step_size = FIRST_STEP_IN_RADII * self.radius

    def run(self, steps: int) -> None:
        """Take all steps, or those until every sample has a point."""
        interval = since_check = max(int(FIRST_INTERVAL * steps), 1)
        for step in range(steps):
            self._drop_found()
            if len(self.rows) == 0:
                return
            self._step(1.0 if step == 0 else STEP_WEIGHT)
            since_check -= 1
            if since_check == 0:
                self._check(interval)
                interval = max(interval - max(int(SHORTENING * steps), 1), int(SHORTEST_INTERVAL * steps), 1)
                since_check = interval

    def _evaluate(self) -> tuple[Tensor, Tensor]:
        """Return the loss and its gradient at the current points; the search keeps those that are adversarial."""
        y = self.state.problem.y[self.rows]
        _, loss, gradient = self.state.query_loss(
            self.rows, self.current, lambda scores: self.loss_function(scores, y, self.targets)
        )
        return loss.to(self.start), gradient

    def _step(self, weight: float) -> None:
        ascent = self.gradient.sign()
        if self.state.problem.norm == "l2":
            ascent = unit_vectors(self.gradient)
        ahead = self._project(self.current + self.step_size * ascent)
        momentum = self.current - self.previous
        self.previous = self.current
        self.current = self._project(self.current + weight * (ahead - self.current) + (1 - weight) * momentum)
        loss, self.gradient = self._evaluate()
        self.rises = self.rises + (loss > self.loss)
        self.loss = loss
        better = loss > self.best_loss
        self.best = torch.where(better[:, None], self.current, self.best)
        self.best_gradient = torch.where(better[:, None], self.gradient, self.best_gradient)
        self.best_loss = torch.where(better, loss, self.best_loss)

    def _check(self, interval: int) -> None:
        """Halve the step size of samples whose loss oscillates or has stopped to rise, and return them to the best."""
        halve = self.rises <= MIN_RISING_FRACTION * interval
        halve |= ~self.was_halved & (self.checked_loss >= self.best_loss)
        self.step_size = torch.where(halve[:, None], self.step_size / 2, self.step_size)
        self.current = torch.where(halve[:, None], self.best, self.current)
        self.gradient = torch.where(halve[:, None], self.best_gradient, self.gradient)
        self.was_halved = halve
        self.checked_loss = self.best_loss
        self.rises = torch.zeros_like(self.rises)

    def _drop_found(self) -> None:
        open_rows = ~self.state.found[self.rows]
        if not bool(open_rows.all()):
            for name in self.ROWS:
                setattr(self, name, getattr(self, name)[open_rows])

    def _project(self, points: Tensor) -> Tensor:
        """Return the points moved into the ball and then into the bounds, which keeps them in the ball."""
        inside = self.start + project_onto_ball(points - self.start, self.radius, self.state.problem.norm)
        return self.state.problem.confine(self.rows, inside)
