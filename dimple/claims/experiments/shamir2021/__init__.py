"""Experiments for the claims of Shamir, Melamed, BenShmuel 2021."""

from dimple.claims.experiments.base import Experiment
from dimple.claims.experiments.shamir2021.clinging import Clinging

EXPERIMENTS: dict[str, type[Experiment]] = {
    "clinging": Clinging,
}
