"""Experiments for the claims of Xu, Sun, Goldblum, Goldstein, Huang 2023 (DyART)."""

from dimple.claims.experiments.base import Experiment
from dimple.claims.experiments.xu2023.conflicting_speeds import ConflictingSpeeds
from dimple.claims.experiments.xu2023.robust_training import RobustTraining
from dimple.claims.experiments.xu2023.speed_formula import SpeedFormula

EXPERIMENTS: dict[str, type[Experiment]] = {
    "conflicting_speeds": ConflictingSpeeds,
    "robust_training": RobustTraining,
    "speed_formula": SpeedFormula,
}
