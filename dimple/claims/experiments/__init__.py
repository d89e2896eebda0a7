"""The experiments behind the claims, by the value of `kind` in the file of a paper; one folder a paper."""

from dimple.claims.experiments import agarwal2020, critics, shamir2021
from dimple.claims.experiments.base import Experiment, Resources, Row

EXPERIMENTS: dict[str, type[Experiment]] = {
    **agarwal2020.EXPERIMENTS,
    **critics.EXPERIMENTS,
    **shamir2021.EXPERIMENTS,
}

__all__ = ["EXPERIMENTS", "Experiment", "Resources", "Row"]
