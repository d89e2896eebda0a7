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
        layer_decay: lambda, one number for all layers or one for each, of the penalty `lambda / k * sum(w^2)` over the
            weights w of a layer of k units; biases are free. A decay of all parameters is `optimizer.weight_decay`.

    Reference: Foret et al. 2021, equation 2 (sharpness-aware minimization); Szegedy et al. 2016, section 7 (label
    smoothing); Szegedy et al. 2014, section 4.1 (decay by layer).
    """

    loss_function: LossName = "cross_entropy"
    label_smoothing: Fraction = 0.0
    sharpness_radius: NonNegative = 0.0
    layer_decay: NonNegative | tuple[NonNegative, ...] = 0.0

    def __post_init__(self) -> None:
        if self.label_smoothing and self.loss_function != "cross_entropy":
            raise SceneError(f"label_smoothing is {self.label_smoothing}; it needs loss_function cross_entropy")

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        scores = network(batch.x)
        if self.label_smoothing:
            loss = functional.cross_entropy(scores, batch.y, label_smoothing=self.label_smoothing)
        else:
            loss = mean_loss(self.loss_function, scores, batch.y)
        return loss + self._penalty(network) if self.layer_decay else loss

    def _penalty(self, network: nn.Module) -> Tensor:
        """Return the penalty of all layers: those modules whose weight is a matrix or a convolution kernel."""
        weights = [w for module in network.modules() if isinstance(w := getattr(module, "weight", None), Tensor)]
        weights = [weight for weight in weights if weight.dim() > 1]
        decays = self.layer_decay if isinstance(self.layer_decay, tuple) else (self.layer_decay,) * len(weights)
        if len(decays) != len(weights) or not weights:
            raise SceneError(f"layer_decay has {len(decays)} numbers; the network has {len(weights)} layers")
        terms = [decay / len(weight) * weight.square().sum() for decay, weight in zip(decays, weights, strict=True)]
        return torch.stack(terms).sum()

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
