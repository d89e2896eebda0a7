"""Data sets: labeled points on manifolds, and labeled images."""

from dimple.data.images import Images, load_images
from dimple.data.label_base import LabelRule
from dimple.data.labels import LABEL_RULES
from dimple.data.mnist1d import MNIST1D, Signals
from dimple.data.sampling import SAMPLINGS, Sampling
from dimple.data.synthetic import ManifoldSamples, SyntheticData
from dimple.renamed import missing_attribute

__all__ = [
    "LABEL_RULES",
    "MNIST1D",
    "SAMPLINGS",
    "Images",
    "LabelRule",
    "ManifoldSamples",
    "Sampling",
    "Signals",
    "SyntheticData",
    "load_images",
]

__getattr__ = missing_attribute(__name__)
