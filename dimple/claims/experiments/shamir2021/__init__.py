"""Experiments for the claims of Shamir, Melamed, BenShmuel 2021."""

from dimple.claims.experiments.base import Experiment
from dimple.claims.experiments.shamir2021.clinging import Clinging
from dimple.claims.experiments.shamir2021.deepening import Deepening
from dimple.claims.experiments.shamir2021.gradient_energy import GradientEnergy
from dimple.claims.experiments.shamir2021.image_tangents import ImageTangents
from dimple.claims.experiments.shamir2021.mislabeling import MislabeledChessboard, MislabeledImages
from dimple.claims.experiments.shamir2021.perturbation_parts import PerturbationParts
from dimple.claims.experiments.shamir2021.restricted_training import RestrictedTraining
from dimple.claims.experiments.shamir2021.sensitivity import ClingingConditions

EXPERIMENTS: dict[str, type[Experiment]] = {
    "clinging": Clinging,
    "clinging_conditions": ClingingConditions,
    "deepening": Deepening,
    "gradient_energy": GradientEnergy,
    "image_tangents": ImageTangents,
    "mislabeled_chessboard": MislabeledChessboard,
    "mislabeled_images": MislabeledImages,
    "perturbation_parts": PerturbationParts,
    "restricted_training": RestrictedTraining,
}
