"""A penalty on the gradient of the loss with respect to the samples."""

from typing import Literal, final

import torch
from torch import Tensor, nn

from dimple.errors import SceneError
from dimple.settings import NonNegative, settings
from dimple.tensors import dot, total_variation
from dimple.training.objectives.base import Batch, Objective
from dimple.training.objectives.losses import LOSSES, LossName


@final
@settings
class GradientPenalty(Objective):
    """The mean loss plus `weight` times the mean size of its gradient with respect to each sample.

    Args:
        loss_function: the loss, as of `standard`.
        weight: weight of the penalty.
        measure: the size of the gradient: `l2`, its squared l2 norm, or the `total_variation` of its channels, for
            images.

    Reference: Drucker and Le Cun 1992; Ross and Doshi-Velez 2018, equation 4 (l2).
    """

    loss_function: LossName = "cross_entropy"
    weight: NonNegative = 0.1
    measure: Literal["l2", "total_variation"] = "l2"

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        x = batch.x.detach().clone().requires_grad_()
        losses = LOSSES[self.loss_function](network(x), batch.y)
        (gradient,) = torch.autograd.grad(losses.sum(), x, create_graph=True)
        return losses.mean() + self.weight * self._size(gradient).mean()

    def _size(self, gradient: Tensor) -> Tensor:
        """Return the size of each gradient `(B, *shape)`, `(B,)`."""
        if self.measure == "l2":
            return dot(gradient, gradient)
        if gradient.dim() != 4:
            raise SceneError(
                f"training.objective.measure is total_variation, which needs images; a sample has the shape "
                f"{tuple(gradient.shape[1:])}: choose l2"
            )
        return total_variation(gradient).sum(1)
