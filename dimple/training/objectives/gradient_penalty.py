"""A penalty on the gradient of the loss with respect to the samples."""

from typing import final

import torch
from torch import Tensor, nn

from dimple.settings import NonNegative, settings
from dimple.tensors import dot
from dimple.training.objectives.base import Batch, Objective
from dimple.training.objectives.losses import LOSSES, LossName


@final
@settings
class GradientPenalty(Objective):
    """The mean loss plus `weight` times the mean squared l2 norm of its gradient with respect to each sample.

    Args:
        loss_function: the loss, as of `standard`.
        weight: weight of the penalty.

    Reference: Drucker and Le Cun 1992; Ross and Doshi-Velez 2018, equation 4.
    """

    loss_function: LossName = "cross_entropy"
    weight: NonNegative = 0.1

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        x = batch.x.detach().clone().requires_grad_()
        losses = LOSSES[self.loss_function](network(x), batch.y)
        (gradient,) = torch.autograd.grad(losses.sum(), x, create_graph=True)
        return losses.mean() + self.weight * dot(gradient, gradient).mean()
