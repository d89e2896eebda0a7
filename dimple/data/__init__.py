"""Data: labelled points of manifolds, and images."""

from dimple.data.images import Images, load_images
from dimple.data.label_base import Labelling
from dimple.data.labels import LABELLINGS
from dimple.data.sampling import SAMPLINGS, Sampling
from dimple.data.synthetic import ManifoldSamples, Synthetic

__all__ = [
    "LABELLINGS",
    "SAMPLINGS",
    "Images",
    "Labelling",
    "ManifoldSamples",
    "Sampling",
    "Synthetic",
    "load_images",
]
