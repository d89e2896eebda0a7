"""Losses of scores, each one value per sample."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from torch import Tensor
from torch.nn import functional

from dimple.boundary.boundary import compute_logit_margin

LossName: TypeAlias = Literal["cross_entropy", "hinge", "logistic", "squared"]


def _squared(scores: Tensor, y: Tensor) -> Tensor:
    return (scores - functional.one_hot(y, scores.shape[1])).square().sum(1)


# Hinge and logistic loss are those of the logit margin; with two classes the logistic loss equals the cross-entropy.
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": lambda scores, y: functional.cross_entropy(scores, y, reduction="none"),
    "hinge": lambda scores, y: functional.relu(1 - compute_logit_margin(scores, y)),
    "logistic": lambda scores, y: functional.softplus(-compute_logit_margin(scores, y)),
    "squared": _squared,
}


def mean_loss(loss: str, scores: Tensor, y: Tensor) -> Tensor:
    """Return the mean over the samples of a loss by its name in `LOSSES`."""
    # The reduction of torch rounds otherwise than the mean of its values.
    if loss == "cross_entropy":
        return functional.cross_entropy(scores, y)
    return LOSSES[loss](scores, y).mean()


def kl_divergence(from_scores: Tensor, to_scores: Tensor) -> Tensor:
    """Return KL(p || q) in nats of the softmax p of `from_scores` and q of `to_scores`, `(B,)`.

    Example:
        >>> import torch
        >>> kl_divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
        tensor([0.])
    """
    log_p = functional.log_softmax(from_scores, dim=1)
    log_q = functional.log_softmax(to_scores, dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(1)
