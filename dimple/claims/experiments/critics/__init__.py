"""Experiments for the claims of the critics of the dimpled manifold model, and of related work."""

from dimple.claims.experiments.base import Experiment
from dimple.claims.experiments.critics.eigenspaces import Eigenspaces
from dimple.claims.experiments.critics.error_distillation import ErrorDistillation
from dimple.claims.experiments.critics.frequency import Frequency
from dimple.claims.experiments.critics.manifold_attacks import ManifoldAttacks
from dimple.claims.experiments.critics.slow_directions import SlowDirections
from dimple.claims.experiments.critics.step_artefact import StepArtefact
from dimple.claims.experiments.critics.tangent_noise import TangentNoise

EXPERIMENTS: dict[str, type[Experiment]] = {
    "eigenspaces": Eigenspaces,
    "error_distillation": ErrorDistillation,
    "frequency": Frequency,
    "manifold_attacks": ManifoldAttacks,
    "slow_directions": SlowDirections,
    "step_artefact": StepArtefact,
    "tangent_noise": TangentNoise,
}
