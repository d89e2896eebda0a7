"""Training on the unchanged samples."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from dimple.errors import SceneError
from dimple.settings import Fraction, NonNegative, settings
from dimple.training.objectives.base import Batch, Objective
from dimple.training.objectives.losses import LossName, mean_loss


@final
@settings
class Standard(Objective):
    """The mean loss of the unchanged samples.

    Args:
        loss_function: `cross_entropy`; `hinge` or `logistic` of the logit margin; or `squared`, the squared distance of
            the scores from the unit vector of the class.
        label_smoothing: fraction of each label that is spread over all classes, for the cross-entropy.
        sharpness_radius: the gradient is taken where the weights have moved by this l2 distance along the gradient
            (sharpness-aware minimization); 0 for the gradient at the weights.

    Reference: Foret et al. 2021, equation 2 (sharpness-aware minimization); Szegedy et al. 2016, section 7.
    """

    loss_function: LossName = "cross_entropy"
    label_smoothing: Fraction = 0.0
    sharpness_radius: NonNegative = 0.0

    def __post_init__(self) -> None:
        if self.label_smoothing and self.loss_function != "cross_entropy":
            raise SceneError(f"label_smoothing is {self.label_smoothing}; it needs loss_function cross_entropy")

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        scores = network(batch.x)
        if self.label_smoothing:
            return functional.cross_entropy(scores, batch.y, label_smoothing=self.label_smoothing)
        return mean_loss(self.loss_function, scores, batch.y)

    def differentiate(self, network: nn.Module, batch: Batch) -> Tensor:
        value = Objective.differentiate(self, network, batch)
        if self.sharpness_radius:
            self._move_gradient(network, batch)
        return value

    def _move_gradient(self, network: nn.Module, batch: Batch) -> None:
        """Replace the gradients by those at the weights that are moved along them."""
        trained = [(p, p.detach().clone(), p.grad) for p in network.parameters() if p.grad is not None]
        length = torch.linalg.vector_norm(torch.stack([gradient.norm() for _, _, gradient in trained]))
        with torch.no_grad():
            for parameter, _, gradient in trained:
                parameter.add_(gradient, alpha=float(self.sharpness_radius / length.clamp(min=1e-12)))
        Objective.differentiate(self, network, batch)
        with torch.no_grad():
            for parameter, before, _ in trained:
                parameter.copy_(before)
