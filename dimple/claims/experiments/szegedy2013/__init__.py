"""Experiments for the claims of Szegedy et al. 2013."""

from dimple.claims.experiments.base import Experiment
from dimple.claims.experiments.szegedy2013.distortion_table import DistortionTable
from dimple.claims.experiments.szegedy2013.everywhere import AttackEverywhere
from dimple.claims.experiments.szegedy2013.layer_pools import LayerPools
from dimple.claims.experiments.szegedy2013.layer_products import LayerProducts
from dimple.claims.experiments.szegedy2013.lipschitz_penalty import LipschitzPenalty
from dimple.claims.experiments.szegedy2013.network_transfer import NetworkTransfer
from dimple.claims.experiments.szegedy2013.noise_flips import NoiseFlips
from dimple.claims.experiments.szegedy2013.unit_coherence import UnitCoherence

EXPERIMENTS: dict[str, type[Experiment]] = {
    "attack_everywhere": AttackEverywhere,
    "distortion_table": DistortionTable,
    "layer_pools": LayerPools,
    "layer_products": LayerProducts,
    "lipschitz_penalty": LipschitzPenalty,
    "network_transfer": NetworkTransfer,
    "noise_flips": NoiseFlips,
    "unit_coherence": UnitCoherence,
}
