"""Experiments for the claims of Melamed, Yehudai, Vardi 2023."""

from dimple.claims.experiments.base import Experiment
from dimple.claims.experiments.melamed2023.initial_scale import InitialScale
from dimple.claims.experiments.melamed2023.principal_subspace import PrincipalSubspace
from dimple.claims.experiments.melamed2023.subspace import SubspaceGradient
from dimple.claims.experiments.melamed2023.subspace_training import SubspaceTraining

EXPERIMENTS: dict[str, type[Experiment]] = {
    "initial_scale": InitialScale,
    "principal_subspace": PrincipalSubspace,
    "subspace_gradient": SubspaceGradient,
    "subspace_training": SubspaceTraining,
}
