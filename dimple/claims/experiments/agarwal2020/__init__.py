"""Experiments for the claims of Agarwal, Chen, Nguyen 2020."""

from dimple.claims.experiments.agarwal2020.causes import GradientPenalties, StylizedTraining
from dimple.claims.experiments.agarwal2020.twins import RobustTwins
from dimple.claims.experiments.base import Experiment

EXPERIMENTS: dict[str, type[Experiment]] = {
    "gradient_penalties": GradientPenalties,
    "robust_twins": RobustTwins,
    "stylized_training": StylizedTraining,
}
