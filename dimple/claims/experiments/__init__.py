"""The experiments behind the claims, by the value of `kind` in the file of a paper; one folder a paper."""

from dimple.claims.experiments import dimple2026, shamir2021
from dimple.claims.experiments.base import Experiment, Resources, Row

EXPERIMENTS: dict[str, type[Experiment]] = {
    **dimple2026.EXPERIMENTS,
    **shamir2021.EXPERIMENTS,
}

__all__ = ["EXPERIMENTS", "Experiment", "Resources", "Row"]
