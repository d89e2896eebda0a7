"""A penalty on the operator norm of each layer."""

from typing import final

import torch
from torch import Tensor, nn

from dimple.errors import SceneError
from dimple.settings import NonNegative, settings
from dimple.training.objectives.base import Batch, Objective
from dimple.training.objectives.losses import LossName, mean_loss


@final
@settings
class Lipschitz(Objective):
    """The mean loss plus `weight` times the sum of the l2 operator norms of the linear layers.

    The product of these norms bounds the Lipschitz constant of a network of linear layers and ReLUs.

    Args:
        loss_function: the loss, as of `standard`.
        weight: weight of the penalty.

    Reference: Szegedy et al. 2014, section 4.3.
    """

    loss_function: LossName = "cross_entropy"
    weight: NonNegative = 0.01

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
        if not layers or any(p.dim() > 2 for p in network.parameters()):
            raise SceneError("training.objective.kind is lipschitz; it needs a network of linear layers, such as mlp")
        norms = torch.stack([torch.linalg.matrix_norm(layer.weight, ord=2) for layer in layers])
        return mean_loss(self.loss_function, network(batch.x), batch.y) + self.weight * norms.sum()
