"""The soft boundary: where a class holds half of the probability; a temperature sharpens it to the exact one."""

from typing import final

import torch
from torch import Tensor

from dimple.protocols import Classifier


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
