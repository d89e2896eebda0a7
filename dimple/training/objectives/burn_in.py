"""Objectives that may begin from weights trained by cross-entropy."""

from abc import ABC

from torch import nn

from dimple.settings import settings
from dimple.training.objectives.base import Batch, FirstTraining, Objective
from dimple.training.objectives.standard import Standard
from dimple.training.schedules import Constant, Stop


@settings
class BurnInObjective(Objective, ABC):
    """An objective with a training by cross-entropy before step 0.

    From random weights, a strong attack can leave nothing to learn: the network then predicts one class everywhere.

    Args:
        burn_in: the end of the training by cross-entropy, at a constant learning rate; it hands over its averaged
            weights where the training keeps averages. Null for none.
    """

    burn_in: Stop | None = None

    def prepare(self, network: nn.Module, data: Batch, train_first: FirstTraining) -> Batch:
        if self.burn_in is not None:
            trained = train_first(network, Standard(), self.burn_in, Constant())
            network.load_state_dict(trained.state_dict())
        return data
