"""TRADES: the loss of the samples and the change of the prediction within a ball around them."""

from typing import final

from torch import Tensor, nn

from dimple.settings import NonNegative, settings
from dimple.training.objectives.base import Batch
from dimple.training.objectives.burn_in import BurnInObjective
from dimple.training.objectives.losses import kl_divergence, mean_loss
from dimple.training.objectives.perturbed import PerturbedObjective


@final
@settings
class Trades(BurnInObjective, PerturbedObjective):
    """Cross-entropy at the samples plus `beta` times the largest KL divergence of the predictions around them.

    The perturbed sample x' maximizes KL(p(x) || p(x')) in the ball; there its gradient is zero at x, so that
    the search needs a random start.

    Args:
        norm: norm of the perturbation, `l2` or `linf`.
        eps: largest norm.
        steps: gradient steps of the search for the perturbation.
        step_size: norm of each of them; null for eps if it is the only one, and for 2.5 eps / steps otherwise.
        random_start: whether the search starts at a random point of the ball.
        restrict: `on` or `off` the tangent space of the data, or `none`.
        burn_in: the end of a training by cross-entropy that comes before step 0; null for none.
        beta: weight of the divergence.

    Reference: Zhang et al. 2019, equation 5, with the KL divergence of their code.
    """

    beta: NonNegative = 6.0

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        clean = network(batch.x).detach()
        perturbed = self.perturb(network, batch, lambda scores: kl_divergence(clean, scores))
        scores = network(batch.x)
        divergence = kl_divergence(scores, network(perturbed)).mean()
        return mean_loss("cross_entropy", scores, batch.y) + self.beta * divergence
