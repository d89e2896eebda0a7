"""The decision boundary of a classifier: scores, logit margins and gradients, with every pass counted."""

import functools
from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.protocols import Classifier
from dimple.tensors import BoundsLike, Box, as_box, chunks, flatten

# The cost of a forward and of a backward evaluation of one sample, in passes: together they are one pass.
FORWARD_COST = 0.4
BACKWARD_COST = 0.6
# Reference samples that are predicted together.
PREDICTION_BATCH = 256


@final
class Boundary:
    """The zero set of the logit margin `z_y - max_other z` of a classifier.

    Probes use the classifier only through the scores, margins and gradients of this class. The network may be of any
    kind and the samples of any shape: a point of R^3 and an image are treated alike. `forwards` and `backwards` count
    the evaluations so far, in samples.

    Args:
        model: maps `(B, *shape)` to scores `(B, K)`, K >= 2.
        bounds: the range of the coordinates that a search may not leave: a box, two numbers such as `(0, 1)`, or two
            arrays that broadcast to one sample; None for the full space.
        reference: `(N, *shape)`, other inputs of the same kind, such as training samples. A search with passes to spare
            starts from the nearest ones of other classes too, which matters where gradients at the sample mislead it.

    Raises:
        UsageError: if the bounds are neither.

    Example:
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> half_space.logit_margin(torch.tensor([[2.0, 5.0]]), torch.tensor([1]))
        tensor([4.])
    """

    def __init__(self, model: Classifier, bounds: BoundsLike = None, reference: Tensor | None = None) -> None:
        self.model = model
        self.bounds = as_box(bounds)
        self.reference = reference
        self.forwards = 0
        self.backwards = 0
        self._class_count: int | None = None

    def row_bounds(self, x: Tensor) -> Box | None:
        """Return the bounds of the samples `(B, *shape)` as rows `(B, n)`; None for the full space."""
        return None if self.bounds is None else self.bounds.for_rows(x)

    def scores(self, x: Tensor) -> Tensor:
        """Return the classifier's scores `(B, K)` for samples `(B, *shape)`, without gradient.

        Raises:
            ShapeError: if the classifier's output is not `(B, K)` with K >= 2.
        """
        with torch.no_grad():
            return self._scores(x)

    def class_count(self, x: Tensor) -> int:
        """Return the number of classes K, from the scores of earlier samples or else of the first of `x`."""
        return self._class_count or self.scores(x[:1]).shape[1]

    def predict(self, x: Tensor) -> Tensor:
        """Return the class of the largest score, `(B,)`; of equal scores the lowest class."""
        return self.scores(x).argmax(1)

    @functools.cached_property
    def reference_classes(self) -> Tensor:
        """The predicted classes of the reference samples, `(N,)`."""
        assert self.reference is not None
        parts = [self.predict(self.reference[part]) for part in chunks(len(self.reference), PREDICTION_BATCH)]
        return torch.cat(parts)

    def logit_margin(self, x: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
        """Return `z_y - max_other z`, `(B,)`: positive where the class `y` wins, zero on its boundary.

        With `target` `(B,)`, return `max_other z - z_target`: positive until that class wins, zero on its boundary.
        """
        return compute_logit_margin(self.scores(x), y, target)

    def logit_margin_and_gradient(self, x: Tensor, y: Tensor, target: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the logit margin `(B,)` and its gradient with respect to the samples, in their shape."""
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            logit_margin = compute_logit_margin(self._scores(leaf), y, target)
            (gradient,) = torch.autograd.grad(logit_margin.sum(), leaf)
        self.backwards += len(x)
        return logit_margin.detach(), gradient

    def scores_and_class_gradients(
        self, x: Tensor, y: Tensor, other_classes: Tensor | int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the scores, some other classes, the margins over each of them, and the gradients of these margins.

        The cost is one forward and R backwards for each sample.

        Args:
            x: `(B, *shape)`.
            y: `(B,)` classes.
            other_classes: `(B, R)` class numbers other than `y`, or how many of the highest-scoring other classes to
                take (at most K - 1).

        Returns:
            The scores `(B, K)`; the other classes `(B, R)`; `z_y - z_other` for each, `(B, R)`; the gradients of these,
            `(B, R, *shape)`.
        """
        gradients = []
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            scores = self._scores(leaf)
            if isinstance(other_classes, int):
                other_classes = runner_up_classes(scores.detach(), y, other_classes)
            class_margins = scores.gather(1, y[:, None]) - scores.gather(1, other_classes)
            for column in range(other_classes.shape[1]):
                last = column == other_classes.shape[1] - 1
                (gradient,) = torch.autograd.grad(class_margins[:, column].sum(), leaf, retain_graph=not last)
                gradients.append(gradient)
        self.backwards += other_classes.numel()
        return scores.detach(), other_classes, class_margins.detach(), torch.stack(gradients, 1)

    def logit_margin_hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Return the gradient of the logit margin, and a function that multiplies by its Hessian at `x`.

        The function maps directions `(B, *shape)` to products of the same shape, each at the cost of about two
        backwards. The Hessian is zero for piecewise linear networks, such as those with ReLU.
        """
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            logit_margin = compute_logit_margin(self._scores(leaf), y)
            (gradient,) = torch.autograd.grad(logit_margin.sum(), leaf, create_graph=True)
        self.backwards += len(x)

        def multiply_by_hessian(direction: Tensor) -> Tensor:
            self.backwards += 2 * len(x)
            if not gradient.requires_grad:
                return torch.zeros_like(direction)
            (product,) = torch.autograd.grad(
                gradient, leaf, direction, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            return product

        return gradient.detach(), multiply_by_hessian

    def scores_and_gradient(self, x: Tensor, function: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scores `(B, K)`, a function of them `(B,)`, such as a loss, and its gradient in the shape of x."""
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            scores = self._scores(leaf)
            values = function(scores)
            (gradient,) = torch.autograd.grad(values.sum(), leaf)
        self.backwards += len(x)
        return scores.detach(), values.detach(), gradient

    def _scores(self, x: Tensor) -> Tensor:
        if len(x) == 0 and self._class_count is not None:
            # Some networks fail on an empty batch.
            return flatten(x).sum(1, keepdim=True).expand(-1, self._class_count)
        scores: Any = self.model(x)
        if not isinstance(scores, Tensor) or not scores.is_floating_point():
            found = scores.dtype if isinstance(scores, Tensor) else f"a {type(scores).__name__}"
            raise ShapeError(
                f"the classifier returned {found}; scores are a tensor of real numbers (B, K): return the logits"
            )
        if scores.dim() != 2 or len(scores) != len(x) or scores.shape[1] < 2:
            raise ShapeError(
                f"the classifier turned {tuple(x.shape)} into {tuple(scores.shape)}; scores are (B, K) with K >= 2: "
                "wrap a single-logit network in dimple.networks.add_second_logit"
            )
        self.forwards += len(x)
        self._class_count = scores.shape[1]
        result: Tensor = scores
        return result


def compute_logit_margin(scores: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Return `z_y - max_other z`, `(B,)`, of scores `(B, K)` and classes `(B,)`.

    With `target` `(B,)`, return `max_other z - z_target`.
    """
    if target is not None:
        return -compute_logit_margin(scores, target)
    own = scores.gather(1, y[:, None]).squeeze(1)
    if scores.shape[1] == 2:
        return own - scores.gather(1, 1 - y[:, None]).squeeze(1)
    others = scores.scatter(1, y[:, None], float("-inf"))
    return own - others.max(1).values


def is_correct(scores: Tensor, y: Tensor) -> Tensor:
    """Return whether scores `(B, K)` are largest for the classes `(B,)`; false where they are nan or not comparable.

    Example:
        >>> is_correct(torch.tensor([[2.0, 1.0], [torch.nan, 1.0], [0.0, 1.0]]), torch.tensor([0, 0, 0]))
        tensor([ True, False, False])
    """
    return (scores.argmax(1) == y) & ~compute_logit_margin(scores, y).isnan()


def soft_logit_margin(scores: Tensor, y: Tensor, beta: float) -> Tensor:
    """Return `z_y - log(sum_other exp(beta z_other)) / beta` of scores `(B, K)` and classes `(B,)`.

    It is at most the logit margin, and less by at most `log(K - 1) / beta`; it is zero where the softmax of `beta z` is
    one half for the class.

    Reference: Xu et al. 2023, Exploring and exploiting decision boundary dynamics for adversarial robustness.

    Example:
        >>> soft_logit_margin(torch.tensor([[2.0, 1.0, 1.0]]), torch.tensor([0]), beta=100.0)
        tensor([0.9931])
    """
    own = scores.gather(1, y[:, None]).squeeze(1)
    others = scores.scatter(1, y[:, None], float("-inf"))
    return own - torch.logsumexp(beta * others, dim=1) / beta


def runner_up_classes(scores: Tensor, y: Tensor, count: int) -> Tensor:
    """Return the `count` highest-scoring classes other than `y` (at most K - 1 of them), `(B, R)`."""
    others = scores.scatter(1, y[:, None], float("-inf"))
    return others.topk(min(count, scores.shape[1] - 1), dim=1).indices
