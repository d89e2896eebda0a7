"""The experiments behind the claims, by the value of `kind` in the file of a paper; one folder a paper."""

from dimple.claims.experiments import mickisch2020, shamir2021, szegedy2013
from dimple.claims.experiments.base import Experiment, Resources, Row

EXPERIMENTS: dict[str, type[Experiment]] = {
    **mickisch2020.EXPERIMENTS,
    **shamir2021.EXPERIMENTS,
    **szegedy2013.EXPERIMENTS,
}

__all__ = ["EXPERIMENTS", "Experiment", "Resources", "Row"]
