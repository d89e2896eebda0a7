"""Networks: small ones to train, image networks to measure, and the safe reading of their weights."""

from dimple.networks.load import MODELS, build_model, load_model, matched
from dimple.networks.mlp import MLP
from dimple.networks.weights import load_weights, read_weights
from dimple.networks.wrappers import Normalised, frozen, inner, two_class

__all__ = [
    "MLP",
    "MODELS",
    "Normalised",
    "build_model",
    "frozen",
    "inner",
    "load_model",
    "load_weights",
    "matched",
    "read_weights",
    "two_class",
]
