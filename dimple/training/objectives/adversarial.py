"""Adversarial training: the loss at perturbed samples."""

from typing import final

import torch
from torch import Tensor, nn

from dimple.errors import SceneError
from dimple.settings import NonNegative, settings
from dimple.training.objectives.base import Batch
from dimple.training.objectives.burn_in import BurnInObjective
from dimple.training.objectives.losses import LOSSES, LossName, mean_loss
from dimple.training.objectives.perturbed import PerturbedObjective


@final
@settings
class Adversarial(BurnInObjective, PerturbedObjective):
    """The mean loss at the perturbed samples, by projected gradient ascent.

    One step from the sample is the fast gradient method; with a random start it is that of Wong et al.

    Args:
        norm: norm of the perturbation, `l2` or `linf`.
        eps: largest norm.
        steps: gradient steps of the search for the perturbation.
        step_size: norm of each of them; null for eps if it is the only one, and for 2.5 eps / steps otherwise.
        random_start: whether the search starts at a random point of the ball.
        restrict: `on` or `off` the tangent space of the data, or `none`.
        burn_in: the end of a training by cross-entropy that comes before step 0; null for none.
        loss_function: the loss, as of `standard`.
        noise: where positive, N-FGSM: uniform noise of up to `noise` times eps in each coordinate, to which one step
            of the sign of the gradient is added without projection; for linf, one step and `restrict: none`.

    Reference: Madry et al. 2018, equation 2.1; Goodfellow et al. 2015; Wong et al. 2020; de Jorge et al. 2022.
    """

    loss_function: LossName = "cross_entropy"
    noise: NonNegative = 0.0

    def __post_init__(self) -> None:
        if self.noise and (self.norm, self.steps, self.restrict) != ("linf", 1, "none"):
            raise SceneError(f"noise is {self.noise}; it needs norm linf, steps 1 and restrict none")

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        return mean_loss(self.loss_function, network(self.perturbed(network, batch)), batch.y)

    def perturbed(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the perturbed samples, `(B, *shape)`."""

        def loss(scores: Tensor) -> Tensor:
            return LOSSES[self.loss_function](scores, batch.y)

        if not self.noise:
            return self.perturb(network, batch, loss)
        x = batch.x
        noise = (2 * torch.rand(x.shape, generator=batch.generator(), dtype=x.dtype).to(x) - 1) * self.noise * self.eps
        noise = batch.clip(noise)
        step = (self.step_size or self.eps) * self._ascent_direction(network, batch, loss, noise, None)
        return batch.clamp(x + noise + step)
