"""The decision boundary of a classifier: all that a probe may ask of a network, with every pass counted."""

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.protocols import Classifier
from dimple.tensors import Box

# The cost of a forward and of a backward evaluation of one sample, in passes: together they are one.
FORWARD = 0.4
BACKWARD = 0.6


@final
class Boundary:
    """The zero set of the score gap `z_y - max_other z`, asked by scores, gaps and gradients only.

    The network behind it may be of any kind and the samples of any shape; a probe cannot tell a point of R^3 from an
    image. Costs are counted in samples: `forwards` and `backwards` hold how many rows went through each way.

    Args:
        classifier: maps `(B, *shape)` to scores `(B, K)`, K >= 2.
        box: the bounds that a search may not leave, or None for all of space.

    Example:
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> half_space.gap(torch.tensor([[2.0, 5.0]]), torch.tensor([1]))
        tensor([4.])
    """

    def __init__(self, classifier: Classifier, box: Box | None = None) -> None:
        self.classifier = classifier
        self.box = box
        self.forwards = 0
        self.backwards = 0

    def scores(self, x: Tensor) -> Tensor:
        """The classifier's scores `(B, K)` for samples `(B, *shape)`, without gradient."""
        with torch.no_grad():
            return self._scores(x)

    def predict(self, x: Tensor) -> Tensor:
        """The class of the largest score, `(B,)`; equal scores go to the lowest class."""
        return self.scores(x).argmax(1)

    def gap(self, x: Tensor, y: Tensor, towards: Tensor | None = None) -> Tensor:
        """`z_y - max_other z`, `(B,)`: positive where the class `y` wins, zero on its boundary.

        With `towards` `(B,)`, `max_other z - z_towards`: positive until that class wins, zero on its boundary.
        """
        return gap_of(self.scores(x), y, towards)

    def gap_and_gradient(self, x: Tensor, y: Tensor, towards: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The gap `(B,)` and its gradient with respect to the samples, in their shape."""
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            gap = gap_of(self._scores(leaf), y, towards)
            (gradient,) = torch.autograd.grad(gap.sum(), leaf)
        self.backwards += len(x)
        return gap.detach(), gradient

    def gap_and_rival_gradients(self, x: Tensor, y: Tensor, rivals: Tensor | int) -> tuple[Tensor, Tensor, Tensor]:
        """The gap `(B,)`; the gaps to chosen rivals, `z_y - z_rival`, `(B, R)`; their gradients `(B, R, *shape)`.

        Args:
            rivals: `(B, R)` class numbers other than `y`, or how many of the highest-scoring others (at most K - 1).
                Costs one forward and R backwards a sample.
        """
        gradients = []
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            scores = self._scores(leaf)
            if isinstance(rivals, int):
                rivals = best_rivals(scores.detach(), y, rivals)
            gaps = scores.gather(1, y[:, None]) - scores.gather(1, rivals)
            for column in range(rivals.shape[1]):
                last = column == rivals.shape[1] - 1
                (gradient,) = torch.autograd.grad(gaps[:, column].sum(), leaf, retain_graph=not last)
                gradients.append(gradient)
        self.backwards += rivals.numel()
        return gap_of(scores.detach(), y), gaps.detach(), torch.stack(gradients, 1)

    def gap_hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The gap's gradient, and the map that multiplies directions `(B, *shape)` by the gap's Hessian at `x`.

        Zero for networks of ReLU type, which are linear piece by piece. A product costs about two backwards.
        """
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            gap = gap_of(self._scores(leaf), y)
            (gradient,) = torch.autograd.grad(gap.sum(), leaf, create_graph=True)
        self.backwards += len(x)

        def product(direction: Tensor) -> Tensor:
            self.backwards += 2 * len(x)
            if not gradient.requires_grad:
                return torch.zeros_like(direction)
            (image,) = torch.autograd.grad(
                gradient, leaf, direction, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            return image

        return gradient.detach(), product

    def scores_and_gradient(self, x: Tensor, function: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """The scores `(B, K)`, a function of them `(B,)`, such as a loss, and its gradient in the shape of `x`."""
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            scores = self._scores(leaf)
            values = function(scores)
            (gradient,) = torch.autograd.grad(values.sum(), leaf)
        self.backwards += len(x)
        return scores.detach(), values.detach(), gradient

    def _scores(self, x: Tensor) -> Tensor:
        scores = self.classifier(x)
        if scores.dim() != 2 or len(scores) != len(x) or scores.shape[1] < 2:
            raise ShapeError(
                f"the classifier turned {tuple(x.shape)} into {tuple(scores.shape)}; scores are (B, K) with K >= 2: "
                "wrap a single-logit network in dimple.networks.two_class"
            )
        self.forwards += len(x)
        return scores


def gap_of(scores: Tensor, y: Tensor, towards: Tensor | None = None) -> Tensor:
    """`z_y - max_other z` of scores `(B, K)` and classes `(B,)`; `max_other z - z_towards` where that is given."""
    if towards is not None:
        return -gap_of(scores, towards)
    own = scores.gather(1, y[:, None]).squeeze(1)
    if scores.shape[1] == 2:
        return own - scores.gather(1, 1 - y[:, None]).squeeze(1)
    others = scores.scatter(1, y[:, None], float("-inf"))
    return own - others.max(1).values


def best_rivals(scores: Tensor, y: Tensor, count: int) -> Tensor:
    """The `count` highest-scoring classes other than `y` (at most K - 1 of them), `(B, R)`."""
    others = scores.scatter(1, y[:, None], float("-inf"))
    return others.topk(min(count, scores.shape[1] - 1), dim=1).indices
