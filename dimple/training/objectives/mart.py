"""MART: adversarial training that weighs misclassified samples more."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from dimple.settings import NonNegative, settings
from dimple.training.objectives.base import Batch
from dimple.training.objectives.burn_in import BurnInObjective
from dimple.training.objectives.losses import LOSSES, kl_divergence
from dimple.training.objectives.perturbed import PerturbedObjective


@final
@settings
class Mart(BurnInObjective, PerturbedObjective):
    """Boosted cross-entropy at perturbed samples, plus the KL divergence weighed by the probability of being wrong.

    Per sample, with x' by projected gradient ascent of the cross-entropy, probabilities p at x and q at x':
    -log q_y - log(1 - max_k q_k over k != y) + beta KL(p || q) (1 - p_y).

    Args:
        norm: norm of the perturbation, `l2` or `linf`.
        eps: largest norm.
        steps: gradient steps of the search for the perturbation.
        step_size: norm of each of them; null for eps if it is the only one, and for 2.5 eps / steps otherwise.
        random_start: whether the search starts at a random point of the ball.
        restrict: `on` or `off` the tangent space of the data, or `none`.
        burn_in: the end of a training by cross-entropy that comes before step 0; null for none.
        beta: weight of the divergence.

    Reference: Wang et al. 2020, equations 9 to 11.
    """

    beta: NonNegative = 6.0

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        y = batch.y
        perturbed = self.perturb(network, batch, lambda scores: LOSSES["cross_entropy"](scores, y))
        scores = network(batch.x)
        perturbed_scores = network(perturbed)
        log_q = functional.log_softmax(perturbed_scores, dim=1)
        own = functional.one_hot(y, scores.shape[1]).bool()
        largest_other = log_q.masked_fill(own, -torch.inf).argmax(1)
        # The logarithm of 1 - q_k as that of the sum of the other probabilities, which does not cancel.
        rest = log_q.scatter(1, largest_other[:, None], -torch.inf).logsumexp(1)
        wrong = 1 - functional.softmax(scores, dim=1).gather(1, y[:, None])[:, 0]
        boosted = -log_q.gather(1, y[:, None])[:, 0] - rest
        return (boosted + self.beta * kl_divergence(scores, perturbed_scores) * wrong).mean()
