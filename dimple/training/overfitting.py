"""Catastrophic overfitting: robustness to several gradient steps is lost in training with a single one."""

import dataclasses
from typing import final

import torch
from torch import Tensor, nn

from dimple.training.objectives import Adversarial, Batch, Mart, Objective, Trades
from dimple.training.objectives.base import evaluation_mode
from dimple.training.objectives.perturbed import PerturbedObjective

# Training samples at which robustness is checked, the same ones each time.
SAMPLES = 64
# Steps of the attack of the check.
STEPS = 10
# Robustness is lost when it is at most this fraction of the largest that was measured, and when it is below that, and
# below the accuracy under the single step, by at least the other fractions of the samples.
LOST_FRACTION = 0.5
LEAST_LOSS = 0.1
LEAST_DIFFERENCE = 0.25


@final
class OverfittingCheck:
    """A check of adversarial training with a single gradient step, for the loss of robustness to several.

    Attributes:
        best: the largest accuracy under ten steps so far, a tensor that is changed in place.
        warned: whether the loss has been reported, likewise.

    Reference: Wong et al. 2020, section 5.4; Andriushchenko and Flammarion 2020.
    """

    def __init__(self, objective: PerturbedObjective, data: Batch) -> None:
        fields = {field.name: getattr(objective, field.name) for field in dataclasses.fields(PerturbedObjective)}
        self.objective = objective if isinstance(objective, Adversarial) else Adversarial(**fields)
        self.attack = Adversarial(**fields | {"steps": STEPS, "step_size": None, "random_start": True})
        self.data = data.select(torch.randperm(len(data.x), generator=data.generator())[:SAMPLES].to(data.x.device))
        self.best = torch.zeros((), dtype=torch.float64)
        self.warned = torch.zeros((), dtype=torch.bool)

    @classmethod
    def of(cls, objective: Objective, data: Batch) -> "OverfittingCheck | None":
        """Return the check of an objective that trains with a single step; None for another one."""
        if isinstance(objective, Adversarial | Trades | Mart) and objective.steps == 1:
            return cls(objective, data)
        return None

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors that a check changes, by name."""
        return {"best": self.best, "warned": self.warned}

    def warning(self, network: nn.Module, step: int) -> str | None:
        """Return one sentence at the first check at which robustness to several steps is lost.

        Args:
            network: the network, which is left as it is.
            step: the training step, for the sentence.
        """
        if bool(self.warned):
            return None
        with evaluation_mode(network):
            single, several = (self._accuracy(network, attack) for attack in (self.objective, self.attack))
        best = max(float(self.best), several)
        self.best.fill_(best)
        is_lost = several <= min(LOST_FRACTION * best, best - LEAST_LOSS)
        if not is_lost or single - several < LEAST_DIFFERENCE:
            return None
        self.warned.fill_(True)
        return (
            f"catastrophic overfitting by step {step}: of {len(self.data.x)} training samples {single:.0%} are right "
            f"under the single step of the training, and {several:.0%} under {STEPS} steps, after {best:.0%} before; "
            "use several steps, a smaller eps, or noise (N-FGSM)"
        )

    def _accuracy(self, network: nn.Module, attack: Adversarial) -> float:
        perturbed = attack.perturbed(network, self.data)
        with torch.no_grad():
            return float((network(perturbed).argmax(1) == self.data.y).double().mean())
