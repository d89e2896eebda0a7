"""Objectives of training; the keys of `OBJECTIVES` are the values of `training.objective.kind` in a scene file."""

from dimple.training.objectives.adversarial import Adversarial
from dimple.training.objectives.base import Batch, Objective
from dimple.training.objectives.boundary_aware import BoundaryAware
from dimple.training.objectives.gradient_penalty import GradientPenalty
from dimple.training.objectives.hard_negative import HardNegative
from dimple.training.objectives.lipschitz import Lipschitz
from dimple.training.objectives.mart import Mart
from dimple.training.objectives.mislabeled import Mislabeled
from dimple.training.objectives.standard import Standard
from dimple.training.objectives.trades import Trades

OBJECTIVES: dict[str, type[Objective]] = {
    "standard": Standard,
    "adversarial": Adversarial,
    "trades": Trades,
    "mart": Mart,
    "mislabeled": Mislabeled,
    "boundary_aware": BoundaryAware,
    "hard_negative": HardNegative,
    "gradient_penalty": GradientPenalty,
    "lipschitz": Lipschitz,
}

__all__ = [
    "OBJECTIVES",
    "Adversarial",
    "Batch",
    "BoundaryAware",
    "GradientPenalty",
    "HardNegative",
    "Lipschitz",
    "Mart",
    "Mislabeled",
    "Objective",
    "Standard",
    "Trades",
]
