"""The experiments behind the claims, by the value of `kind` in the file of a paper; one folder a paper."""

from dimple.claims.experiments import (
    agarwal2020,
    critics,
    dimple2026,
    melamed2023,
    mickisch2020,
    shamir2021,
    szegedy2013,
    xu2023,
)
from dimple.claims.experiments.base import Experiment, Resources, Row

EXPERIMENTS: dict[str, type[Experiment]] = {
    **agarwal2020.EXPERIMENTS,
    **critics.EXPERIMENTS,
    **dimple2026.EXPERIMENTS,
    **melamed2023.EXPERIMENTS,
    **mickisch2020.EXPERIMENTS,
    **shamir2021.EXPERIMENTS,
    **szegedy2013.EXPERIMENTS,
    **xu2023.EXPERIMENTS,
}

__all__ = ["EXPERIMENTS", "Experiment", "Resources", "Row"]
